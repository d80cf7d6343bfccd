"""Provide tasks that run workflows, manage their runs and list pending requests.

Tasks for one run return its outcome as a dictionary (``run_id``, ``workflow_id``, ``status``,
``result``, ``error``, ``suspensions``, ``url``). As the run to work on, they accept such a
dictionary (``run_id`` and ``workflow_id`` suffice), a `MastraWorkflowRun`, or a run id.

The tasks disable Prefect's result cache, since the Mastra server keeps the record of each run.
"""

# No `from __future__ import annotations` here: Prefect pickles flows and tasks by value, for
# `.serve()` among others, and a copy cannot resolve annotations that are strings.

from collections.abc import Sequence
from typing import Any, get_args

from prefect import task
from prefect.cache_policies import NO_CACHE

from mastra_workflows import JSON, Duration, OnFailedRun, OnStall, OnSuspend
from mastra_workflows.hitl import (
    OnResponseTimeout,
    PendingRequestReference,
    Responses,
    pending_request_reference,
)
from mastra_workflows.integration import LOOKBACK_SECONDS, require_choice
from prefect_mastra._json import start_arguments
from prefect_mastra._names import task_run_name
from prefect_mastra._run_ids import on_other_input, run_id_for_call
from prefect_mastra.aio._ask import adrive
from prefect_mastra.blocks import MastraServer
from prefect_mastra.hitl._pause import OnSuspension, PauseMode
from prefect_mastra.hitl._response_loop import response_loop
from prefect_mastra.retries import new_run_may_help, retry_may_help
from prefect_mastra.runs import MastraWorkflowRun, Outcome, RunReference


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
    """Start a run of a workflow, idempotently, without waiting for it.

    A retry of the task or of its flow attaches to the run of an earlier attempt: the run id is
    derived from the flow run, the workflow and the input. Input that differs in each attempt, such
    as a time, needs a ``key``.

    Args:
        server: the server.
        workflow_id: the workflow's registry key, such as ``orderReport``.
        input_data: the workflow's input, validated against its input schema before anything
            starts: JSON data, a Pydantic model, a dataclass, or data that contains dates, enums,
            decimals or UUIDs.
        run_id: a run id of your own; by default one is derived.
        key: the name of this call, unique in the flow run (including subflows). It replaces the
            input in the derived run id. Required in a task that runs in another process than its
            flow.
        initial_state: the workflow's state at its start (Mastra 1.x).
        request_context: values that steps read from their request context.
        tracing_options: options of Mastra's tracing.
        resource_id: the resource that the run belongs to (Mastra 1.x).
        on_failed_run: how a retry handles a run that failed, or that an earlier attempt cancelled:
            ``"new_run"`` starts the next run in line (``<run_id>-2``), ``"from_failed_step"``
            continues the run at the failed step and keeps the earlier steps, ``"fail"`` raises an
            error. A run that somebody else cancelled is final.
        cancel_on_kill: whether to cancel the run when this task is interrupted.

    Returns:
        The current outcome. Pass it to `await_for_workflow_run`.

    Raises:
        InvalidInputError: the input is invalid; the message names each invalid place. Nothing was
            started.
        UnknownWorkflowError: the server has no such workflow; the message names those that exist.
        RunNotStartedError: the server refused the run. Starting it again is safe.
    """
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
    """Start a run of a workflow, wait for it and return its outcome, in one task.

    ``.submit``, ``.map``, retries and tag concurrency limits of the task therefore apply to whole
    runs. Each call has its own run, even if calls (mapped ones included) have equal input. A retry
    of a call attaches to the run of that call.

    With ``on_suspend="ask"`` the flow run around the task pauses and shows the form, one pending
    request at a time. ``pause="suspend"`` needs the flow `arun_workflow` or `aask_and_resume`,
    since a task cannot end the process of its flow.

    With ``retries``, a failed run is retried too, as ``on_failed_run`` specifies.

    Args and raises: as `arun_workflow`.

    Returns:
        The outcome of a run that succeeded, or that is suspended with ``on_suspend="return"``.
    """
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
            responses=responses,
            pause=pause,
            response_timeout=response_timeout,
            on_response_timeout=on_response_timeout,
            default_response=default_response,
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
    """Wait until a run has finished, and log the start and end of each step.

    Args:
        server: the server.
        run: a handle, the return value of a task or flow, or a run id.
        workflow_id: the workflow's registry key, if ``run`` is a run id.
        timeout: seconds to wait; None for as long as it takes.
        on_suspend: the reaction to a suspended run: ``"fail"`` raises an error, ``"return"``
            returns its outcome, ``"wait"`` waits until it is resumed elsewhere.
        poll_interval: seconds between the first polls.
        max_poll_interval: maximum seconds between polls; the interval grows exponentially.
        outage_timeout: maximum seconds that the server may be unreachable.
        stall_timeout: seconds without a change in the run's record before the server is asked
            whether it still executes the run; None for never.
        on_stall: the reaction if it does not: ``"fail"``, ``"restart"`` the run, or ``"wait"``.
        observe: whether to subscribe to the server's events, which report the end within
            milliseconds.
        cancel_on_kill: whether to cancel the run when this task is interrupted.
        cancel_on_timeout: whether to cancel the run when ``timeout`` expires.

    Returns:
        The outcome of a run that succeeded, or that is suspended with ``on_suspend="return"``.

    Raises:
        RunFailedError, RunCanceledError: the run failed or was cancelled.
        RunSuspendedError: the run is suspended, with ``on_suspend="fail"``.
        RunStalledError: the server has lost the run, with ``on_stall="fail"``.
        WaitTimeoutError: ``timeout`` expired. The run was cancelled if ``cancel_on_timeout`` is
            set; otherwise it continues.
        ServerLostError: the server was unreachable for longer than ``outage_timeout``. The run may
            continue.
    """
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
    """Resume a suspended step, idempotently, without waiting for the run.

    A retry with the same response to the same step does not resume it a second time.

    Args:
        server: the server.
        run: a handle, the return value of a task or flow, or a run id.
        resume_data: the response, validated against the step's resume schema before it is sent.
        workflow_id: the workflow's registry key, if ``run`` is a run id.
        step: the step's name or path; None for the only suspended step.
        for_each_index: the item of a ``foreach``, counted from 0; None for the only suspended one.
        suspended_at: the time of the suspension, from the step's entry in ``suspensions``; None
            for any. In a loop it distinguishes the requests of successive iterations.

    Returns:
        The outcome at the time when the step continues.

    Raises:
        NotSuspendedError: no such step is suspended, or several are; the message names them.
        InvalidResumeDataError: the data is invalid; the step is still suspended.
        ResumeRefusedError: the server did not accept the resume.
    """
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
    """Cancel a run, check the effect and log it.

    Args:
        server: the server.
        run: a handle, the return value of a task or flow, or a run id.
        workflow_id: the workflow's registry key, if ``run`` is a run id.

    Returns:
        The outcome afterwards. A finished run stays unchanged.

    Raises:
        UnknownRunError: the server has no such run.
    """
    return await MastraWorkflowRun.of(server, run, workflow_id).acancel()


@task(
    task_run_name=task_run_name("list pending requests of"),
    cache_policy=NO_CACHE,
    retry_condition_fn=retry_may_help,
)
async def alist_pending_requests(
    server: MastraServer, workflow_id: str, *, lookback: float = LOOKBACK_SECONDS
) -> list[PendingRequestReference]:
    """List the pending requests of a workflow's suspended runs, including runs started elsewhere.

    For an inbox, create one flow run per request, with the request's ``key`` as the idempotency
    key, so that no request is handled twice. In that flow run, pass the request to
    `aask_and_resume` as its ``run``.

    Args:
        server: the server.
        workflow_id: the workflow's registry key, such as ``refundApproval``.
        lookback: maximum age, in seconds, of the runs to read from a 0.x server. The default is a
            week. A request of an older run is not listed there.

    Returns:
        The ``key, workflow_id, run_id, step, for_each_index, suspended_at`` of each request, oldest
        first. The server sends the whole record of each suspended run. A 0.x server cannot select
        suspended runs: it sends every run that was created within ``lookback``, finished or not.

    Raises:
        UnknownWorkflowError: the server has no such workflow; the message names those that exist.
    """
    async with server.get_async_client() as client:
        workflow = client.get_workflow(workflow_id)
        look = await workflow.new_pending_requests(lookback=lookback, most=None)
    return [pending_request_reference(pending_request) for pending_request in look.pending_requests]
