"""The synchronous client: workflows and runs of one Mastra server."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import count
from types import TracebackType
from typing import Self, Unpack

from mastra_workflows import procedures
from mastra_workflows._pools import known_of
from mastra_workflows._transport import EventStream, Transport
from mastra_workflows.api import Generation, Request, RunFilter, StartArguments, StartOptions
from mastra_workflows.inbox import Look, LookArguments, LookOptions, Memory
from mastra_workflows.models import JSON, WorkflowDetails, WorkflowRun
from mastra_workflows.procedures import (
    Attachment,
    Follower,
    OnFailedRun,
    Receipt,
    Server,
    WaitOptions,
)
from mastra_workflows.procedures.acting import Cancellation
from mastra_workflows.procedures.resuming import Answer, AnswerArguments
from mastra_workflows.procedures.waiting import WaitArguments
from mastra_workflows.questions import Question
from mastra_workflows.settings import ClientArguments, Settings

CANCEL_LOOK_SECONDS = 5.0


class MastraClient:
    """A client of one Mastra server, of generation 0.x or 1.x; which one, it finds out itself.

    Safe to share between threads. Use it in a ``with`` statement, or call `close`::

        with MastraClient("http://localhost:4111") as mastra:
            run = mastra.get_workflow("orderReport").create_run()
            run.start(input_data={"city": "Oslo"})
            report = run.wait(timeout=600).raise_for_status().result

    Args:
        base_url: scheme, host and port; a path in front of the API prefix may follow.
        **arguments: ``token``, ``headers``, ``timeout`` and more: see `ClientArguments`.

    Raises:
        ConfigurationError: a setting cannot work.
    """

    def __init__(self, base_url: str, **arguments: Unpack[ClientArguments]) -> None:
        settings = Settings(base_url=base_url, **arguments)
        self._server = Server.of(settings, known_of(settings))
        self._transport = Transport(settings)

    @property
    def base_url(self) -> str:
        """The server's address, without the API prefix."""
        return self._transport.settings.base_url

    @property
    def generation(self) -> Generation:
        """The server's generation; asks it at the first time (``GET /system/packages``)."""
        return self._transport.run(procedures.generation(self._server))

    @property
    def chooses_items(self) -> bool:
        """Whether the server can resume one of several suspended items of a ``foreach`` (>= 1.26).

        One that cannot gives an answer to all that wait.
        """
        return self._transport.run(procedures.chooses_items(self._server))

    def list_workflows(self) -> tuple[WorkflowDetails, ...]:
        """Every workflow of the server (``GET /workflows``)."""
        return self._transport.run(procedures.list_workflows(self._server))

    def get_workflow(self, workflow_id: str) -> Workflow:
        """A handle of one workflow; sends nothing.

        Args:
            workflow_id: its registry key, such as ``orderReport``. 1.x takes its id as well.
        """
        return Workflow(self._transport, self._server, workflow_id)

    def close(self) -> None:
        """Close every connection; the client cannot be used afterwards."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_url!r})"


class Workflow:
    """A handle of one workflow; made by `MastraClient.get_workflow`."""

    def __init__(self, transport: Transport, server: Server, workflow_id: str) -> None:
        self._transport = transport
        self._server = server
        self.workflow_id = workflow_id

    def details(self) -> WorkflowDetails:
        """Steps, graph and JSON Schemas (``GET /workflows/{workflow}``).

        Raises:
            UnknownWorkflowError: naming the workflows that exist.
        """
        return self._transport.run(procedures.details(self._server, self.workflow_id))

    def create_run(self, run_id: str | None = None, resource_id: str | None = None) -> Run:
        """Make a run known to the server, as ``pending`` (``POST .../create-run``).

        Args:
            run_id: any text; a random UUID if None. Calling again with the same id is harmless.
            resource_id: whom the run belongs to (1.x).

        Returns:
            The run's handle.
        """
        run = self.run(run_id or str(uuid.uuid4()))
        self._transport.run(
            procedures.create_run(self._server, self.workflow_id, run.run_id, resource_id)
        )
        return run

    def run(self, run_id: str) -> Run:
        """A handle of a run, whether it exists or not; sends nothing."""
        return Run(self._transport, self._server, self.workflow_id, run_id)

    def attach_or_start(
        self,
        run_id: str,
        *,
        on_failed_run: OnFailedRun = "new_run",
        **arguments: Unpack[StartArguments],
    ) -> Attachment:
        """Find the run of a piece of work, or start it: one execution, however often it is tried.

        Every try calls this with the same run id. A run that is under way, suspended or successful
        is taken as it is; one that was never started is started (as `Run.ensure_started` does).

        Args:
            run_id: derived from the work, so that every try of it gives the same one.
            on_failed_run: what follows a failed or cancelled run: ``"new_run"`` takes the next id
                in line (``<run_id>-2``), ``"from_failed_step"`` sends the run back to the step
                that failed, keeping what was done before, ``"fail"`` raises its error.
            **arguments: ``input_data`` and more: see `StartArguments`.

        Raises:
            RunFailedError, RunCanceledError: with ``on_failed_run="fail"``.
            InvalidInputError: the input does not fit; nothing was executed.
            RunNotStartedError: the server refused, or showed no sign within ``start_timeout``.
        """
        options = StartOptions(**arguments)
        return self._transport.run(
            procedures.attach_or_start(
                self._server, self.workflow_id, run_id, options, on_failed_run
            )
        )

    def cancel_work(self, run_id: str, *, look_for: float = CANCEL_LOOK_SECONDS) -> Cancellation:
        """Cancel what goes on of a piece of work (``POST .../runs/{run}/cancel``).

        That is the run of this id; or, where it has failed or was cancelled, the one in line that
        `attach_or_start` has put in its place.

        Args:
            run_id: as it was given to `attach_or_start`.
            look_for: seconds to look for the run's end.

        Returns:
            What the record shows afterwards; its text says whether something goes on.

        Raises:
            UnknownRunError: the work was never begun.
        """
        return self._transport.run(
            procedures.cancel_work(self._server, self.workflow_id, run_id, look_for=look_for)
        )

    def run_execution_result(self, run_id: str) -> WorkflowRun:
        """A run's own record (0.x: ``GET .../runs/{run}/execution-result``; 1.x: without the tail).

        Raises:
            UnknownRunError: there is no such run.
        """
        return self.run(run_id).read()

    def runs(self, *, page_size: int = 20, **which: Unpack[RunFilter]) -> Iterator[WorkflowRun]:
        """The workflow's runs, page by page as they are iterated (``GET .../runs``).

        Args:
            page_size: runs a page. Each row carries its run's whole record.
            **which: ``status``, ``from_date`` and more: see `RunFilter`.
        """
        for number in count():
            page = self._transport.run(
                procedures.runs_page(
                    self._server, self.workflow_id, page=number, per_page=page_size, **which
                )
            )
            yield from page.runs
            if page.is_last:
                return

    def new_questions(
        self, memory: Memory | None = None, **arguments: Unpack[LookArguments]
    ) -> Look:
        """Those questions of suspended runs that were not given out before, whoever started them.

        Give each look the `Look.memory` of the one before; it may be stored as JSON meanwhile.

        Args:
            memory: what the look before has left; None for none.
            **arguments: ``lookback`` and more: see `LookArguments`.

        Returns:
            The new questions, and the memory for the next look. A look costs the pages of
            suspended runs (``GET .../runs?status=suspended``; 0.x: those of all runs from the
            oldest unfinished one on) and one request for each run with something new.
        """
        options = LookOptions(**arguments)
        return self._transport.run(
            procedures.new_questions(
                self._server, self.workflow_id, memory or Memory(), options, datetime.now(UTC)
            )
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.workflow_id!r})"


class Run:
    """A handle of one run; made by `Workflow.run` and `Workflow.create_run`.

    ``_async`` in a name is Mastra's: the call answers when the run is done.
    """

    def __init__(self, transport: Transport, server: Server, workflow_id: str, run_id: str) -> None:
        self._transport = transport
        self._server = server
        self.workflow_id = workflow_id
        self.run_id = run_id

    @property
    def workflow(self) -> Workflow:
        """The handle of its workflow; sends nothing."""
        return Workflow(self._transport, self._server, self.workflow_id)

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

        Servers cut that call after three minutes; the waiting then goes on by polling.

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

        Args and raises: as `start`.
        """
        options = StartOptions(**arguments)
        request = self._transport.run(
            procedures.stream_request(self._server, self.workflow_id, self.run_id, options)
        )
        return self._follow(request)

    def ensure_started(self, **arguments: Unpack[StartArguments]) -> Receipt:
        """Start the run if it was not started before; call it as often as you like.

        It reads the run, then sends ``POST .../stream``, and drops the stream as soon as it shows
        that the run executes; the run goes on. Of several such calls at once, one executes.

        Args: as `start`.

        Raises:
            InvalidInputError: the input does not fit; nothing was executed.
            RunNotStartedError: the server refused, or showed no sign within ``start_timeout``.
        """
        options = StartOptions(**arguments)
        return self._transport.run(
            procedures.ensure_started(self._server, self.workflow_id, self.run_id, options)
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
            WaitTimeoutError: the time was over first; the run goes on.
            RunSuspendedError: see ``on_suspend``.
            RunNotStartedError: the run is ``pending`` and nobody starts it.
            ServerLostError: the server was out of reach for too long.
        """
        options = WaitOptions(**arguments)
        return self._transport.run(
            procedures.wait(self._server, self.workflow_id, self.run_id, options)
        )

    def watch(self) -> EventStream:
        """Events of a run that is under way (0.x: ``GET .../watch``; 1.x: ``POST .../observe``).

        A server only tells of runs that it executes itself at the moment, 1.x only of those that
        were begun or resumed by a stream (`stream`, `ensure_started`, `resume`).

        Raises:
            UnknownRunError: there is no such run.
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
            **waiting: how to wait for other branches; see `WaitArguments`.

        Returns:
            The record of the run, once the question is gone from it.

        Raises:
            NotSuspendedError: the question is not open any more: somebody else has answered it, or
                the run is over. Its ``run`` says how the run stands.
            InvalidResumeDataError: the data does not fit; the step still waits.
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

        Args and raises: as `resume`.
        """
        answer = Answer(**arguments)
        request = self._transport.run(
            procedures.resume_request(self._server, self.workflow_id, self.run_id, answer)
        )
        return self._follow(request)

    # -- the rest -------------------------------------------------------------------------------

    def cancel(self, *, look_for: float = CANCEL_LOOK_SECONDS) -> Cancellation:
        """Cancel the run and look what became of it (``POST .../runs/{run}/cancel``).

        Args:
            look_for: seconds to look for its end.

        Returns:
            What the record shows afterwards; its text says whether something goes on.
        """
        return self._transport.run(
            procedures.cancel(self._server, self.workflow_id, self.run_id, look_for=look_for)
        )

    def delete(self) -> None:
        """Delete the run's record (``DELETE .../runs/{run}``, 1.x).

        Raises:
            UnsupportedError: the server is of generation 0.x.
        """
        self._transport.run(procedures.delete(self._server, self.workflow_id, self.run_id))

    def restart(self) -> WorkflowRun:
        """Continue a run that its server lost by restarting (``POST .../restart``, from 0.24.8).

        The server does not look whether the run still executes: restarting a live one doubles its
        work. Only a run that is ``running`` or ``waiting`` is restarted.

        Raises:
            NotActiveError: the run is anything else.
        """
        return self._transport.run(procedures.restart(self._server, self.workflow_id, self.run_id))

    def time_travel(self, *, step: str | Sequence[str], input_data: JSON = None) -> WorkflowRun:
        """Run again from a step on, keeping what came before (``POST .../time-travel``, 0.24.8 on).

        Args:
            step: the step's name or path.
            input_data: the step's input; None for what it was.

        Raises:
            NotActiveError: the run is still under way.
        """
        return self._transport.run(
            procedures.time_travel(self._server, self.workflow_id, self.run_id, step, input_data)
        )

    def _follow(self, request: Request) -> EventStream:
        follower = Follower(self._server, self.workflow_id, self.run_id, request)
        return self._transport.stream(follower)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.workflow_id!r}, {self.run_id!r})"
