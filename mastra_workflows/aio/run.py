"""The handle of one run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from mastra_workflows import _procedures as procedures
from mastra_workflows._api import Request, StartOptions, require_id
from mastra_workflows._async_transport import AsyncEventStream, AsyncTransport
from mastra_workflows._models import JSON, Event, WorkflowRun
from mastra_workflows._options import OnOtherInput
from mastra_workflows._policy import Duration
from mastra_workflows._procedures import (
    Follower,
    OnStall,
    OnSuspend,
    Receipt,
    Server,
    WaitOptions,
)
from mastra_workflows._procedures.acting import Cancellation
from mastra_workflows._procedures.resuming import Answer
from mastra_workflows._settings import OfOneProcess
from mastra_workflows.hitl._questions import Question

if TYPE_CHECKING:
    from mastra_workflows.aio.workflow import AsyncWorkflow


class AsyncRun(OfOneProcess):
    """A handle of one run; made by `AsyncWorkflow.get_run` and `AsyncWorkflow.create_run`.

    Idempotent, and what most programs need: `ensure_started`, `wait`, `attach_or_resume`, `answer`
    and `cancel`. Mastra's client methods of the same names, one request each: `start`,
    `start_async`, `stream`, `watch`, `resume`, `resume_async`, `resume_stream`, `restart`,
    `time_travel`. ``_async`` in a name is Mastra's: the server responds when the run has finished.

    Attributes:
        workflow: the handle of its workflow.
        workflow_id: that workflow's registry key.
        run_id: its id.
    """

    def __init__(
        self, transport: AsyncTransport, server: Server, workflow: AsyncWorkflow, run_id: str
    ) -> None:
        self._transport = transport
        self._server = server
        self.workflow = workflow
        self.workflow_id = workflow.workflow_id
        self.run_id = require_id(run_id)

    async def read(self) -> WorkflowRun:
        """Return the record of the run.

        Raises:
            UnknownRunError: there is no such run.
        """
        return await self._transport.run(
            procedures.read_run(self._server, self.workflow_id, self.run_id)
        )

    # -- idempotent -----------------------------------------------------------------------------

    async def ensure_started(
        self,
        *,
        input_data: JSON = None,
        initial_state: JSON = None,
        request_context: Mapping[str, JSON] | None = None,
        tracing_options: Mapping[str, JSON] | None = None,
        resource_id: str | None = None,
        on_other_input: OnOtherInput = "fail",
    ) -> Receipt:
        """Start the run unless it was started before; does not wait for it.

        It reads the run, then sends ``POST .../stream``, and drops the stream as soon as it shows
        that the run executes; the run continues. Of several such calls at once, one executes.

        Args:
            input_data, initial_state, request_context: see `start_async`.
            tracing_options, resource_id: see `start_async`.
            on_other_input: what follows if the run was started with other input: ``"fail"`` raises
                a `RunMismatchError`, ``"attach"`` logs a warning and uses the run.

        Raises:
            RunMismatchError: the run was started with other input; nothing was started now.
            InvalidInputError: the input is invalid; nothing was executed.
            RunNotStartedError: the server refused the run, or did not show within
                ``start_timeout`` that it executes.
        """
        options = StartOptions(
            input_data=input_data,
            initial_state=initial_state,
            request_context=request_context,
            tracing_options=tracing_options,
            resource_id=resource_id,
        )
        return await self._transport.run(
            procedures.ensure_started(
                self._server, self.workflow_id, self.run_id, options, on_other_input
            )
        )

    async def wait(
        self,
        *,
        timeout: Duration | None = None,
        on_suspend: OnSuspend = "return",
        poll_interval: Duration = 0.5,
        max_poll_interval: Duration = 30.0,
        outage_timeout: Duration = 300.0,
        stall_timeout: Duration | None = 3600.0,
        on_stall: OnStall = "fail",
        observe: bool = True,
        is_known: bool = False,
        on_record: Callable[[WorkflowRun], None] | None = None,
        on_event: Callable[[Event], None] | None = None,
    ) -> WorkflowRun:
        """Wait until the run has finished or is suspended.

        It subscribes to the run's events (as `watch` does) and reads the record when they report an
        end. Where the server sends no events, it polls with backoff and jitter.

        Args:
            timeout: how long to wait; None for as long as it takes. The run continues after it.
            on_suspend: how a suspension ends the wait: ``"return"`` returns the record, ``"fail"``
                raises a `RunSuspendedError`, ``"wait"`` waits until the run is resumed elsewhere.
            poll_interval: the interval between the first polls.
            max_poll_interval: the interval that this grows to, exponentially.
            outage_timeout: how long the server may be unavailable. Any response that is not
                Mastra's counts as an outage (401, 403, a 500, a redirect, an HTML page, half a
                document), once the server has given a valid one. After a minute without events, or
                after this time if it is shorter, the run is polled all the same, which detects a
                server that hangs with its connections open and a run that was cancelled on another
                replica.
            stall_timeout: after how long without any change in the run's record the server is asked
                whether it still executes the run; None for never. A server that was seen to
                execute the run and then refused a connection is asked as soon as it responds
                again, 15 times in a minute.
            on_stall: what follows when it does not: ``"fail"`` raises a `RunStalledError`,
                ``"restart"`` restarts the run, once for each stall, ``"wait"`` continues to wait.
            observe: whether to subscribe to the server's events, which report the end within
                milliseconds. False only polls.
            is_known: whether the run is known to have been started, by an earlier call or another
                process. Then even the first response may be part of an outage. Otherwise a wrong
                token, or a response that is not Mastra's, fails the wait at once.
            on_record: called with each record that is read.
            on_event: called with each event as it happens, once; outputs of steps are left out.

        Returns:
            The last record; `WorkflowRun.raise_for_status` raises if it is that of a failed run.

        Raises:
            WaitTimeoutError: ``timeout`` is over; the run continues.
            RunSuspendedError: see ``on_suspend``.
            RunStalledError: see ``on_stall``.
            RunNotStartedError: the run is ``pending`` and nobody starts it.
            ServerLostError: the server was unavailable for longer than ``outage_timeout``.
        """
        options = WaitOptions.of(
            timeout=timeout,
            on_suspend=on_suspend,
            poll_interval=poll_interval,
            max_poll_interval=max_poll_interval,
            outage_timeout=outage_timeout,
            stall_timeout=stall_timeout,
            on_stall=on_stall,
            observe=observe,
            is_known=is_known,
            on_record=on_record,
            on_event=on_event,
        )
        return await self._transport.run(
            procedures.wait(self._server, self.workflow_id, self.run_id, options)
        )

    async def attach_or_resume(
        self,
        *,
        step: str | Sequence[str] | None = None,
        resume_data: JSON = None,
        for_each_index: int | None = None,
        suspended_at: datetime | str | None = None,
        request_context: Mapping[str, JSON] | None = None,
        is_retry: bool = True,
    ) -> WorkflowRun:
        """Resume a step unless it was resumed with the same data before; does not wait for the run.

        Args:
            step, resume_data, for_each_index, suspended_at, request_context: see `resume`.
            is_retry: whether an earlier attempt may have resumed the step. Then a step that is
                suspended again after this very data is left alone, since it asks something new;
                ``suspended_at`` tells such suspensions apart for certain.

        Returns:
            The record of the run, once the suspension is gone from it.

        Raises:
            NotSuspendedError, InvalidResumeDataError, ResumeRefusedError: see `resume`.
        """
        answer = Answer(
            step=step,
            resume_data=resume_data,
            for_each_index=for_each_index,
            suspended_at=suspended_at,
            request_context=request_context,
        )
        return await self._transport.run(
            procedures.attach_or_resume(
                self._server, self.workflow_id, self.run_id, answer, is_retry=is_retry
            )
        )

    async def answer(
        self,
        question: Question,
        resume_data: JSON,
        *,
        answered_by: JSON = None,
        is_retry: bool = False,
        timeout: Duration | None = None,
        on_suspend: OnSuspend = "return",
        poll_interval: Duration = 0.5,
        max_poll_interval: Duration = 30.0,
        outage_timeout: Duration = 300.0,
        stall_timeout: Duration | None = 3600.0,
        on_stall: OnStall = "fail",
        observe: bool = True,
        is_known: bool = False,
        on_record: Callable[[WorkflowRun], None] | None = None,
        on_event: Callable[[Event], None] | None = None,
    ) -> WorkflowRun:
        """Resume the step that asked a question of this run, once (``POST .../resume-stream``).

        While another branch of the run executes the server accepts no resume; this waits for it.

        Args:
            question: one of `mastra_workflows.hitl._questions.questions`.
            resume_data: the response, as `Form.answer` makes it of what was entered.
            answered_by: who responded, a name or an object: kept in the run's request context as
                ``answeredBy.<step>``.
            is_retry: whether an earlier attempt may have delivered this response.
            timeout, on_suspend, outage_timeout, stall_timeout, on_stall: how to wait for other
                branches; see `wait`.
            poll_interval, max_poll_interval, observe, is_known, on_record, on_event: see `wait`.

        Returns:
            The record of the run, once the question is gone from it.

        Raises:
            NotSuspendedError: the question is no longer open: somebody else has responded, or the
                run has finished. Its ``run`` is the record.
            InvalidResumeDataError: the data is invalid; the step is still suspended.
            ResumeSchemaChangedError: likewise, since the step asks for something else now; the
                error's ``question`` is the one to ask.
            ServerLostError: the server was unavailable for too long, and the response was not
                delivered. `AnswerLostError`: the server has not shown whether it was.
            ResumeRefusedError: the server refused it.
        """
        options = WaitOptions.of(
            timeout=timeout,
            on_suspend=on_suspend,
            poll_interval=poll_interval,
            max_poll_interval=max_poll_interval,
            outage_timeout=outage_timeout,
            stall_timeout=stall_timeout,
            on_stall=on_stall,
            observe=observe,
            is_known=is_known,
            on_record=on_record,
            on_event=on_event,
        )
        return await self._transport.run(
            procedures.answer(
                self._server,
                question,
                resume_data,
                answered_by=answered_by,
                is_retry=is_retry,
                waiting=options,
            )
        )

    async def cancel(
        self, *, confirm_timeout: Duration = 5.0, allow_retry: bool = False
    ) -> Cancellation:
        """Cancel the run and read the effect (``POST .../runs/{run}/cancel``).

        Args:
            confirm_timeout: how long to poll for the run's end.
            allow_retry: whether `Workflow.attach_or_start` may start another run in its place, as
                after a timeout. By default the cancellation is final; see `Workflow.cancel_work`.

        Returns:
            The effect, according to the record read afterwards.
        """
        return await self._transport.run(
            procedures.cancel(
                self._server,
                self.workflow_id,
                self.run_id,
                confirm_timeout=confirm_timeout,
                allow_retry=allow_retry,
            )
        )

    async def delete(self) -> None:
        """Delete the run's record (``DELETE .../runs/{run}``, 1.x).

        Raises:
            UnsupportedError: the server is a legacy one (0.x).
        """
        await self._transport.run(procedures.delete(self._server, self.workflow_id, self.run_id))

    # -- as Mastra's client ---------------------------------------------------------------------

    async def start(
        self,
        *,
        input_data: JSON = None,
        initial_state: JSON = None,
        request_context: Mapping[str, JSON] | None = None,
        tracing_options: Mapping[str, JSON] | None = None,
        resource_id: str | None = None,
    ) -> WorkflowRun:
        """Start the run without waiting for it (``POST .../start``).

        `ensure_started` does the same and is idempotent.

        Args:
            input_data, initial_state, request_context: see `start_async`.
            tracing_options, resource_id: see `start_async`.

        Returns:
            The record of the run, once it shows that the run executes.

        Raises:
            InvalidInputError: the input is invalid; nothing was started.
            RunAlreadyStartedError: another start would execute the run again.
            RunNotStartedError: the run is still ``pending`` after ``start_timeout``.
        """
        options = StartOptions(
            input_data=input_data,
            initial_state=initial_state,
            request_context=request_context,
            tracing_options=tracing_options,
            resource_id=resource_id,
        )
        return await self._transport.run(
            procedures.start(self._server, self.workflow_id, self.run_id, options)
        )

    async def start_async(
        self,
        *,
        input_data: JSON = None,
        initial_state: JSON = None,
        request_context: Mapping[str, JSON] | None = None,
        tracing_options: Mapping[str, JSON] | None = None,
        resource_id: str | None = None,
    ) -> WorkflowRun:
        """Start the run and wait for it in one call (``POST .../start-async``).

        Servers cut that call after three minutes; the waiting then continues by polling.

        Args:
            input_data: the workflow's input, which is validated against its input schema first.
                None is sent as an empty object, or as null where only that fits the schema.
            initial_state: the workflow's state at its start (1.x; 0.x ignores it).
            request_context: values that steps read from their request context (0.x: runtime
                context).
            tracing_options: passed to Mastra's tracing.
            resource_id: the owner of the run (1.x; 0.x ignores it).

        Returns:
            The record of the run: finished with any status, or suspended.

        Raises:
            InvalidInputError, RunAlreadyStartedError, RunNotStartedError: see `start`.
        """
        options = StartOptions(
            input_data=input_data,
            initial_state=initial_state,
            request_context=request_context,
            tracing_options=tracing_options,
            resource_id=resource_id,
        )
        return await self._transport.run(
            procedures.start_async(self._server, self.workflow_id, self.run_id, options)
        )

    async def stream(
        self,
        *,
        input_data: JSON = None,
        initial_state: JSON = None,
        request_context: Mapping[str, JSON] | None = None,
        tracing_options: Mapping[str, JSON] | None = None,
        resource_id: str | None = None,
    ) -> AsyncEventStream:
        """Start the run and iterate its events as they arrive (``POST .../stream``).

        Leaving the iteration early does not stop the run::

            async for event in await run.stream(input_data={"city": "Hamburg"}):
                print(event.type)

        Args:
            input_data, initial_state, request_context: see `start_async`.
            tracing_options, resource_id: see `start_async`.

        Raises:
            InvalidInputError, RunAlreadyStartedError, RunNotStartedError: see `start`.
            ConnectionFailedError: raised by the iteration if its stream was cut for good: again and
                again, or the server sends no more events of the run, which continues. `wait` still
                works then.
        """
        options = StartOptions(
            input_data=input_data,
            initial_state=initial_state,
            request_context=request_context,
            tracing_options=tracing_options,
            resource_id=resource_id,
        )
        request = await self._transport.run(
            procedures.stream_request(self._server, self.workflow_id, self.run_id, options)
        )
        return await self._follow(request)

    async def watch(self) -> AsyncEventStream:
        """Iterate the events of an active run (0.x: ``GET .../watch``; 1.x: ``POST .../observe``).

        A server sends only events of runs that it executes itself at the moment, 1.x only of those
        that were started or resumed by a stream (`stream`, `ensure_started`, `resume`).

        0.x sends what happens from now on. What happens while a stream that was cut is opened again
        is missing then, the end included: the iteration ends without it if the run is no longer
        active. It never reports that the run was cancelled, nor a run that it has lost: the
        iteration then continues without an event. `wait` reads the record as well.

        Raises:
            UnknownRunError: there is no such run.
            NotActiveError: the run has finished, and the server is a 0.x one.
            ConnectionFailedError: raised by the iteration; see `stream`.
        """
        request = await self._transport.run(
            procedures.watchable(self._server, self.workflow_id, self.run_id)
        )
        return await self._follow(request)

    async def resume(
        self,
        *,
        step: str | Sequence[str] | None = None,
        resume_data: JSON = None,
        for_each_index: int | None = None,
        suspended_at: datetime | str | None = None,
        request_context: Mapping[str, JSON] | None = None,
    ) -> WorkflowRun:
        """Resume a suspended step without waiting for the run (``POST .../resume-stream``).

        `attach_or_resume` is idempotent.

        Args:
            step: a step's path, its name (``inner.approve``), or None for the only one that is
                suspended.
            resume_data: validated against the step's resume schema first.
            for_each_index: the item of a ``foreach``, counted from 0; None for the only one that is
                suspended.
            suspended_at: the time of the suspension that is meant, as its `Suspension` has it (or
                its JSON); None for any. In a loop it tells one round's suspension from the next
                one's.
            request_context: values that steps read from their request context, besides those that
                the run was started with.

        Returns:
            The record of the run, once the suspension is gone from it.

        Raises:
            NotSuspendedError: no such step is suspended, or several are; the message names those.
            InvalidResumeDataError: the data is invalid.
            ResumeRefusedError: the server refused it.
        """
        answer = Answer(
            step=step,
            resume_data=resume_data,
            for_each_index=for_each_index,
            suspended_at=suspended_at,
            request_context=request_context,
        )
        return await self._transport.run(
            procedures.resume(self._server, self.workflow_id, self.run_id, answer)
        )

    async def resume_async(
        self,
        *,
        step: str | Sequence[str] | None = None,
        resume_data: JSON = None,
        for_each_index: int | None = None,
        suspended_at: datetime | str | None = None,
        request_context: Mapping[str, JSON] | None = None,
    ) -> WorkflowRun:
        """Resume a step and wait in one call (``POST .../resume-async``), then by polling.

        Args:
            step, resume_data, for_each_index, suspended_at, request_context: see `resume`.

        Returns:
            The record of the run: finished, or suspended again.

        Raises:
            NotSuspendedError, InvalidResumeDataError, ResumeRefusedError: see `resume`.
        """
        answer = Answer(
            step=step,
            resume_data=resume_data,
            for_each_index=for_each_index,
            suspended_at=suspended_at,
            request_context=request_context,
        )
        return await self._transport.run(
            procedures.resume_async(self._server, self.workflow_id, self.run_id, answer)
        )

    async def resume_stream(
        self,
        *,
        step: str | Sequence[str] | None = None,
        resume_data: JSON = None,
        for_each_index: int | None = None,
        suspended_at: datetime | str | None = None,
        request_context: Mapping[str, JSON] | None = None,
    ) -> AsyncEventStream:
        """Resume a step and iterate the events from then on (``POST .../resume-stream``).

        Args:
            step, resume_data, for_each_index, suspended_at, request_context: see `resume`.

        Raises:
            NotSuspendedError, InvalidResumeDataError, ResumeRefusedError: see `resume`.
            ConnectionFailedError: raised by the iteration; see `stream`.
        """
        answer = Answer(
            step=step,
            resume_data=resume_data,
            for_each_index=for_each_index,
            suspended_at=suspended_at,
            request_context=request_context,
        )
        request, after = await self._transport.run(
            procedures.resume_request(self._server, self.workflow_id, self.run_id, answer)
        )
        return await self._follow(request, after)

    async def restart(self) -> WorkflowRun:
        """Continue a run that its server lost by restarting (``POST .../restart-async``).

        From 0.24.8 on. The server does not check whether the run still executes: restarting a live
        one executes its steps twice. Only a run that is ``running`` or ``waiting`` is restarted.

        Raises:
            NotActiveError: the run has any other status.
        """
        return await self._transport.run(
            procedures.restart(self._server, self.workflow_id, self.run_id)
        )

    async def time_travel(
        self, *, step: str | Sequence[str], input_data: JSON = None
    ) -> WorkflowRun:
        """Run again from a step on, keeping the earlier steps (``POST .../time-travel-stream``).

        From 0.24.8 on. The stream is dropped as soon as it shows that the run executes.

        Args:
            step: the step's name or path.
            input_data: the step's input; None for the one it had.

        Raises:
            NotActiveError: the run is still active.
            UnknownStepError: the workflow has no such step, or a deploy has renamed it.
            RunNotStartedError: the server refused; the run is as it was.
        """
        return await self._transport.run(
            procedures.time_travel(self._server, self.workflow_id, self.run_id, step, input_data)
        )

    async def _follow(self, request: Request, after: datetime | None = None) -> AsyncEventStream:
        follower = Follower(self._server, self.workflow_id, self.run_id, request, after)
        return await self._transport.stream(follower)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.workflow_id!r}, {self.run_id!r})"
