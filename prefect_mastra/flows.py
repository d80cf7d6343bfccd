"""A flow that runs a workflow from its start to its end."""

# No `from __future__ import annotations` here: Prefect pickles flows and tasks by value, for
# `.serve()` among others, and a copy cannot resolve annotations that are strings.

from datetime import timedelta
from typing import Any, Literal

from prefect import flow

from mastra_workflows import JSON, OnFailedRun, OnStall, OnSuspend
from mastra_workflows.hitl import Answers, OnResponseTimeout
from prefect_mastra._names import flow_run_name
from prefect_mastra._results import PERSIST_RESULT, SERIALIZER
from prefect_mastra.blocks import MastraServer
from prefect_mastra.hitl._pause import PauseMode
from prefect_mastra.hooks import cancel_mastra_runs
from prefect_mastra.runs import Outcome
from prefect_mastra.tasks import execute_workflow


@flow(
    name="mastra-run-workflow",
    flow_run_name=flow_run_name,
    result_serializer=SERIALIZER,
    persist_result=PERSIST_RESULT,
    on_cancellation=[cancel_mastra_runs],
    on_crashed=[cancel_mastra_runs],
)
def run_workflow(
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
    timeout: float | None = None,
    on_suspend: OnSuspend | Literal["ask"] = "fail",
    answers: Answers | None = None,
    pause: PauseMode = "pause",
    response_timeout: float | timedelta | None = None,
    on_response_timeout: OnResponseTimeout = "fail",
    default_answer: JSON = None,
    poll_interval: float = 0.5,
    max_poll_interval: float = 30.0,
    outage_timeout: float = 300.0,
    stall_timeout: float | None = 3600.0,
    on_stall: OnStall = "fail",
    observe: bool = True,
    on_failed_run: OnFailedRun = "new_run",
    cancel_on_kill: bool = True,
    cancel_on_timeout: bool = True,
) -> Outcome:
    """Start a run of a workflow, once, and wait for it.

    Deploy it as it is. In a flow of your own, the task `execute_workflow` does the same without a
    subflow run.

    With ``on_suspend="ask"`` a person answers what the run asks, on the page of this flow run; in
    a flow of your own that is the subflow's, and the log of yours says so.

    Args and raises: as `start_workflow` and `wait_for_workflow_run`; with ``on_suspend="ask"`` also
    ``answers``, ``pause``, ``response_timeout``, ``on_response_timeout`` and ``default_answer`` of
    `ask_and_resume`. An interruption anywhere in the flow cancels the run, unless
    ``cancel_on_kill`` is off.

    Returns:
        The outcome of a run that succeeded, or that is suspended with ``on_suspend="return"``.
    """
    return execute_workflow.fn(
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
        answers=answers,
        pause=pause,
        response_timeout=response_timeout,
        on_response_timeout=on_response_timeout,
        default_answer=default_answer,
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
