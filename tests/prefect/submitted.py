"""Define a flow whose tasks run in other processes, for the tests of task runners.

It runs as a program, so that Prefect pickles its flow and tasks by value, as it does in a notebook.
Usage: submitted.py {process|dask|ray} BASE_URL KEY
"""

from __future__ import annotations

import json
import sys
from typing import Any

from prefect import flow, runtime, task
from prefect.task_runners import ProcessPoolTaskRunner, TaskRunner

from prefect_mastra import (
    MastraServer,
    ask_and_resume,
    astart_workflow,
    await_for_workflow_run,
    run_workflow,
    start_workflow,
    wait_for_workflow_run,
)

REFUND = {"order": "A-1", "amount": 100, "reason": "broken"}


def task_runner(name: str) -> TaskRunner[Any]:
    match name:
        case "dask":
            from prefect_dask import DaskTaskRunner

            options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
            dask: TaskRunner[Any] = DaskTaskRunner(cluster_kwargs=options)
            return dask
        case "ray":
            from prefect_ray import RayTaskRunner

            ray: TaskRunner[Any] = RayTaskRunner(
                init_kwargs={"num_cpus": 2, "include_dashboard": False}
            )
            return ray
    return ProcessPoolTaskRunner(max_workers=2)


@task
def charge_in_a_subflow(server: MastraServer, charge: dict[str, Any]) -> Any:
    return run_workflow(server, "countedCharge", charge, key="subflow")["result"]


@task
def refund(server: MastraServer) -> Any:
    run = start_workflow.fn(server, "refundApproval", REFUND, key="refund")
    return ask_and_resume(server, run, responses={"approve": {"approved": True}})["result"]


def main(name: str, base_url: str, key: str) -> None:
    @flow(task_runner=task_runner(name), retries=1)
    def work(server: MastraServer) -> dict[str, Any]:
        charge = {"key": key, "amount": 7}
        wait: Any = wait_for_workflow_run
        await_: Any = await_for_workflow_run
        started = start_workflow.submit(server, "countedCharge", charge, key="sync")
        astarted: Any = astart_workflow.submit(server, "countedCharge", charge, key="async")
        failing = start_workflow.submit(server, "failingImport", key="failing")
        nameless = start_workflow.submit(server, "countedCharge", charge)
        futures = {
            "sync": wait.submit(server, started),
            "async": await_.submit(server, astarted),
            "subflow": charge_in_a_subflow.submit(server, charge),
            "refund": refund.submit(server),
            "failing": wait.submit(server, failing),
            "nameless": nameless,
        }
        for future in futures.values():
            future.wait()
        if runtime.flow_run.run_count == 1:
            raise RuntimeError("This try is to fail.")
        return {
            name: future.state.result(raise_on_failure=False) for name, future in futures.items()
        }

    results = work(MastraServer(base_url=base_url))
    print("RESULTS", json.dumps({name: describe(result) for name, result in results.items()}))


def describe(result: Any) -> Any:
    if isinstance(result, Exception):
        return {"error": type(result).__name__, "message": str(result)}
    return result["result"] if "status" in result else result


if __name__ == "__main__":
    main(*sys.argv[1:])
