"""Let a person respond to a suspended run on the page of the Prefect flow run."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import anyio
from prefect.client.orchestration import get_client

from mastra_workflows import JSON, Duration, OnStall
from mastra_workflows.hitl import OnResponseTimeout, Responses
from mastra_workflows.integration import ResumeOptions, Sleep
from prefect_mastra.blocks import MastraServer
from prefect_mastra.hitl._pause import PauseMode, PrefectCall, RunCall
from prefect_mastra.hitl._response_loop import ResponseLoop, response_loop
from prefect_mastra.runs import MastraWorkflowRun, Outcome, RunReference


async def adrive(run: MastraWorkflowRun, loop: ResponseLoop) -> Outcome:
    """Run a response loop: perform each effect that it yields."""
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
    responses: Responses | None = None,
    pause: PauseMode = "pause",
    response_timeout: Duration | None = None,
    on_response_timeout: OnResponseTimeout = "fail",
    default_response: JSON = None,
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
    """Collect responses to a run's pending requests and resume it, until none is pending.

    The calling flow run pauses. Its page shows the step's request and a *Resume* button with a
    form, which is generated from the step's resume schema. The *Cancel* button cancels the flow run
    and the Mastra run. If somebody responds elsewhere, such as in Mastra Studio, the flow run
    continues.

    This is a plain function: Prefect cannot pause a task, and a separate flow would pause on a
    page other than the caller's.

    Args:
        server: the server.
        run: a handle, the return value of a task or flow, or a run id. A finished run stays
            unchanged.
        workflow_id: the workflow's registry key, if ``run`` is a run id.
        step: the name or path of the only step to handle; None for all suspended steps.
        for_each_index: the only item of a ``foreach`` to handle, counted from 0.
        suspended_at: handle only the request that is pending since this time; see
            `aresume_workflow`.
        responses: responses by code, by step name: resume data, or a function that receives the
            `mastra_workflows.hitl.PendingRequest` and returns resume data, or ``ASK`` to leave the
            request to a person. Or one such function for all steps.
        pause: ``"pause"`` keeps the process running until a person responds. ``"suspend"`` ends it,
            in a flow run of a deployment only. After the response, the flow executes again from
            its top, and the call that started the run attaches to it.
        response_timeout: seconds to wait for each response; None for as long as it takes. Only
            with ``pause="pause"``.
        on_response_timeout: the action after ``response_timeout``: ``"fail"`` raises an error and
            leaves the run suspended, ``"cancel"`` cancels the run and raises an error,
            ``"respond"`` responds with the default response.
        default_response: the resume data for ``on_response_timeout="respond"``.
        timeout: seconds for each wait for the run, excluding the time that a person takes.
        poll_interval, max_poll_interval, outage_timeout, stall_timeout, on_stall, observe: as
            `await_for_workflow_run`.
        cancel_on_kill: whether to cancel the run when the flow run is cancelled or interrupted.
        cancel_on_timeout: whether to cancel the run when ``timeout`` expires.

    Returns:
        The outcome of a run that succeeded, or that is suspended at other steps than those to
        handle. Each of its ``responses`` has the ``step``, the ``resume_data``, the time (``at``)
        and the responder (``by``): ``"code"``, ``"person"`` or ``"default"``. ``user`` is always
        None, since Prefect does not report who responded.

    Raises:
        ConfigurationError: there is no flow run to pause, or the options contradict each other.
        InvalidResumeDataError: a response by code or the default response is invalid.
        WaitTimeoutError: no response arrived in time, or ``timeout`` expired.
        prefect.exceptions.Abort: the flow run was cancelled while it was paused.
        prefect.exceptions.CancelledRun: the same, if the flow run is a subflow run.
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
        ResumeOptions(step=step, for_each_index=for_each_index, suspended_at=suspended_at),
        responses=responses,
        pause=pause,
        response_timeout=response_timeout,
        on_response_timeout=on_response_timeout,
        default_response=default_response,
    )
    async with handle.acancelling_on_kill():
        return await adrive(handle, loop)
