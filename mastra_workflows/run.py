"""The synchronous handle of one run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Unpack

from mastra_workflows import procedures
from mastra_workflows._transport import EventStream, Transport
from mastra_workflows.api import Request, StartArguments, StartOptions, require_id
from mastra_workflows.models import JSON, WorkflowRun
from mastra_workflows.procedures import Follower, Receipt, Server, WaitOptions
from mastra_workflows.procedures.acting import CONFIRM_SECONDS, Cancellation
from mastra_workflows.procedures.comparing import OnOtherInput
from mastra_workflows.procedures.resuming import Answer, AnswerArguments
from mastra_workflows.procedures.waiting import WaitArguments
from mastra_workflows.questions import Question
from mastra_workflows.settings import OfOneProcess

if TYPE_CHECKING:
    from mastra_workflows.workflow import Workflow


class Run(OfOneProcess):
    """A handle of one run; made by `Workflow.get_run` and `Workflow.create_run`.

    ``_async`` in a name is Mastra's: the call answers when the run is done.

    Attributes:
        workflow: the handle of its workflow.
        workflow_id: that workflow's registry key.
        run_id: its id.
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
        """The run's own record, as `Workflow.run_execution_result` reads it."""
        return self._transport.run(procedures.read_run(self._server, self.workflow_id, self.run_id))

    # -- starting -------------------------------------------------------------------------------

    def start(self, **arguments: Unpack[StartArguments]) -> WorkflowRun:
        """Start the run without waiting for it (``POST .../start``).

        Args:
            **arguments: ``input_data``, which is checked against the workflow's input schema
                first, and more: see `StartArguments`.

        Returns:
            The record of the run, once it shows that the run executes.

        Raises:
            InvalidInputError: the input does not fit; nothing was started.
            RunAlreadyStartedError: another start would execute the run again.
            RunNotStartedError: the run is still ``pending`` after ``start_timeout``.
        """
        options = StartOptions(**arguments)
        return self._transport.run(
            procedures.start(self._server, self.workflow_id, self.run_id, options)
        )

    def start_async(self, **arguments: Unpack[StartArguments]) -> WorkflowRun:
        """Start the run and wait for it in one call (``POST .../start-async``).

        Servers cut that call after three minutes; the waiting then continues by polling.

        Args and raises: as `start`.

        Returns:
            The record of the run: finished in whatever way, or suspended.
        """
        options = StartOptions(**arguments)
        return self._transport.run(
            procedures.start_async(self._server, self.workflow_id, self.run_id, options)
        )

    def stream(self, **arguments: Unpack[StartArguments]) -> EventStream:
        """Start the run and iterate its events as they arrive (``POST .../stream``).

        Leaving the iteration early does not stop the run.

        Args and raises: as `start`. The iteration raises a `ConnectionFailedError` where its stream
        was cut for good: again and again, or the server tells no more of the run, which continues.
        `wait` still works then.
        """
        options = StartOptions(**arguments)
        request = self._transport.run(
            procedures.stream_request(self._server, self.workflow_id, self.run_id, options)
        )
        return self._follow(request)

    def ensure_started(
        self, *, on_other_input: OnOtherInput = "fail", **arguments: Unpack[StartArguments]
    ) -> Receipt:
        """Start the run if it was not started before; call it as often as you like.

        It reads the run, then sends ``POST .../stream``, and drops the stream as soon as it shows
        that the run executes; the run continues. Of several such calls at once, one executes.

        Args:
            on_other_input: what to do if the run was started before with other input; see
                `Workflow.attach_or_start`.
            **arguments: as those of `start`.

        Raises:
            RunMismatchError: the run was started with other input; nothing was started now.
            InvalidInputError: the input does not fit; nothing was executed.
            RunNotStartedError: the server refused, or showed no sign within ``start_timeout``.
        """
        options = StartOptions(**arguments)
        return self._transport.run(
            procedures.ensure_started(
                self._server, self.workflow_id, self.run_id, options, on_other_input
            )
        )

    # -- waiting and watching -------------------------------------------------------------------

    def wait(self, **arguments: Unpack[WaitArguments]) -> WorkflowRun:
        """Wait until the run ends or is suspended.

        It listens to the run's events (as `watch` does), and looks at its record when these tell of
        an end; where they tell nothing, at intervals that grow.

        Args:
            **arguments: ``timeout`` in seconds, ``on_suspend``, and more: see `WaitArguments`.

        Returns:
            The last record; `WorkflowRun.raise_for_status` makes an error of a failed run.

        Raises:
            WaitTimeoutError: the time was over first; the run continues.
            RunSuspendedError: see ``on_suspend``.
            RunNotStartedError: the run is ``pending`` and nobody starts it.
            ServerLostError: the server was unavailable for too long.
        """
        options = WaitOptions(**arguments)
        return self._transport.run(
            procedures.wait(self._server, self.workflow_id, self.run_id, options)
        )

    def watch(self) -> EventStream:
        """Events of a run that is under way (0.x: ``GET .../watch``; 1.x: ``POST .../observe``).

        A server only tells of runs that it executes itself at the moment, 1.x only of those that
        were begun or resumed by a stream (`stream`, `ensure_started`, `resume`).

        0.x tells what happens from now on. What happens while a stream that was cut is opened again
        is missing then, the end included: the iteration ends without it if the run is not under way
        any more. It never tells that the run was cancelled, nor of a run that it has lost: the
        iteration then continues without an event. `wait` looks at the record as well.

        Raises:
            UnknownRunError: there is no such run.
            NotActiveError: the run is over, and the server is a 0.x one.
            ConnectionFailedError: by the iteration, as that of `stream`.
        """
        request = self._transport.run(
            procedures.watchable(self._server, self.workflow_id, self.run_id)
        )
        return self._follow(request)

    # -- resuming -------------------------------------------------------------------------------

    def resume(self, **arguments: Unpack[AnswerArguments]) -> WorkflowRun:
        """Resume a suspended step without waiting for the run (``POST .../resume-stream``).

        Args:
            **arguments: ``step`` (its name or path; not needed when only one waits),
                ``resume_data``, which is checked against the step's resume schema first, and
                ``for_each_index``: see `AnswerArguments`.

        Returns:
            The record of the run, once the suspension is gone from it.

        Raises:
            NotSuspendedError: no such step waits, or several do; the message names those.
            InvalidResumeDataError: the data does not fit.
            ResumeRefusedError: the server did not take it.
        """
        answer = Answer(**arguments)
        return self._transport.run(
            procedures.resume(self._server, self.workflow_id, self.run_id, answer)
        )

    def attach_or_resume(
        self, *, is_retry: bool = True, **arguments: Unpack[AnswerArguments]
    ) -> WorkflowRun:
        """Resume a step, unless it was given the same answer before: by an earlier try, say.

        Args:
            is_retry: whether an earlier try may have resumed the step. Then a step that waits
                again after this very answer is left alone, since it asks something new;
                ``suspended_at`` tells such questions apart for certain.
            **arguments: as those of `resume`.

        Raises:
            As `resume`.
        """
        answer = Answer(**arguments)
        return self._transport.run(
            procedures.attach_or_resume(
                self._server, self.workflow_id, self.run_id, answer, is_retry=is_retry
            )
        )

    def answer(
        self,
        question: Question,
        resume_data: JSON,
        *,
        answered_by: JSON = None,
        is_retry: bool = False,
        **waiting: Unpack[WaitArguments],
    ) -> WorkflowRun:
        """Resume the step that asked a question of this run, once (``POST .../resume-stream``).

        While another branch of the run is at work the server takes no answer; this waits for it.

        Args:
            question: one of `mastra_workflows.questions.questions`.
            resume_data: the answer, as `Form.answer` makes it of what was entered.
            answered_by: who answered, a name or an object: kept in the run's request context as
                ``answeredBy.<step>``.
            is_retry: whether an earlier try may have given this answer.
            **waiting: how to wait for other branches, and for how long the server may be
                unavailable (``outage_timeout``); see `WaitArguments`.

        Returns:
            The record of the run, once the question is gone from it.

        Raises:
            NotSuspendedError: the question is not open any more: somebody else has answered it, or
                the run is over. Its ``run`` says how the run stands.
            InvalidResumeDataError: the data does not fit; the step still waits.
            ResumeSchemaChangedError: likewise, since the step asks for something else now; the
                error's ``question`` is the one to ask.
            ServerLostError: the server was unavailable for too long, and the answer was not
                delivered. `AnswerLostError`: the server has not shown whether it was.
            ResumeRefusedError: the server did not take it.
        """
        return self._transport.run(
            procedures.answer(
                self._server,
                question,
                resume_data,
                answered_by=answered_by,
                is_retry=is_retry,
                waiting=WaitOptions(**waiting),
            )
        )

    def resume_async(self, **arguments: Unpack[AnswerArguments]) -> WorkflowRun:
        """Resume a step and wait in one call (``POST .../resume-async``), then by polling.

        Args and raises: as `resume`.

        Returns:
            The record of the run: finished, or suspended again.
        """
        answer = Answer(**arguments)
        return self._transport.run(
            procedures.resume_async(self._server, self.workflow_id, self.run_id, answer)
        )

    def resume_stream(self, **arguments: Unpack[AnswerArguments]) -> EventStream:
        """Resume a step and iterate what happens from then on (``POST .../resume-stream``).

        Args and raises: as `resume`; the iteration as that of `stream`.
        """
        answer = Answer(**arguments)
        request, after = self._transport.run(
            procedures.resume_request(self._server, self.workflow_id, self.run_id, answer)
        )
        return self._follow(request, after)

    # -- the rest -------------------------------------------------------------------------------

    def cancel(
        self, *, confirm_timeout: float = CONFIRM_SECONDS, allow_retry: bool = False
    ) -> Cancellation:
        """Cancel the run and look what became of it (``POST .../runs/{run}/cancel``).

        Args:
            confirm_timeout: seconds to look for its end.
            allow_retry: whether `Workflow.attach_or_start` may start another run in its place, as
                after a timeout. By default the cancellation is final; see `Workflow.cancel_work`.

        Returns:
            What the record shows afterwards; its text says whether something continues.
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
            UnsupportedError: the server is of generation 0.x.
        """
        self._transport.run(procedures.delete(self._server, self.workflow_id, self.run_id))

    def restart(self) -> WorkflowRun:
        """Continue a run that its server lost by restarting (``POST .../restart-async``).

        From 0.24.8 on. The server does not check whether the run still executes: restarting a live
        one doubles its work. Only a run that is ``running`` or ``waiting`` is restarted.

        Raises:
            NotActiveError: the run is anything else.
        """
        return self._transport.run(procedures.restart(self._server, self.workflow_id, self.run_id))

    def time_travel(self, *, step: str | Sequence[str], input_data: JSON = None) -> WorkflowRun:
        """Run again from a step on, keeping what came before (``POST .../time-travel-stream``).

        From 0.24.8 on. The stream is dropped as soon as it shows that the run executes.

        Args:
            step: the step's name or path.
            input_data: the step's input; None for what it was.

        Raises:
            NotActiveError: the run is still active.
            UnknownStepError: the workflow has no such step, or a deploy has renamed it.
            RunNotStartedError: the server refused; the run is as it was.
        """
        return self._transport.run(
            procedures.time_travel(self._server, self.workflow_id, self.run_id, step, input_data)
        )

    def _follow(self, request: Request, after: datetime | None = None) -> EventStream:
        follower = Follower(self._server, self.workflow_id, self.run_id, request, after)
        return self._transport.stream(follower)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.workflow_id!r}, {self.run_id!r})"
