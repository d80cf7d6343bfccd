"""Provide the handle of one run for Prefect: start, wait, resume and cancel it, and log that."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Self, TypedDict, Unpack

import anyio
import anyio.to_thread
from prefect.blocks.abstract import JobRun
from prefect.exceptions import Pause
from prefect.logging.handlers import APILogHandler

from mastra_workflows import (
    JSON,
    AsyncRun,
    Cancellation,
    Duration,
    MastraError,
    OnFailedRun,
    OnOtherInput,
    OnStall,
    OnSuspend,
    Run,
    WorkflowRun,
)
from mastra_workflows.errors import (
    ConfigurationError,
    RunError,
    ServerLostError,
    UnknownRunError,
    WaitTimeoutError,
)
from mastra_workflows.hitl import PendingRequest
from mastra_workflows.integration import (
    ResumeArguments,
    StartArguments,
    StepProgress,
    WaitOptions,
    is_outage,
    summary,
)
from prefect_mastra import _started_runs
from prefect_mastra._json import as_json
from prefect_mastra._run_ids import is_resumed, is_retry

if TYPE_CHECKING:
    from prefect_mastra.blocks import MastraServer

__all__ = ["MastraWorkflowRun", "Outcome", "RunReference"]

Outcome = dict[str, Any]
"""The dictionary that tasks and flows return.

Its keys are ``run_id, workflow_id, status, result, error, suspensions, url``."""


class WaitParameters(TypedDict, total=False):
    """Options for waiting; see `wait_for_workflow_run`."""

    timeout: Duration | None
    on_suspend: OnSuspend
    poll_interval: Duration
    max_poll_interval: Duration
    outage_timeout: Duration
    stall_timeout: Duration | None
    on_stall: OnStall
    observe: bool
    is_known: bool


class MastraWorkflowRun(JobRun[JSON]):
    """A handle of one run, as returned by `MastraWorkflow.trigger`.

    Its methods log to the flow or task run that calls them.

    Args:
        server: the server.
        workflow_id: the workflow's registry key.
        run_id: the run's id.
        cancel_on_kill: whether to cancel the run when a method call is interrupted. Prefect raises
            a `BaseException` other than `Exception` in a flow or task that is cancelled,
            terminated or timed out.
        cancel_on_timeout: whether to cancel the run when the ``timeout`` option expires.
        **waiting: options for `wait_for_completion`; see `mastra_workflows.Run.wait`.

    Raises:
        ConfigurationError: an option for waiting is invalid or out of range.
    """

    def __init__(
        self,
        server: MastraServer,
        workflow_id: str,
        run_id: str,
        *,
        cancel_on_kill: bool = True,
        cancel_on_timeout: bool = True,
        **waiting: Unpack[WaitParameters],
    ) -> None:
        WaitOptions.of(**waiting)  # validates the options before anything is started
        self.server = server
        self.workflow_id = workflow_id
        self.run_id = run_id
        self._cancel_on_kill = cancel_on_kill
        self._cancel_on_timeout = cancel_on_timeout
        self._waiting = waiting
        self._record: WorkflowRun | None = None
        self._interruption: BaseException | None = None

    @classmethod
    def of(
        cls,
        server: MastraServer,
        run: RunReference,
        workflow_id: str | None = None,
        *,
        cancel_on_kill: bool = True,
        cancel_on_timeout: bool = True,
        **waiting: Unpack[WaitParameters],
    ) -> Self:
        """Create a handle from a reference to a run.

        Args:
            server: the server.
            run: a handle, the return value of a task or flow, or a run id.
            workflow_id: the workflow's registry key, if ``run`` is a run id.
            cancel_on_kill, cancel_on_timeout, waiting: as `MastraWorkflowRun`.

        Raises:
            ConfigurationError: the reference is incomplete, or names another workflow.
        """
        found_id, run_id = _ids(run, workflow_id)
        if _is_read(run):
            waiting["is_known"] = True
        return cls(
            server,
            found_id,
            run_id,
            cancel_on_kill=cancel_on_kill,
            cancel_on_timeout=cancel_on_timeout,
            **waiting,
        )

    @property
    def cancels_on_kill(self) -> bool:
        """Whether the run is cancelled on an interruption (``cancel_on_kill``)."""
        return self._cancel_on_kill

    @property
    def url(self) -> str | None:
        """The URL of the run's page in Mastra Studio; None without a ``studio_url``."""
        return self.server.run_url(self.workflow_id, self.run_id)

    def start(
        self,
        *,
        on_failed_run: OnFailedRun = "new_run",
        on_other_input: OnOtherInput = "fail",
        **arguments: Unpack[StartArguments],
    ) -> Outcome:
        """Start the run, or attach to that of an earlier attempt; see `Workflow.attach_or_start`.

        Raises:
            InvalidInputError: the input does not match the workflow's schema; nothing was started.
            UnknownWorkflowError: the server has no such workflow; the message names those that
                exist.
            RunNotStartedError: the server refused the run.
        """
        _started_runs.record_run(self)
        on_failed_run = _on_failed_run(on_failed_run)
        with self.cancelling_on_kill(), self._remote() as run:
            workflow = run.workflow
            attachment = workflow.attach_or_start(
                self.run_id,
                on_failed_run=on_failed_run,
                on_other_input=on_other_input,
                **arguments,
            )
            self.run_id = attachment.run_id
            record = attachment.record or workflow.get_run(self.run_id).read()
            return self._log_start(record)

    async def astart(
        self,
        *,
        on_failed_run: OnFailedRun = "new_run",
        on_other_input: OnOtherInput = "fail",
        **arguments: Unpack[StartArguments],
    ) -> Outcome:
        """Start the run or attach to it; the asyncio version of `start`."""
        await _started_runs.arecord_run(self)
        on_failed_run = _on_failed_run(on_failed_run)
        async with self.acancelling_on_kill(), self._aremote() as run:
            workflow = run.workflow
            attachment = await workflow.attach_or_start(
                self.run_id,
                on_failed_run=on_failed_run,
                on_other_input=on_other_input,
                **arguments,
            )
            self.run_id = attachment.run_id
            record = attachment.record or await workflow.get_run(self.run_id).read()
            return self._log_start(record)

    def _log_start(self, record: WorkflowRun) -> Outcome:
        self._waiting["is_known"] = True  # invalid responses during a wait now count as an outage
        self.logger.info("%s.%s", record, f" See {self.url}" if self.url else "")
        return record.outcome(self.url)

    def wait_for_completion(self) -> Outcome:  # type: ignore[override]  # Prefect's is async
        """Wait until the run has finished, and log the progress of its steps.

        Returns:
            The outcome of a run that succeeded, or that is suspended with ``on_suspend="return"``.

        Raises:
            RunFailedError, RunCanceledError: the run failed or was cancelled.
            RunSuspendedError: the run is suspended, with ``on_suspend="fail"``.
            RunStalledError: the server has lost the run, with ``on_stall="fail"``.
            WaitTimeoutError: ``timeout`` expired. The run was cancelled if ``cancel_on_timeout`` is
                set; otherwise it continues.
            ServerLostError: the server was unreachable for longer than ``outage_timeout``.
        """
        progress = StepProgress(self.logger.info)
        with self.cancelling_on_kill(), self._remote() as run:
            try:
                record = run.wait(
                    on_record=progress.on_record, on_event=progress.on_event, **self._waiting
                )
            except WaitTimeoutError as error:
                if not self._cancel_on_timeout:
                    raise
                raise _timed_out(run.cancel(allow_retry=True)) from error
            return self._log_end(record)

    async def await_for_completion(self) -> Outcome:
        """Wait until the run has finished; the asyncio version of `wait_for_completion`."""
        progress = StepProgress(self.logger.info)
        async with self.acancelling_on_kill(), self._aremote() as run:
            try:
                record = await run.wait(
                    on_record=progress.on_record, on_event=progress.on_event, **self._waiting
                )
            except WaitTimeoutError as error:
                if not self._cancel_on_timeout:
                    raise
                raise _timed_out(await run.cancel(allow_retry=True)) from error
            return self._log_end(record)

    def _log_end(self, record: WorkflowRun) -> Outcome:
        self.logger.info(summary(record))
        self._record = record
        return record.raise_for_status().outcome(self.url)

    def fetch_result(self) -> JSON:  # Prefect's is async
        """Return the workflow's result.

        Raises:
            RunFailedError, RunCanceledError: the run has no result.
            RunError: the run has not finished yet.
        """
        record = self._record
        if record is None or not record.is_finished:
            with self._remote() as run:
                record = run.read()
        return _result(record)

    async def afetch_result(self) -> JSON:
        """Return the workflow's result; the asyncio version of `fetch_result`."""
        record = self._record
        if record is None or not record.is_finished:
            async with self._aremote() as run:
                record = await run.read()
        return _result(record)

    @property
    def record(self) -> WorkflowRun:
        """The record that the last wait or poll has read. Valid only after one of them."""
        assert self._record is not None
        return self._record

    def poll(self) -> WorkflowRun | None:
        """Read the run's record once; None if the server is unreachable."""
        with self._remote() as run:
            try:
                self._record = run.read()
            except MastraError as error:
                if not (isinstance(error, ServerLostError) or is_outage(error)):
                    raise
                return None
        return self._record

    async def apoll(self) -> WorkflowRun | None:
        """Read the run's record once; the asyncio version of `poll`."""
        async with self._aremote() as run:
            try:
                self._record = await run.read()
            except MastraError as error:
                if not (isinstance(error, ServerLostError) or is_outage(error)):
                    raise
                return None
        return self._record

    def respond(self, pending_request: PendingRequest, resume_data: JSON) -> Outcome:
        """Respond to a pending request, without waiting for the run; see `Run.respond`.

        Raises:
            NotSuspendedError: the request is no longer pending.
            InvalidResumeDataError: the data is invalid; the step is still suspended.
        """
        with self._remote() as run:
            record = run.respond(
                pending_request, as_json(resume_data), is_retry=is_retry(), **self._waiting
            )
            return self._log_resume(record)

    async def arespond(self, pending_request: PendingRequest, resume_data: JSON) -> Outcome:
        """Respond to a pending request; the asyncio version of `respond`."""
        async with self._aremote() as run:
            record = await run.respond(
                pending_request, as_json(resume_data), is_retry=is_retry(), **self._waiting
            )
            return self._log_resume(record)

    def resume(self, **arguments: Unpack[ResumeArguments]) -> Outcome:
        """Resume a suspended step, without waiting for the run; see `Run.resume`.

        Raises:
            NotSuspendedError: no such step is suspended, or several are; the message names them.
            InvalidResumeDataError: the data is invalid; the step is still suspended.
        """
        arguments["resume_data"] = as_json(arguments.get("resume_data"))
        with self._remote() as run:
            record = run.resume(is_retry=is_retry(), **arguments)
        return self._log_resume(record)

    async def aresume(self, **arguments: Unpack[ResumeArguments]) -> Outcome:
        """Resume a suspended step; the asyncio version of `resume`."""
        arguments["resume_data"] = as_json(arguments.get("resume_data"))
        async with self._aremote() as run:
            record = await run.resume(is_retry=is_retry(), **arguments)
        return self._log_resume(record)

    def _log_resume(self, record: WorkflowRun) -> Outcome:
        self.logger.info("Step resumed. %s.", record)
        return record.outcome(self.url)

    def cancel(self) -> Outcome:
        """Cancel the run, check the effect and log it; see `Run.cancel`."""
        with self._remote() as run:
            return self._log_cancellation(run.cancel())

    async def acancel(self) -> Outcome:
        """Cancel the run; the asyncio version of `cancel`."""
        async with self._aremote() as run:
            return self._log_cancellation(await run.cancel())

    def _log_cancellation(self, cancellation: Cancellation) -> Outcome:
        log = self.logger.info if cancellation.is_confirmed else self.logger.warning
        log("%s", cancellation)
        return cancellation.run.outcome(self.url)

    @contextmanager
    def cancelling_on_kill(self) -> Iterator[None]:
        """Cancel the run, or log that it continues, if the block is interrupted.

        An `Exception` is no interruption: the errors of this package report the run's state.
        """
        try:
            yield
        except (Exception, Pause):  # a suspended flow run continues later
            raise
        except BaseException as interruption:
            if self._interruption is not interruption:  # nested blocks handle it only once
                self._interruption = interruption
                self.abandon(interruption)
            raise

    @asynccontextmanager
    async def acancelling_on_kill(self) -> AsyncIterator[None]:
        """Guard a block against interruptions; the asyncio version of `cancelling_on_kill`."""
        try:
            yield
        except (Exception, Pause):
            raise
        except BaseException as interruption:
            if self._interruption is not interruption:
                self._interruption = interruption
                await self.aabandon(interruption)
            raise

    async def aabandon(self, interruption: BaseException) -> None:
        """Call `abandon` in a thread, so that another cancellation does not interrupt it."""
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self.abandon, interruption)

    @asynccontextmanager
    async def _aremote(self) -> AsyncIterator[AsyncRun]:
        async with self.server.get_async_client() as client:
            yield client.get_workflow(self.workflow_id).get_run(self.run_id)

    @contextmanager
    def _remote(self) -> Iterator[Run]:
        with self.server.get_client() as client:
            yield client.get_workflow(self.workflow_id).get_run(self.run_id)

    def abandon(self, interruption: BaseException) -> None:
        """Cancel the interrupted run, or log that it continues."""
        log = self.logger
        what = type(interruption).__name__
        # If the runner was killed, the pipe of stdout is broken: the next print ends the process.
        is_orphaned = isinstance(interruption.__context__, BrokenPipeError)
        who = f"run {self.run_id!r} of workflow {self.workflow_id!r}"
        if is_orphaned:
            log.warning(
                "The runner of this flow run has ended; %s continues, and a retry attaches to it.",
                who,
            )
        elif self._cancel_on_kill:
            log.warning("Interrupted (%s); cancelling %s.", what, who)
            try:
                with self._remote() as run:
                    # While an attempt starts the next run in line, self.run_id is the first id.
                    self._log_cancellation(run.workflow.cancel_work(self.run_id, allow_retry=True))
            except UnknownRunError:
                log.info("The run had not been started; nothing was cancelled.")
            except MastraError as error:
                log.error("Could not cancel %s; it may still be running: %s", who, error)
        else:
            log.warning("Interrupted (%s); %s continues (cancel_on_kill is off).", what, who)
        # After a signal, Prefect ends the process without flushing its logs.
        APILogHandler().flush()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.workflow_id!r}, {self.run_id!r})"


RunReference = MastraWorkflowRun | WorkflowRun | Mapping[str, Any] | str
"""A reference to a run: a handle, a record, the return value of a task or flow, or a run id."""


def workflow_id_of(run: object) -> str | None:
    """Return the workflow id in a reference to a run; None if there is none."""
    if isinstance(run, MastraWorkflowRun | WorkflowRun):
        return run.workflow_id
    return run.get("workflow_id") if isinstance(run, Mapping) else None


def _ids(run: RunReference, workflow_id: str | None) -> tuple[str, str]:
    """Return the workflow id and the run id of a reference to a run."""
    found = workflow_id_of(run)
    if workflow_id is not None and found is not None and workflow_id != found:
        raise ConfigurationError(
            f"run is a run of workflow {found!r}, but workflow_id is {workflow_id!r}."
        )
    workflow_id = workflow_id or found
    run_id: Any = run
    if isinstance(run, MastraWorkflowRun | WorkflowRun):
        run_id = run.run_id
    elif isinstance(run, Mapping):
        run_id = run.get("run_id")
    if not workflow_id or not isinstance(run_id, str) or not run_id:
        raise ConfigurationError(
            "run: expected a handle, a mapping with 'workflow_id' and 'run_id' (as returned by "
            "start_workflow), or a run id together with workflow_id."
        )
    return workflow_id, run_id


def _is_read(run: RunReference) -> bool:
    """Return whether the reference proves that the server has started the run."""
    match run:
        case MastraWorkflowRun():
            return run._waiting.get("is_known", False)
        case WorkflowRun():
            return run.status != "pending"
        case Mapping():
            return run.get("status") not in (None, "pending")
    return False


def _on_failed_run(chosen: OnFailedRun) -> OnFailedRun:
    """Never replace a failed run in a flow run that continues after a suspension."""
    return "fail" if is_resumed() else chosen


def _result(record: WorkflowRun) -> JSON:
    if not record.is_finished:
        raise RunError(f"{record}. There is no result yet.", record)
    return record.raise_for_status().result


def _timed_out(cancellation: Cancellation) -> WaitTimeoutError:
    return WaitTimeoutError(
        f"The wait timed out, and cancel_on_timeout is on. {cancellation}", cancellation.run
    )
