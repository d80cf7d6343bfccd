"""Tasks: run a workflow, or start, wait for, resume or cancel a run; list pending requests.

Tasks for one run return its outcome as a dictionary (``run_id``, ``workflow_id``, ``status``,
``result``, ``error``, ``suspensions``, ``url``). They take such a dictionary as the run to work on,
or just its ``run_id`` and ``workflow_id``, a `MastraWorkflowRun`, or a run id.

The record of a run is kept by its Mastra server, so results are not cached by Prefect too.
"""

# No `from __future__ import annotations` here: Prefect pickles flows and tasks by value, for
# `.serve()` among others, and a copy cannot resolve annotations that are strings.

from collections.abc import Sequence
from typing import Any, get_args

from prefect import task
from prefect.cache_policies import NO_CACHE

from mastra_workflows import JSON, Duration, OnFailedRun, OnStall, OnSuspend
from mastra_workflows.hitl import Answers, OnResponseTimeout, QuestionReference, question_reference
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
    """Start a run of a workflow, once, without waiting for it.

    Retries of the task and of its flow find the run that an earlier try has started: its id is
    derived from the flow run, the workflow and the input. Input that is another one in each try,
    such as a time, needs a ``key``.

    Args:
        server: the server.
        workflow_id: the workflow's registry key, such as ``orderReport``.
        input_data: its input, validated against its input schema before anything starts. JSON data,
            a Pydantic model, a dataclass, or data with dates, enums, decimals or UUIDs in it.
        run_id: an id of your own for the run.
        key: this call's name, unique in the flow run (subflows included); it stands for the input
            in the derived id. Tasks in other processes than their flow's need one.
        initial_state: the workflow's state at its start (Mastra 1.x).
        request_context: values that steps read from their request context.
        tracing_options: passed to Mastra's tracing.
        resource_id: whom the run belongs to (Mastra 1.x).
        on_failed_run: what a retry does about a run that failed, or that an earlier try has
            cancelled: ``"new_run"`` starts the next one in line (``<run_id>-2``),
            ``"from_failed_step"`` sends it back to the step that failed and keeps what was done
            before, ``"fail"`` fails. A run that somebody else cancelled is final.
        cancel_on_kill: whether to cancel the run when this task is interrupted.

    Returns:
        The outcome as it stands, to be given to `await_for_workflow_run`.

    Raises:
        InvalidInputError: naming each place in the input; nothing was started.
        UnknownWorkflowError: naming the workflows that exist.
        RunNotStartedError: the server refused the run; starting it again is safe.
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
    """Start a run of a workflow, wait for it and return its outcome, in one task.

    ``.submit``, ``.map``, retries and tag concurrency limits of the task therefore bound whole
    runs. Calls with equal input, mapped ones too, are a run each; every retry of a call attaches to
    the run of that call.

    With ``on_suspend="ask"`` the flow run around the task pauses and shows the form, one pending
    request at a time. ``pause="suspend"`` needs the flow `arun_workflow` or `aask_and_resume`,
    since a task cannot end the process of its flow.

    With ``retries``, another try follows a run that failed too, as ``on_failed_run`` says.

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
    """Wait for a run's end; each step's start and end is a line in the task's log.

    Args:
        server: the server.
        run: a handle, what a task or flow returned, or a run id.
        workflow_id: the workflow's registry key, where ``run`` is a run id.
        timeout: seconds to wait; None for as long as it takes.
        on_suspend: what a suspension is: an error (``"fail"``), an answer (``"return"``), or
            nothing yet (``"wait"``).
        poll_interval: seconds between the first looks.
        max_poll_interval: seconds that the interval grows to, exponentially.
        outage_timeout: for how many seconds the server may be out of reach.
        stall_timeout: after how many seconds without any change in the run's record its server is
            asked whether it still executes the run; None for never.
        on_stall: what to do when it does not: ``"fail"``, ``"restart"`` the run, or ``"wait"``.
        observe: whether to listen to the server's events as well, and so to know of the end within
            milliseconds.
        cancel_on_kill: whether to cancel the run when this task is interrupted.
        cancel_on_timeout: whether to cancel the run when the time to wait is over.

    Returns:
        The outcome of a run that succeeded, or that is suspended with ``on_suspend="return"``.

    Raises:
        RunFailedError, RunCanceledError: it ended in another way.
        RunSuspendedError: it is suspended, with ``on_suspend="fail"``.
        RunStalledError: its server has lost it, with ``on_stall="fail"``.
        WaitTimeoutError: the time was over first; the run was cancelled, or goes on.
        ServerLostError: the server was out of reach for too long; the run may go on.
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
    """Resume a suspended step, once, without waiting for the run.

    A retry that has the same answer for the same step resumes nothing a second time.

    Args:
        server: the server.
        run: a handle, what a task or flow returned, or a run id.
        resume_data: the answer, checked against the step's resume schema before it is sent.
        workflow_id: the workflow's registry key, where ``run`` is a run id.
        step: the step's name or path; None for the only one that waits.
        for_each_index: which item of a ``foreach``, counted from 0; None for the only one.
        suspended_at: since when the step waits, as its entry in ``suspensions`` says; None for
            whenever. In a loop it tells one round's question from the next one's.

    Returns:
        The outcome as it stands once the step goes on.

    Raises:
        NotSuspendedError: no such step waits, or several do; the message names those.
        InvalidResumeDataError: the data does not fit; the step still waits.
        ResumeRefusedError: the server did not take it.
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
    """Cancel a run, and look what became of it; the log says so.

    Args:
        server: the server.
        run: a handle, what a task or flow returned, or a run id.
        workflow_id: the workflow's registry key, where ``run`` is a run id.

    Returns:
        The outcome afterwards. A run that was over already is left as it is.

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
) -> list[QuestionReference]:
    """What the suspended runs of a workflow ask now, whoever started them.

    For an inbox: give each a flow run of its own, with its ``key`` as the idempotency key, so that
    nothing is asked twice, and there to `aask_and_resume`, whose ``run`` a question can be.

    Args:
        server: the server.
        workflow_id: the workflow's registry key, such as ``refundApproval``.
        lookback: how old a run of a 0.x server may be that is looked at, in seconds.

    Returns:
        Each question's ``key, workflow_id, run_id, step, for_each_index, suspended_at``, the oldest
        first. The server sends each suspended run's whole record (0.x: that of every run).

    Raises:
        UnknownWorkflowError: naming the workflows that exist.
    """
    async with server.get_async_client() as client:
        workflow = client.get_workflow(workflow_id)
        look = await workflow.new_questions(lookback=lookback, most=None)
    return [question_reference(question) for question in look.questions]
