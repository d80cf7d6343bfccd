"""Serve the deployments of a soak: one charge each, by tasks or by the packaged flow.

None has the hook ``cancel_mastra_runs``. It would cancel the run of a killed process, but in a soak
the flow run is retried and has to attach to that run.
"""

from __future__ import annotations

from typing import Any

from prefect import flow, serve
from prefect.deployments.runner import RunnerDeployment

from prefect_mastra import (
    MastraServer,
    arun_workflow,
    astart_workflow,
    await_for_workflow_run,
    run_workflow,
    start_workflow,
    wait_for_workflow_run,
)

Outcome = dict[str, Any]

WORKFLOW = "countedCharge"
RETRIES: dict[str, Any] = {"retries": 3, "retry_delay_seconds": 0}


@flow(persist_result=True)
def soak_sync(base_url: str, charge: Outcome, by_tasks: bool) -> Outcome:
    server = MastraServer(base_url=base_url)
    if not by_tasks:
        return run_workflow(server, WORKFLOW, charge, max_poll_interval=1)
    run = start_workflow.with_options(**RETRIES)(server, WORKFLOW, charge)
    return wait_for_workflow_run.with_options(**RETRIES)(server, run, max_poll_interval=1)


@flow(persist_result=True)
async def soak_async(base_url: str, charge: Outcome, by_tasks: bool) -> Outcome:
    server = MastraServer(base_url=base_url)
    if not by_tasks:
        return await arun_workflow(server, WORKFLOW, charge, max_poll_interval=1)
    run = await astart_workflow.with_options(**RETRIES)(server, WORKFLOW, charge)
    return await await_for_workflow_run.with_options(**RETRIES)(server, run, max_poll_interval=1)


if __name__ == "__main__":
    serve(*(RunnerDeployment.from_flow(one, name="soak") for one in (soak_sync, soak_async)))
