"""The tasks and the flow for asyncio: the same names with an ``a`` in front, the same arguments.

What each does, takes and raises is told at its twin in `tasks` and `flows`.
"""

# No `from __future__ import annotations` here: Prefect pickles flows and tasks by value, for
# `.serve()` among others, and a copy cannot resolve annotations that are strings.

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, get_args

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from mastra_workflows import JSON, Duration, OnFailedRun, OnStall, OnSuspend
from mastra_workflows.hitl import Answers, Asked, OnResponseTimeout, asked
from mastra_workflows.integration import LOOKBACK_SECONDS, require_choice
from prefect_mastra._json import start_arguments
from prefect_mastra._names import flow_run_name, task_run_name
from prefect_mastra._results import PERSIST_RESULT, SERIALIZER
from prefect_mastra._run_ids import on_other_input, run_id_for_call
from prefect_mastra.blocks import MastraServer
from prefect_mastra.flows import run_workflow
from prefect_mastra.hitl._ask import adrive
from prefect_mastra.hitl._pause import OnSuspension, PauseMode
from prefect_mastra.hitl._response_loop import response_loop
from prefect_mastra.hooks import cancel_mastra_runs
from prefect_mastra.retries import new_run_may_help, retry_may_help
from prefect_mastra.runs import MastraWorkflowRun, Outcome, RunReference

F = TypeVar("F", bound=Callable[..., Any])


def _with_docstring_of(twin: Callable[..., Any]) -> Callable[[F], F]:
    """Copy a docstring from the twin: Prefect reads the parameters' descriptions from it."""

    def copy(function: F) -> F:
        function.__doc__ = twin.__doc__
        return function

    return copy


@task(
    task_run_name=task_run_name("start"),
    cache_policy=NO_CACHE,
    retry_condition_fn=retry_may_help,
)
async def astart_workflow(
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
    on_failed_run: OnFailedRun = "new_run",
    cancel_on_kill: bool = True,
) -> Outcome:
    """As `start_workflow`."""
    arguments = start_arguments(
        input_data=input_data,
        initial_state=initial_state,
        request_context=request_context,
        tracing_options=tracing_options,
        resource_id=resource_id,
    )
    derived = run_id or run_id_for_call(workflow_id, arguments, key)
    run = MastraWorkflowRun(server, workflow_id, derived, cancel_on_kill=cancel_on_kill)
    return await run.astart(
        on_failed_run=on_failed_run, on_other_input=on_other_input(run_id), **arguments
    )


@task(
    task_run_name=task_run_name(),
    cache_policy=NO_CACHE,
    retry_condition_fn=new_run_may_help,
)
async def aexecute_workflow(
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
    answers: Answers | None = None,
    pause: PauseMode = "pause",
    response_timeout: Duration | None = None,
    on_response_timeout: OnResponseTimeout = "fail",
    default_answer: JSON = None,
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
    """As `execute_workflow`."""
    arguments = start_arguments(
        input_data=input_data,
        initial_state=initial_state,
        request_context=request_context,
        tracing_options=tracing_options,
        resource_id=resource_id,
    )
    require_choice("on_suspend", on_suspend, get_args(OnSuspension))
    run = MastraWorkflowRun(
        server,
        workflow_id,
        run_id or run_id_for_call(workflow_id, arguments, key),
        cancel_on_kill=cancel_on_kill,
        cancel_on_timeout=cancel_on_timeout,
        timeout=timeout,
        on_suspend="return" if on_suspend == "ask" else on_suspend,
        poll_interval=poll_interval,
        max_poll_interval=max_poll_interval,
        outage_timeout=outage_timeout,
        stall_timeout=stall_timeout,
        on_stall=on_stall,
        observe=observe,
    )
    loop = None
    if on_suspend == "ask":
        loop = response_loop(
            run,
            answers=answers,
            pause=pause,
            response_timeout=response_timeout,
            on_response_timeout=on_response_timeout,
            default_answer=default_answer,
        )
    async with run.acancelling_on_kill():
        await run.astart(
            on_failed_run=on_failed_run, on_other_input=on_other_input(run_id), **arguments
        )
        if loop is not None:
            return await adrive(run, loop)
        return await run.await_for_completion()


@task(
    task_run_name=task_run_name("wait for"),
    cache_policy=NO_CACHE,
    retry_condition_fn=retry_may_help,
)
async def await_for_workflow_run(
    server: MastraServer,
    run: RunReference,
    *,
    workflow_id: str | None = None,
    timeout: Duration | None = None,
    on_suspend: OnSuspend = "fail",
    poll_interval: Duration = 0.5,
    max_poll_interval: Duration = 30.0,
    outage_timeout: Duration = 300.0,
    stall_timeout: Duration | None = 3600.0,
    on_stall: OnStall = "fail",
    observe: bool = True,
    cancel_on_kill: bool = True,
    cancel_on_timeout: bool = True,
) -> Outcome:
    """As `wait_for_workflow_run`."""
    return await MastraWorkflowRun.of(
        server,
        run,
        workflow_id,
        cancel_on_kill=cancel_on_kill,
        timeout=timeout,
        on_suspend=on_suspend,
        poll_interval=poll_interval,
        max_poll_interval=max_poll_interval,
        outage_timeout=outage_timeout,
        stall_timeout=stall_timeout,
        on_stall=on_stall,
        observe=observe,
        cancel_on_timeout=cancel_on_timeout,
    ).await_for_completion()


@task(
    task_run_name=task_run_name("resume"),
    cache_policy=NO_CACHE,
    retry_condition_fn=retry_may_help,
)
async def aresume_workflow(
    server: MastraServer,
    run: RunReference,
    resume_data: JSON = None,
    *,
    workflow_id: str | None = None,
    step: str | Sequence[str] | None = None,
    for_each_index: int | None = None,
    suspended_at: str | None = None,
) -> Outcome:
    """As `resume_workflow`."""
    return await MastraWorkflowRun.of(server, run, workflow_id).aresume(
        step=step,
        resume_data=resume_data,
        for_each_index=for_each_index,
        suspended_at=suspended_at,
    )


@task(
    task_run_name=task_run_name("cancel"),
    cache_policy=NO_CACHE,
    retry_condition_fn=retry_may_help,
)
async def acancel_workflow_run(
    server: MastraServer, run: RunReference, *, workflow_id: str | None = None
) -> Outcome:
    """As `cancel_workflow_run`."""
    return await MastraWorkflowRun.of(server, run, workflow_id).acancel()


@task(
    task_run_name=task_run_name("list pending requests of"),
    cache_policy=NO_CACHE,
    retry_condition_fn=retry_may_help,
)
async def alist_pending_requests(
    server: MastraServer, workflow_id: str, *, lookback: float = LOOKBACK_SECONDS
) -> list[Asked]:
    """As `list_pending_requests`."""
    async with server.get_async_client() as client:
        workflow = client.get_workflow(workflow_id)
        look = await workflow.new_questions(lookback=lookback, most=None)
    return [asked(question) for question in look.questions]


@flow(
    name="mastra-arun-workflow",
    flow_run_name=flow_run_name,
    result_serializer=SERIALIZER,
    persist_result=PERSIST_RESULT,
    on_cancellation=[cancel_mastra_runs],
    on_crashed=[cancel_mastra_runs],
)
@_with_docstring_of(run_workflow.fn)
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
    answers: Answers | None = None,
    pause: PauseMode = "pause",
    response_timeout: Duration | None = None,
    on_response_timeout: OnResponseTimeout = "fail",
    default_answer: JSON = None,
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
    """As `run_workflow`."""
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
