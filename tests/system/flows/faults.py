"""Serve the deployments of the fault tests: one workflow each, for every way of running it.

Each takes a ``server``, a ``workflow_id`` and its ``input_data``, and returns the run's outcome.
Each also exists in a variant whose flow has the hook ``cancel_mastra_runs``.
"""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from prefect import Flow, flow, runtime, serve
from prefect.deployments.runner import RunnerDeployment
from prefect.futures import wait

from prefect_mastra import (
    MastraServer,
    arun_workflow,
    astart_workflow,
    await_for_workflow_run,
    cancel_mastra_runs,
    run_workflow,
    start_workflow,
    wait_for_workflow_run,
)

Data = dict[str, Any]
WAITING: Any = {
    "max_poll_interval": 1,
    "on_suspend": "wait",
    "stall_timeout": 15,  # longer than any step: a restarted run has no stream to tell it executes
    "on_stall": "restart",
}
TASK_TIMEOUT = 3
FLOW_TIMEOUT = 12
HOOKS: Any = {"on_cancellation": [cancel_mastra_runs], "on_crashed": [cancel_mastra_runs]}


@flow
def tasks_sync(server: MastraServer, workflow_id: str, input_data: Data) -> Any:
    run = start_workflow(server, workflow_id, input_data)
    return wait_for_workflow_run(server, run, **WAITING)


@flow
async def tasks_async(server: MastraServer, workflow_id: str, input_data: Data) -> Any:
    run = await astart_workflow(server, workflow_id, input_data)
    return await await_for_workflow_run(server, run, **WAITING)


@flow
def submitted_sync(server: MastraServer, workflow_id: str, input_data: Data) -> Any:
    run = start_workflow.submit(server, workflow_id, input_data)
    return wait_for_workflow_run.submit(server, run, **WAITING).result()


@flow
async def submitted_async(server: MastraServer, workflow_id: str, input_data: Data) -> Any:
    run = astart_workflow.submit(server, workflow_id, input_data)
    return await_for_workflow_run.submit(server, run, **WAITING).result()


@flow
def hurried_sync(server: MastraServer, workflow_id: str, input_data: Data) -> Any:
    run = start_workflow(server, workflow_id, input_data)
    wait = wait_for_workflow_run.with_options(timeout_seconds=TASK_TIMEOUT)
    return wait(server, run, **WAITING)


@flow
async def hurried_async(server: MastraServer, workflow_id: str, input_data: Data) -> Any:
    run = await astart_workflow(server, workflow_id, input_data)
    wait = await_for_workflow_run.with_options(timeout_seconds=TASK_TIMEOUT)
    return await wait(server, run, **WAITING)


@flow(retries=1)
def retried_sync(server: MastraServer, workflow_id: str, input_data: Data) -> Any:
    outcome = tasks_sync.fn(server, workflow_id, input_data)
    fail_in_the_first_try()
    return outcome


@flow(retries=1)
async def retried_async(server: MastraServer, workflow_id: str, input_data: Data) -> Any:
    outcome = await tasks_async.fn(server, workflow_id, input_data)
    fail_in_the_first_try()
    return outcome


def fail_in_the_first_try() -> None:
    if runtime.flow_run.run_count == 1:
        raise RuntimeError("This try is to fail.")


@flow(**HOOKS)
def hooked_many(server: MastraServer, workflow_id: str, input_data: Data) -> None:
    runs = [start_workflow.submit(server, workflow_id, input_data) for _ in range(10)]
    wait([wait_for_workflow_run.submit(server, run, **WAITING) for run in runs])


@flow
def unguarded(server: MastraServer, workflow_id: str, input_data: Data) -> Any:
    run = start_workflow(server, workflow_id, input_data, run_id=str(uuid4()))
    return wait_for_workflow_run(server, run, **WAITING)


flow_sync = run_workflow.with_options(name="flow-sync")
flow_async = arun_workflow.with_options(name="flow-async")
for without_hooks in (flow_sync, flow_async):  # the packaged flows have the hook
    without_hooks.on_cancellation_hooks = []
    without_hooks.on_crashed_hooks = []
del without_hooks
timed_sync = run_workflow.with_options(name="timed-sync", timeout_seconds=FLOW_TIMEOUT)
timed_async = arun_workflow.with_options(name="timed-async", timeout_seconds=FLOW_TIMEOUT)

hooked_flow_sync = run_workflow.with_options(name="hooked-flow-sync", **HOOKS)
hooked_flow_async = arun_workflow.with_options(name="hooked-flow-async", **HOOKS)
hooked_tasks_sync = tasks_sync.with_options(name="hooked-tasks-sync", **HOOKS)
hooked_tasks_async = tasks_async.with_options(name="hooked-tasks-async", **HOOKS)
hooked_submitted_sync = submitted_sync.with_options(name="hooked-submitted-sync", **HOOKS)
hooked_submitted_async = submitted_async.with_options(name="hooked-submitted-async", **HOOKS)


def deployments() -> list[RunnerDeployment]:
    """One of each flow of this module; those of the package are given how to wait."""
    own = {name: value for name, value in globals().items() if isinstance(value, Flow)}
    found = []
    for name, value in own.items():
        if value in (run_workflow, arun_workflow):
            continue
        of_package = "max_poll_interval" in value.parameters.properties
        deployment = RunnerDeployment.from_entrypoint(
            f"{__file__}:{name}", name="faults", parameters=WAITING if of_package else None
        )
        found.append(deployment)
    return found


if __name__ == "__main__":
    serve(*deployments())
