"""One run on a Mastra server, as Prefect sees it: start, wait, resume, cancel, and say so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self, Unpack

from prefect.blocks.abstract import JobRun
from prefect.logging.handlers import APILogHandler

from mastra_workflows import MastraError, WorkflowRun
from mastra_workflows.api import StartArguments
from mastra_workflows.client import Run
from mastra_workflows.errors import ConfigurationError, RunError, UnknownRunError
from mastra_workflows.models import JSON
from mastra_workflows.procedures.resuming import AnswerArguments
from mastra_workflows.procedures.waiting import WaitArguments
from mastra_workflows.progress import StepProgress, summary

if TYPE_CHECKING:
    from prefect_mastra.blocks import MastraServer

Outcome = dict[str, Any]
"""What tasks and flows return: ``run_id, workflow_id, status, result, error, suspensions, url``."""


class MastraWorkflowRun(JobRun[JSON]):
    """A handle of one run; made by `MastraWorkflow.trigger`.

    What happens is told in the log of the flow or task run that calls it.

    Args:
        server: the server.
        workflow_id: the workflow's registry key.
        run_id: the run's id.
        cancel_on_kill: whether to cancel the run when a call here is interrupted: Prefect throws
            what is no `Exception` into a flow or task that is cancelled, terminated or timed out.
        **waiting: how `wait_for_completion` waits; see `WaitArguments`.
    """

    def __init__(
        self,
        server: MastraServer,
        workflow_id: str,
        run_id: str,
        *,
        cancel_on_kill: bool = True,
        **waiting: Unpack[WaitArguments],
    ) -> None:
        self.server = server
        self.workflow_id = workflow_id
        self.run_id = run_id
        self._cancel_on_kill = cancel_on_kill
        self._waiting = waiting
        self._record: WorkflowRun | None = None
        self._interruption: BaseException | None = None

    @classmethod
    def of(
        cls,
        server: MastraServer,
        run: Mapping[str, Any],
        *,
        cancel_on_kill: bool = True,
        **waiting: Unpack[WaitArguments],
    ) -> Self:
        """The handle of a run that a task or flow returned.

        Raises:
            ConfigurationError: it names no run.
        """
        try:
            workflow_id, run_id = run["workflow_id"], run["run_id"]
        except (KeyError, TypeError):
            raise ConfigurationError(
                "run must hold 'workflow_id' and 'run_id', as what start_workflow returns does."
            ) from None
        return cls(server, workflow_id, run_id, cancel_on_kill=cancel_on_kill, **waiting)

    @property
    def url(self) -> str | None:
        """The run's page in Mastra Studio; None where the server block names no Studio."""
        return self.server.run_url(self.workflow_id, self.run_id)

    def start(self, **arguments: Unpack[StartArguments]) -> Outcome:
        """Start the run unless an earlier try has started it; see `Run.ensure_started`.

        Raises:
            InvalidInputError: the input does not fit the workflow's schema; nothing was started.
            UnknownWorkflowError: naming the workflows that exist.
            RunNotStartedError: the server refused.
        """
        with self.cancelling_on_kill(), self._remote() as run:
            found = run.ensure_started(**arguments).found
            record = found or run.read()
            self.logger.info(
                "%s.%s%s",
                record,
                " It was started before, and this call attaches to it." if found else "",
                f" See {self.url}" if self.url else "",
            )
            return record.outcome(self.url)

    def wait_for_completion(self) -> Outcome:  # type: ignore[override]  # Prefect's is async
        """Wait for the run's end; its steps are told in the log as they come.

        Returns:
            The outcome of a run that succeeded, or that is suspended with ``on_suspend="return"``.

        Raises:
            RunFailedError, RunCanceledError: it ended in another way.
            RunSuspendedError: it is suspended, with ``on_suspend="fail"``.
            WaitTimeoutError: the time was over first; the run goes on.
            ServerLostError: the server was out of reach for too long.
        """
        waiting = self._waiting.copy()
        waiting["on_look"] = StepProgress(self.logger.info).look
        with self.cancelling_on_kill(), self._remote() as run:
            record = run.wait(**waiting)
        self.logger.info(summary(record))
        self._record = record
        return record.raise_for_status().outcome(self.url)

    def fetch_result(self) -> JSON:  # Prefect's is async
        """What the workflow returned.

        Raises:
            RunFailedError, RunCanceledError: it returned nothing.
            RunError: it has not ended yet.
        """
        record = self._record
        if record is None or not record.is_finished:
            with self._remote() as run:
                record = run.read()
        if not record.is_finished:
            raise RunError(f"{record}, so there is no result yet.", record)
        return record.raise_for_status().result

    def resume(self, **arguments: Unpack[AnswerArguments]) -> Outcome:
        """Resume a suspended step, without waiting for the run; see `Run.resume`.

        Raises:
            NotSuspendedError: no such step waits, or several do; the message names those.
            InvalidResumeDataError: the data does not fit; the step still waits.
        """
        with self._remote() as run:
            record = run.resume(**arguments)
        self.logger.info("The resume was taken. %s.", record)
        return record.outcome(self.url)

    def cancel(self) -> Outcome:
        """Cancel the run, look what became of it, and say so in the log; see `Run.cancel`."""
        with self._remote() as run:
            cancellation = run.cancel()
        log = self.logger.warning if cancellation.goes_on else self.logger.info
        log("%s", cancellation)
        return cancellation.run.outcome(self.url)

    @contextmanager
    def cancelling_on_kill(self) -> Iterator[None]:
        """Let no interruption leave the run behind unseen.

        An `Exception` is let pass: the errors of this package say themselves how the run stands.
        """
        try:
            yield
        except Exception:
            raise
        except BaseException as interruption:
            if self._interruption is not interruption:  # it passes here once for each level
                self._interruption = interruption
                self._tell_the_server(type(interruption).__name__)
            raise

    @contextmanager
    def _remote(self) -> Iterator[Run]:
        with self.server.get_client() as client:
            yield client.get_workflow(self.workflow_id).run(self.run_id)

    def _tell_the_server(self, what: str) -> None:
        log = self.logger
        who = f"run {self.run_id!r} of workflow {self.workflow_id!r}"
        if self._cancel_on_kill:
            log.warning("Interrupted (%s); cancelling %s.", what, who)
            try:
                self.cancel()
            except UnknownRunError:
                log.info("The run had not been started; nothing was cancelled.")
            except MastraError as error:
                log.error("The cancel failed, and %s may go on: %s", who, error)
        else:
            log.warning("Interrupted (%s); %s goes on (cancel_on_kill is off).", what, who)
        # After a signal Prefect ends the process without sending on what was logged.
        APILogHandler().flush()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.workflow_id!r}, {self.run_id!r})"
