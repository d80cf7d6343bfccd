"""The synchronous handle of one workflow."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from typing import Unpack

from mastra_workflows import procedures
from mastra_workflows._transport import Transport
from mastra_workflows.api import RunFilter, StartArguments, StartOptions, require_id
from mastra_workflows.inbox import Look, LookArguments, LookOptions, Memory
from mastra_workflows.models import WorkflowDetails, WorkflowRun
from mastra_workflows.procedures import Attachment, OnFailedRun, Server
from mastra_workflows.procedures.acting import CONFIRM_SECONDS, Cancellation
from mastra_workflows.procedures.comparing import OnOtherInput
from mastra_workflows.run import Run
from mastra_workflows.settings import OfOneProcess


class Workflow(OfOneProcess):
    """A handle of one workflow; made by `MastraClient.get_workflow`."""

    def __init__(self, transport: Transport, server: Server, workflow_id: str) -> None:
        self._transport = transport
        self._server = server
        self.workflow_id = require_id(workflow_id)

    def details(self) -> WorkflowDetails:
        """Steps, graph and JSON Schemas (``GET /workflows/{workflow}``).

        Raises:
            UnknownWorkflowError: naming the workflows that exist.
        """
        return self._transport.run(procedures.details(self._server, self.workflow_id))

    def create_run(self, run_id: str | None = None, resource_id: str | None = None) -> Run:
        """Make a run known to the server, as ``pending`` (``POST .../create-run``).

        Args:
            run_id: any text but ``.``, ``..`` and those with a NUL; a random UUID if None. Calling
                again with the same id is harmless.
            resource_id: whom the run belongs to (1.x).

        Returns:
            The run's handle.
        """
        run = self.get_run(str(uuid.uuid4()) if run_id in (None, "") else run_id)
        self._transport.run(
            procedures.create_run(self._server, self.workflow_id, run.run_id, resource_id)
        )
        return run

    def get_run(self, run_id: str) -> Run:
        """A handle of a run, whether it exists or not; sends nothing."""
        return Run(self._transport, self._server, self, run_id)

    def attach_or_start(
        self,
        run_id: str,
        *,
        on_failed_run: OnFailedRun = "new_run",
        on_other_input: OnOtherInput = "fail",
        started_after: datetime | None = None,
        **arguments: Unpack[StartArguments],
    ) -> Attachment:
        """Find the run of a piece of work, or start it: one execution, however often it is tried.

        Every try calls this with the same run id. A run that is under way, suspended or successful
        is taken as it is; one that was never started is started (as `Run.ensure_started` does).

        Args:
            run_id: derived from the work, so that every try of it gives the same one.
            on_failed_run: what follows a failed run: ``"new_run"`` takes the next id in line
                (``<run_id>-2``), ``"from_failed_step"`` sends the run back to the step that
                failed, keeping what was done before, ``"fail"`` raises its error. A run that
                `cancel_work` cancelled with ``allow_retry=True`` counts as failed.
            on_other_input: what to do about a run that was started with other input: ``"fail"``
                raises a `RunMismatchError` that names the places that differ, ``"attach"`` logs a
                warning and uses the run. Defaults that the server filled in, dropped fields and
                coerced values are no difference.
            started_after: an aware time before which the run of this work cannot have begun, such
                as that of the work's first try. A run that began earlier (by more than a minute,
                since clocks differ) is a `RunMismatchError`. None for any time.
            **arguments: ``input_data`` and more: see `StartArguments`.

        Raises:
            RunCanceledError: somebody cancelled the run. That is final: no retry starts another.
            RunFailedError: with ``on_failed_run="fail"``.
            RunMismatchError: the id belongs to the run of other work. Nothing was started.
            InvalidInputError: the input does not fit; nothing was executed.
            RunNotStartedError: the server refused, or showed no sign within ``start_timeout``.
        """
        options = StartOptions(**arguments)
        return self._transport.run(
            procedures.attach_or_start(
                self._server,
                self.workflow_id,
                run_id,
                options,
                on_failed_run=on_failed_run,
                on_other_input=on_other_input,
                started_after=started_after,
            )
        )

    def cancel_work(
        self, run_id: str, *, confirm_timeout: float = CONFIRM_SECONDS, allow_retry: bool = False
    ) -> Cancellation:
        """Cancel what is active of a piece of work (``POST .../runs/{run}/cancel``).

        That is the run of this id; or, where it has failed or was cancelled, the one in line that
        `attach_or_start` has put in its place.

        Args:
            run_id: as it was given to `attach_or_start`.
            confirm_timeout: seconds to look for the run's end.
            allow_retry: whether `attach_or_start` may start the next run in line later, as after a
                timeout with retries left. Its id is then reserved by a record on the server
                (``POST .../create-run``): it is ``pending`` and executes nothing. By default the
                cancellation is final, as one in Mastra Studio is.

        Returns:
            What the record shows afterwards; its text says whether something is still active.

        Raises:
            UnknownRunError: the work was never begun.
        """
        return self._transport.run(
            procedures.cancel_work(
                self._server,
                self.workflow_id,
                run_id,
                confirm_timeout=confirm_timeout,
                allow_retry=allow_retry,
            )
        )

    def find_work(self, run_id: str) -> WorkflowRun | None:
        """Find the run of a piece of work that succeeded, is active or is suspended.

        Nothing is started. A run that `cancel_work` cancelled is not returned, even if a server
        before 1.0 still executes it.

        Args:
            run_id: as it was given to `attach_or_start`.

        Returns:
            The run's record; None if there is no such run, or none that can still succeed.
        """
        return self._transport.run(procedures.find_work(self._server, self.workflow_id, run_id))

    def run_execution_result(self, run_id: str) -> WorkflowRun:
        """A run's own record (0.x: ``GET .../runs/{run}/execution-result``; 1.x: without the tail).

        Raises:
            UnknownRunError: there is no such run.
        """
        return self.get_run(run_id).read()

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
                self._server,
                self.workflow_id,
                Memory() if memory is None else memory,
                options,
                datetime.now(UTC),
            )
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.workflow_id!r})"
