"""A person answers what a suspended run asks, on the page of the Prefect flow run."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import anyio
from prefect.client.orchestration import get_client

from mastra_workflows import JSON, Duration, OnStall
from mastra_workflows.hitl import Answers, OnResponseTimeout
from mastra_workflows.integration import Answer, Sleep
from prefect_mastra.blocks import MastraServer
from prefect_mastra.hitl._pause import PauseMode, PrefectCall, RunCall
from prefect_mastra.hitl._response_loop import ResponseLoop, response_loop
from prefect_mastra.runs import MastraWorkflowRun, Outcome, RunReference


async def adrive(run: MastraWorkflowRun, loop: ResponseLoop) -> Outcome:
    """Run a response loop: perform what it yields."""
    async with get_client() as prefect:
        with contextlib.closing(loop.steps()) as procedure:

            async def perform(effect: PrefectCall | RunCall | Sleep) -> Any:
                match effect:
                    case PrefectCall(method, arguments, options):
                        return await getattr(prefect, method)(*arguments, **options)
                    case RunCall(method, arguments, options):
                        return await getattr(run, f"a{method}")(*arguments, **options)
                    case Sleep(seconds):
                        await anyio.sleep(seconds)

            step: Callable[[Any], Any] = procedure.send
            value: Any = None
            while True:
                try:
                    effect = step(value)
                except StopIteration as stop:
                    outcome: Outcome = stop.value
                    return outcome
                try:
                    step, value = procedure.send, await perform(effect)
                except Exception as error:
                    step, value = procedure.throw, error


async def aask_and_resume(
    server: MastraServer,
    run: RunReference,
    *,
    workflow_id: str | None = None,
    step: str | Sequence[str] | None = None,
    for_each_index: int | None = None,
    suspended_at: str | None = None,
    answers: Answers | None = None,
    pause: PauseMode = "pause",
    response_timeout: Duration | None = None,
    on_response_timeout: OnResponseTimeout = "fail",
    default_answer: JSON = None,
    timeout: Duration | None = None,
    poll_interval: Duration = 0.5,
    max_poll_interval: Duration = 30.0,
    outage_timeout: Duration = 300.0,
    stall_timeout: Duration | None = 3600.0,
    on_stall: OnStall = "fail",
    observe: bool = True,
    cancel_on_kill: bool = True,
    cancel_on_timeout: bool = True,
) -> Outcome:
    """Have a person answer what a run asks, resume it and wait, until it asks no more.

    The flow run that calls this pauses: on its page there is a *Resume* button with a form, made of
    the step's resume schema, below what the step has asked. *Cancel*, beside it, cancels the flow
    run and the Mastra run with it. This is a plain function, since a task cannot be paused and a
    flow of its own would have a page of its own.

    A question that is answered elsewhere, as in Studio, lets the flow run go on.

    Args:
        server: the server.
        run: a handle, what a task or flow returned, or a run id. A finished run is left as it is.
        workflow_id: the workflow's registry key, where ``run`` is a run id.
        step: ask only what this step asks, by its name or path; None for all that the run asks.
        for_each_index: ask only for this item of a ``foreach``, counted from 0.
        suspended_at: ask only the question that the step asks since then; see `aresume_workflow`.
        answers: answers by code, by the step's name: resume data, or a function that is given the
            `mastra_workflows.hitl.Question` and returns it, or returns ``ASK`` to leave the
            question to a person; or one such function for all steps.
        pause: ``"pause"`` holds the process while a person thinks. ``"suspend"`` ends it, in a flow
            run of a deployment: with the answer the flow runs again from its top, and the start of
            the run in it finds the run that it has started.
        response_timeout: for how many seconds each question waits for a person; None for as long
            as it takes. Only with ``pause="pause"``.
        on_response_timeout: what becomes of a question that nobody has answered in time: an error
            that leaves the run suspended (``"fail"``), an error and a cancelled run
            (``"cancel"``), or the default answer (``"answer"``).
        default_answer: the resume data for that.
        timeout: seconds to wait for the run at a time, without what a person takes to answer.
        poll_interval, max_poll_interval, outage_timeout, stall_timeout, on_stall, observe: as
            `await_for_workflow_run`.
        cancel_on_kill: whether to cancel the run when the flow run is cancelled or interrupted.
        cancel_on_timeout: whether to cancel the run when the time to wait is over.

    Returns:
        The outcome of a run that succeeded, or that waits at steps that were not to be asked. Its
        ``answers`` tell which ``step`` was answered with what (``answer``), when (``at``), and by
        whom (``by``): ``"code"``, ``"person"`` or ``"default"``; ``user`` is always None, since
        Prefect does not say which person.

    Raises:
        ConfigurationError: there is no flow run to pause, or the options do not fit together.
        InvalidResumeDataError: an answer by code or the default answer does not fit.
        WaitTimeoutError: nobody answered in time.
        prefect.exceptions.CancelledRun: this subflow run was cancelled meanwhile.
        As `await_for_workflow_run`.
    """
    handle = MastraWorkflowRun.of(
        server,
        run,
        workflow_id,
        cancel_on_kill=cancel_on_kill,
        cancel_on_timeout=cancel_on_timeout,
        timeout=timeout,
        on_suspend="return",
        poll_interval=poll_interval,
        max_poll_interval=max_poll_interval,
        outage_timeout=outage_timeout,
        stall_timeout=stall_timeout,
        on_stall=on_stall,
        observe=observe,
    )
    loop = response_loop(
        handle,
        Answer(step=step, for_each_index=for_each_index, suspended_at=suspended_at),
        answers=answers,
        pause=pause,
        response_timeout=response_timeout,
        on_response_timeout=on_response_timeout,
        default_answer=default_answer,
    )
    async with handle.acancelling_on_kill():
        return await adrive(handle, loop)
