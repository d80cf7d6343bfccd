# Generated from mastra_workflows/aio/run.py by `make generate`. Do not edit.
"""The handle of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from mastra_workflows import _procedures as procedures
from mastra_workflows._api import Request, StartOptions, require_id
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
from mastra_workflows._procedures.resuming import ResumeOptions
from mastra_workflows._settings import OfOneProcess
from mastra_workflows._transport import EventStream, Transport
from mastra_workflows.hitl._pending_requests import PendingRequest

if TYPE_CHECKING:
    from mastra_workflows._sync.workflow import Workflow


class Run(OfOneProcess):
    """A handle of one run, returned by `Workflow.get_run` and `Workflow.create_run`.

    Most programs need only the idempotent methods: `start`, `wait`, `resume`, `respond` and
    `cancel`. The others correspond to the methods of Mastra's client and are not repeatable:
    `start_async`, `stream`, `watch`, `resume_async`, `resume_stream`, `restart`, `time_travel`. As
    in Mastra, ``_async`` in a name means that the server responds when the run has finished.

    Attributes:
        workflow: the handle of the workflow.
        workflow_id: the workflow's registry key.
        run_id: the id of the run.
    """

    def __init__(
        self, transport: Transport, server: Server, workflow: Workflow, run_id: str
    ) -> None:
        self._transport = transport
        self._server = server
        self.workflow = workflow
        self.workflow_id = workflow.workflow_id
        self.run_id = require_id(run_id)

    def read(self) -> WorkflowRun:
        """Return the record of the run.

        Raises:
            UnknownRunError: there is no such run.
        """
        return self._transport.run(procedures.read_run(self._server, self.workflow_id, self.run_id))

    # -- idempotent -----------------------------------------------------------------------------

    def start(
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

        It reads the run, then sends ``POST .../stream`` and drops the stream as soon as it shows
        that the run executes; the run continues. Of several concurrent calls, one executes the run.

        Args:
            input_data, initial_state, request_context: see `start_async`.
            tracing_options, resource_id: see `start_async`.
            on_other_input: what to do if the run was started with other input: ``"fail"`` raises a
                `RunMismatchError`, ``"attach"`` logs a warning and reuses the run.

        Raises:
            RunMismatchError: the run was started with other input; this call started nothing.
            InvalidInputError: the input is invalid; nothing was executed.
            UnsupportedError: the server is older than 0.17, and may execute the run twice.
            RunNotStartedError: the server refused the run, or did not show within ``start_timeout``
                that it executes.
        """
        options = StartOptions(
            input_data=input_data,
            initial_state=initial_state,
            request_context=request_context,
            tracing_options=tracing_options,
            resource_id=resource_id,
        )
        return self._transport.run(
            procedures.start(self._server, self.workflow_id, self.run_id, options, on_other_input)
        )

    def wait(
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
        end. If the server sends no events, it polls with backoff and jitter.

        Args:
            timeout: the maximum time to wait; None for no limit. The run continues after a timeout.
            on_suspend: how a suspension ends the wait: ``"return"`` returns the record, ``"fail"``
                raises a `RunSuspendedError`, ``"wait"`` waits until the run is resumed elsewhere.
            poll_interval: the first poll interval.
            max_poll_interval: the maximum poll interval; the interval grows exponentially.
            outage_timeout: how long the server may be unavailable. Once the server has given a
                valid response, any response that is not Mastra's counts as an outage (401, 403, a
                500, a redirect, an HTML page, half a document). The run is also polled after a
                minute without events, or after this time if it is shorter. That detects a server
                that hangs with open connections, and a run that was cancelled on another replica.
            stall_timeout: how long the run's record may stay unchanged before the client checks
                whether the server still executes the run; None for never. If a server that executed
                the run refuses a connection, the client checks as soon as the server responds
                again, 15 times in a minute.
            on_stall: what to do if the server no longer executes the run: ``"fail"`` raises a
                `RunStalledError`, ``"restart"`` restarts the run, once for each stall, ``"wait"``
                continues to wait.
            observe: whether to subscribe to the server's events, which report the end within
                milliseconds. False only polls.
            is_known: whether an earlier call or another process has started the run. Then even the
                first response may be part of an outage. Otherwise a wrong token, or a response that
                is not Mastra's, fails the wait at once.
            on_record: called with each record that is read.
            on_event: called once with each event as it arrives, except outputs of steps.

        Returns:
            The last record; `WorkflowRun.raise_for_status` raises if the run failed.

        Raises:
            WaitTimeoutError: the wait timed out; the run continues.
            RunSuspendedError: see ``on_suspend``.
            RunStalledError: see ``on_stall``.
            RunNotStartedError: the run is ``pending`` and nobody starts it.
            RunNotStoredError: this client started the run, but the server keeps no record of it.
            UnknownRunError: there is no such run, or the server has lost its record.
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
        return self._transport.run(
            procedures.wait(self._server, self.workflow_id, self.run_id, options)
        )

    def resume(
        self,
        *,
        step: str | Sequence[str] | None = None,
        resume_data: JSON = None,
        for_each_index: int | None = None,
        suspended_at: datetime | str | None = None,
        request_context: Mapping[str, JSON] | None = None,
        is_retry: bool = False,
    ) -> WorkflowRun:
        """Resume a step unless it was resumed with the same data before; does not wait for the run.

        It reads the run, then sends ``POST .../resume-stream`` and drops the stream as soon as it
        shows that the step executes; the run continues.

        Args:
            step: a step's path, its name (``inner.approve``), or None for the only suspended step.
            resume_data: the data to resume with, validated against the step's resume schema first.
            for_each_index: the item of a ``foreach``, counted from 0; None for the only suspended
                item.
            suspended_at: the time of the suspension to resume, from its `Suspension` (or its JSON);
                None for any. In a loop, it distinguishes the suspension of one round from the next.
            request_context: values for the request context of the steps, in addition to those from
                the start of the run.
            is_retry: whether an earlier attempt may have resumed the step. Then a step that was
                suspended again after this very data is not resumed, since the new suspension is
                another request; pass ``suspended_at`` to distinguish suspensions reliably.

        Returns:
            The record of the run, once the suspension is gone from it.

        Raises:
            NotSuspendedError: no such step is suspended, and none was resumed with this data; or
                several are suspended, and the message names them.
            InvalidResumeDataError: the data is invalid.
            ResumeRefusedError: the server refused the resume.
        """
        options = ResumeOptions(
            step=step,
            resume_data=resume_data,
            for_each_index=for_each_index,
            suspended_at=suspended_at,
            request_context=request_context,
        )
        return self._transport.run(
            procedures.resume(
                self._server, self.workflow_id, self.run_id, options, is_retry=is_retry
            )
        )

    def respond(
        self,
        pending_request: PendingRequest,
        resume_data: JSON,
        *,
        responded_by: JSON = None,
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
        """Respond to a pending request of this run, idempotently (``POST .../resume-stream``).

        While another branch of the run executes, the server accepts no resume; this method waits
        for that branch.

        Args:
            pending_request: the pending request, from `mastra_workflows.hitl.pending_requests`.
            resume_data: the response, as returned by `Form.to_resume_data`.
            responded_by: who responded, a name or an object; stored in the run's request context as
                ``respondedBy.<step>``.
            is_retry: whether an earlier attempt may have delivered this response.
            timeout, on_suspend, outage_timeout, stall_timeout, on_stall: how to wait for other
                branches; see `wait`.
            poll_interval, max_poll_interval, observe, is_known, on_record, on_event: see `wait`.

        Returns:
            The record of the run, once the request is gone from it.

        Raises:
            NotSuspendedError: the request is no longer pending: somebody else has responded, or the
                run has finished. Its ``run`` is the record.
            InvalidResumeDataError: the data is invalid; the step is still suspended.
            ResumeSchemaChangedError: the data is invalid because the resume schema has changed; the
                step is still suspended. The error's ``pending_request`` has the current schema.
            ServerLostError: the server was unavailable for too long, and the response was not
                delivered.
            ResponseLostError: the server was unavailable before it confirmed the response.
            ResumeRefusedError: the server refused the response.
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
        return self._transport.run(
            procedures.respond(
                self._server,
                pending_request,
                resume_data,
                responded_by=responded_by,
                is_retry=is_retry,
                waiting=options,
            )
        )

    def cancel(self, *, confirm_timeout: Duration = 5.0, allow_retry: bool = False) -> Cancellation:
        """Cancel the run and read the effect (``POST .../runs/{run}/cancel``).

        Args:
            confirm_timeout: how long to poll for the end of the run.
            allow_retry: whether `Workflow.attach_or_start` may start another run in its place, as
                after a timeout. By default the cancellation is final; see `Workflow.cancel_work`.

        Returns:
            The effect, according to the record read afterwards.
        """
        return self._transport.run(
            procedures.cancel(
                self._server,
                self.workflow_id,
                self.run_id,
                confirm_timeout=confirm_timeout,
                allow_retry=allow_retry,
            )
        )

    def delete(self) -> None:
        """Delete the run's record (``DELETE .../runs/{run}``, 1.x).

        Raises:
            UnsupportedError: the server is a legacy server (0.x).
        """
        self._transport.run(procedures.delete(self._server, self.workflow_id, self.run_id))

    # -- as in Mastra's client ------------------------------------------------------------------

    def start_async(
        self,
        *,
        input_data: JSON = None,
        initial_state: JSON = None,
        request_context: Mapping[str, JSON] | None = None,
        tracing_options: Mapping[str, JSON] | None = None,
        resource_id: str | None = None,
    ) -> WorkflowRun:
        """Start the run and wait for it in one request (``POST .../start-async``).

        Servers cut the request after three minutes; the method then falls back to polling.

        Args:
            input_data: the workflow's input, validated against its input schema first. None is sent
                as an empty object, or as null if the schema accepts only that.
            initial_state: the workflow's initial state (1.x; ignored by 0.x).
            request_context: values for the request context of the steps (0.x: runtime context).
            tracing_options: passed to Mastra's tracing.
            resource_id: the owner of the run (1.x; ignored by 0.x).

        Returns:
            The record of the run: finished with any status, or suspended.

        Raises:
            RunAlreadyStartedError: the run was started before; another start would execute it
                again.
            InvalidInputError, RunNotStartedError, UnsupportedError: see `start`.
        """
        options = StartOptions(
            input_data=input_data,
            initial_state=initial_state,
            request_context=request_context,
            tracing_options=tracing_options,
            resource_id=resource_id,
        )
        return self._transport.run(
            procedures.start_async(self._server, self.workflow_id, self.run_id, options)
        )

    def stream(
        self,
        *,
        input_data: JSON = None,
        initial_state: JSON = None,
        request_context: Mapping[str, JSON] | None = None,
        tracing_options: Mapping[str, JSON] | None = None,
        resource_id: str | None = None,
    ) -> EventStream:
        """Start the run and iterate over its events as they arrive (``POST .../stream``).

        Leaving the iteration early does not stop the run::

            for event in run.stream(input_data={"city": "Hamburg"}):
                print(event.type)

        Args:
            input_data, initial_state, request_context: see `start_async`.
            tracing_options, resource_id: see `start_async`.

        Raises:
            RunAlreadyStartedError: see `start_async`.
            InvalidInputError, RunNotStartedError, UnsupportedError: see `start`.
            ConnectionFailedError: raised by the iteration if the stream is cut repeatedly, or if
                the server sends no more events of the run, which continues. `wait` still works
                then.
        """
        options = StartOptions(
            input_data=input_data,
            initial_state=initial_state,
            request_context=request_context,
            tracing_options=tracing_options,
            resource_id=resource_id,
        )
        request = self._transport.run(
            procedures.stream_request(self._server, self.workflow_id, self.run_id, options)
        )
        return self._follow(request)

    def watch(self) -> EventStream:
        """Iterate over the events of an active run.

        It sends ``POST .../observe`` on 1.x and ``GET .../watch`` on 0.x.

        A server sends only events of runs that it currently executes itself. 1.x sends only those
        of runs that were started or resumed by a stream (`stream`, `start`, `resume`).

        0.x sends only new events. Events between a cut of the stream and its reopening are lost,
        including the end: the iteration then ends without it once the run is no longer active. 0.x
        reports neither that a run was cancelled nor that it has lost a run: the iteration then
        continues without events. `wait` also reads the record.

        Raises:
            UnknownRunError: there is no such run.
            NotActiveError: the run has finished, on a 0.x server.
            ConnectionFailedError: raised by the iteration; see `stream`.
        """
        request = self._transport.run(
            procedures.watchable(self._server, self.workflow_id, self.run_id)
        )
        return self._follow(request)

    def resume_async(
        self,
        *,
        step: str | Sequence[str] | None = None,
        resume_data: JSON = None,
        for_each_index: int | None = None,
        suspended_at: datetime | str | None = None,
        request_context: Mapping[str, JSON] | None = None,
    ) -> WorkflowRun:
        """Resume a step and wait for the run in one request (``POST .../resume-async``).

        If the request is cut, the method falls back to polling.

        Args:
            step, resume_data, for_each_index, suspended_at, request_context: see `resume`.

        Returns:
            The record of the run: finished, or suspended again.

        Raises:
            NotSuspendedError: no such step is suspended, also if it was resumed with this data.
            InvalidResumeDataError, ResumeRefusedError: see `resume`.
        """
        options = ResumeOptions(
            step=step,
            resume_data=resume_data,
            for_each_index=for_each_index,
            suspended_at=suspended_at,
            request_context=request_context,
        )
        return self._transport.run(
            procedures.resume_async(self._server, self.workflow_id, self.run_id, options)
        )

    def resume_stream(
        self,
        *,
        step: str | Sequence[str] | None = None,
        resume_data: JSON = None,
        for_each_index: int | None = None,
        suspended_at: datetime | str | None = None,
        request_context: Mapping[str, JSON] | None = None,
    ) -> EventStream:
        """Resume a step and iterate over the events from then on (``POST .../resume-stream``).

        Args:
            step, resume_data, for_each_index, suspended_at, request_context: see `resume`.

        Raises:
            NotSuspendedError: see `resume_async`.
            InvalidResumeDataError, ResumeRefusedError: see `resume`.
            ConnectionFailedError: raised by the iteration; see `stream`.
        """
        options = ResumeOptions(
            step=step,
            resume_data=resume_data,
            for_each_index=for_each_index,
            suspended_at=suspended_at,
            request_context=request_context,
        )
        request, after = self._transport.run(
            procedures.resume_request(self._server, self.workflow_id, self.run_id, options)
        )
        return self._follow(request, after)

    def restart(self) -> WorkflowRun:
        """Continue a run that its server lost by restarting (``POST .../restart-async``).

        Supported from 0.24.8. The server does not check whether the run still executes: restarting
        a live run executes its steps twice. Only a run that is ``running`` or ``waiting`` is
        restarted.

        Raises:
            NotActiveError: the run has any other status.
            UnsupportedError: the server is older than 0.24.8.
        """
        return self._transport.run(procedures.restart(self._server, self.workflow_id, self.run_id))

    def time_travel(self, *, step: str | Sequence[str], input_data: JSON = None) -> WorkflowRun:
        """Repeat the run from a step on, keeping earlier steps (``POST .../time-travel-stream``).

        Supported from 0.24.8. The stream is dropped as soon as it shows that the run executes.

        Args:
            step: the step's name or path.
            input_data: the step's input; None for its previous input.

        Raises:
            NotActiveError: the run is still active.
            UnknownStepError: the workflow has no such step, or a deploy has renamed it.
            RunNotStartedError: the server refused; the run is unchanged.
            UnsupportedError: the server is older than 0.24.8.
        """
        return self._transport.run(
            procedures.time_travel(self._server, self.workflow_id, self.run_id, step, input_data)
        )

    def _follow(self, request: Request, after: datetime | None = None) -> EventStream:
        follower = Follower(self._server, self.workflow_id, self.run_id, request, after)
        return self._transport.stream(follower)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.workflow_id!r}, {self.run_id!r})"
