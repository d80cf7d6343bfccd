"""Provide the flow that runs a workflow from start to end."""

# No `from __future__ import annotations` here: Prefect pickles flows and tasks by value, for
# `.serve()` among others, and a copy cannot resolve annotations that are strings.

from typing import Any

from prefect import flow

from mastra_workflows import JSON, Duration, OnFailedRun, OnStall
from mastra_workflows.hitl import OnResponseTimeout, Responses
from prefect_mastra._names import flow_run_name
from prefect_mastra._results import PERSIST_RESULT, SERIALIZER
from prefect_mastra.aio.tasks import aexecute_workflow
from prefect_mastra.blocks import MastraServer
from prefect_mastra.hitl._pause import OnSuspension, PauseMode
from prefect_mastra.hooks import cancel_mastra_runs
from prefect_mastra.runs import Outcome


@flow(
    name="mastra-arun-workflow",
    flow_run_name=flow_run_name,
    result_serializer=SERIALIZER,
    persist_result=PERSIST_RESULT,
    on_cancellation=[cancel_mastra_runs],
    on_crashed=[cancel_mastra_runs],
)
async def arun_workflow(
    server: MastraServer,
    workflow_id: str,
    input_data: JSON = None,
    *,
    run_id: str | None = None,
    key: str | None = None,
    initial_state: JSON = None,
    request_context: dict[str, Any] | None = None,
    tracing_options: dict[str, Any] | None = None,
    resource_id: str | None = None,
    timeout: Duration | None = None,
    on_suspend: OnSuspension = "fail",
    responses: Responses | None = None,
    pause: PauseMode = "pause",
    response_timeout: Duration | None = None,
    on_response_timeout: OnResponseTimeout = "fail",
    default_response: JSON = None,
    poll_interval: Duration = 0.5,
    max_poll_interval: Duration = 30.0,
    outage_timeout: Duration = 300.0,
    stall_timeout: Duration | None = 3600.0,
    on_stall: OnStall = "fail",
    observe: bool = True,
    on_failed_run: OnFailedRun = "new_run",
    cancel_on_kill: bool = True,
    cancel_on_timeout: bool = True,
) -> Outcome:
    """Start a run of a workflow, wait for it and return its outcome.

    Deploy this flow as it is. In a flow of your own, the task `aexecute_workflow` does the same
    without a subflow run.

    Every retry attaches to the run of an earlier attempt: the run id is derived from the flow run,
    the workflow and the input.

    Args:
        server: The Mastra server.
        workflow_id: The workflow's registry key, such as `orderReport`.
        input_data: The workflow's input, validated against its input schema before anything starts.
        run_id: A run id of your own; by default one is derived.
        key: The name of this call, unique in the flow run. It replaces the input in the derived
            run id, for input that differs in each attempt.
        initial_state: The workflow's state at its start (Mastra 1.x).
        request_context: Values that steps read from their request context.
        tracing_options: Options of Mastra's tracing.
        resource_id: The resource that the run belongs to (Mastra 1.x).
        timeout: Seconds to wait for the run; by default without limit.
        on_suspend: The reaction to a suspended run: `fail`, `return` its outcome, `wait` until it
            is resumed elsewhere, or `ask` a person on the page of this flow run.
        responses: With `ask`, responses by code, by step name: resume data, or (in Python) a
            function that returns it.
        pause: With `ask`, whether the process waits (`pause`) or ends until a person has responded
            (`suspend`, in a flow run of a deployment only).
        response_timeout: With `ask`, seconds to wait for each response; by default without limit.
        on_response_timeout: With `ask`, the reaction to a missing response: `fail` and leave the
            run suspended, `cancel` the run, or use the default response (`respond`).
        default_response: The resume data for `respond`.
        poll_interval: Seconds between the first polls.
        max_poll_interval: Maximum seconds between polls; the interval grows exponentially.
        outage_timeout: Maximum seconds that the server may be unreachable.
        stall_timeout: Seconds without a change in the run's record before the server is asked
            whether it still executes the run; null for never.
        on_stall: The reaction if it does not: `fail`, `restart` the run, or `wait`.
        observe: Whether to subscribe to the server's events, which report the end within
            milliseconds.
        on_failed_run: The reaction of a retry to a failed run: start a `new_run`, continue it
            `from_failed_step`, or `fail`.
        cancel_on_kill: Whether to cancel the run when this flow run is cancelled or interrupted.
        cancel_on_timeout: Whether to cancel the run when the timeout expires.

    Returns:
        The outcome of a run that succeeded, or that is suspended with ``on_suspend="return"``.

    Raises:
        InvalidInputError: The input is invalid; nothing was started.
        RunFailedError, RunCanceledError: The run failed or was cancelled.
        RunSuspendedError: The run is suspended, with ``on_suspend="fail"``.
        WaitTimeoutError: The timeout expired, or no response arrived in time.
        ServerLostError: The server was unreachable for longer than ``outage_timeout``.
    """
    return await aexecute_workflow.fn(
        server,
        workflow_id,
        input_data,
        run_id=run_id,
        key=key,
        initial_state=initial_state,
        request_context=request_context,
        tracing_options=tracing_options,
        resource_id=resource_id,
        timeout=timeout,
        on_suspend=on_suspend,
        responses=responses,
        pause=pause,
        response_timeout=response_timeout,
        on_response_timeout=on_response_timeout,
        default_response=default_response,
        poll_interval=poll_interval,
        max_poll_interval=max_poll_interval,
        outage_timeout=outage_timeout,
        stall_timeout=stall_timeout,
        on_stall=on_stall,
        observe=observe,
        on_failed_run=on_failed_run,
        cancel_on_kill=cancel_on_kill,
        cancel_on_timeout=cancel_on_timeout,
    )
