"""The base class of the operators that start or resume a run and wait for it."""

from __future__ import annotations

import logging
import sys
import threading
import time
from abc import abstractmethod
from contextlib import contextmanager
from math import inf
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Unpack

from airflow.providers.common.compat.sdk import AirflowFailException, AirflowTaskTimeout

from airflow_provider_mastra.operators._base import STALLED, MastraBaseOperator
from airflow_provider_mastra.operators._options import defer_seconds
from airflow_provider_mastra.utils._arguments import naming
from airflow_provider_mastra.utils._errors import as_airflow_errors
from airflow_provider_mastra.utils._identity import current, identify, mark_finished
from airflow_provider_mastra.utils._task_state import PROCESS_IS_UNWANTED, task_state
from mastra_workflows import RetryPolicy
from mastra_workflows.errors import (
    MastraError,
    RunError,
    RunStalledError,
    ServerLostError,
    UnknownRunError,
    WaitTimeoutError,
)
from mastra_workflows.integration import StepProgress, summary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_mastra.operators._options import OperatorOptions
    from airflow_provider_mastra.triggers.workflow import WaitEvent
    from airflow_provider_mastra.utils._arguments import OperatorArguments
    from airflow_provider_mastra.utils._identity import Identity
    from mastra_workflows import JSON, Cancellation, Run, Workflow, WorkflowRun
    from mastra_workflows.integration import WaitArguments

try:
    from airflow.sdk.exceptions import TaskDeferralError, TaskDeferralTimeout
except ImportError:  # their location in Airflow 3.1
    from airflow.exceptions import (  # type: ignore[no-redef]
        TaskDeferralError,
        TaskDeferralTimeout,
    )

KILL_SECONDS = 4.5
"""How long a killed task waits for its run to be cancelled. Airflow kills the process 5 seconds
after the first signal."""

STATE_QUERY_SECONDS = 1.5
"""The part of `KILL_SECONDS` reserved for reading the task's state from Airflow."""


class MastraWaitingOperator(MastraBaseOperator):
    """The base class of the operators that start or resume a run and wait for it."""

    has_started_run: ClassVar[bool] = True
    """Whether the server has already confirmed the run when the wait begins."""

    def __init__(
        self,
        *,
        workflow_id: str,
        run_id: str | None,
        options: OperatorOptions,
        **kwargs: Unpack[OperatorArguments],
    ) -> None:
        super().__init__(
            workflow_id=workflow_id,
            run_id=run_id,
            mastra_conn_id=options.mastra_conn_id,
            check_data=options.check_data,
            **kwargs,
        )
        with naming(self):
            waiting = options.wait_options()
            self.defer_after = defer_seconds(options.defer_after)
        self.wait_for_completion = options.wait_for_completion
        self.timeout = waiting.timeout
        self.wait_arguments: WaitArguments = {
            "on_suspend": waiting.on_suspend,
            "poll_interval": waiting.poll_interval,
            "max_poll_interval": waiting.max_poll_interval,
            "outage_timeout": waiting.outage_timeout,
            "stall_timeout": waiting.stall_timeout,
            "on_stall": waiting.on_stall,
            "observe": waiting.observe,
        }
        self.deferrable = options.deferrable
        self.cancel_on_kill = options.cancel_on_kill
        self.cancel_on_timeout = options.cancel_on_timeout
        self.identity: Identity | None = None
        self._active_run: Run | None = None
        self._context: Any = None

    @contextmanager
    def attempt_scope(self, context: Context) -> Iterator[None]:
        """Open the hook for a part of the attempt, convert errors, and record a final outcome.

        Raises:
            AirflowFailException: an error that a retry would only repeat.
        """
        self._context = context
        try:
            with as_airflow_errors(), self.hook:
                yield
        except AirflowFailException:
            mark_finished(context)
            raise
        mark_finished(context)

    def identify(self, context: Context) -> Identity:
        """Return the attempt's run: by default one started elsewhere, under the given id."""
        return identify(context, super().choose_run_id(context), owns_run=False)

    def choose_run_id(self, context: Context) -> str:
        """Return the id of the run from `identify`, which is called once per attempt."""
        self.identity = self.identify(context)
        return self.identity.run_id

    @abstractmethod
    def start_or_resume(self, run: Run, context: Context) -> Run:
        """Start or resume the run.

        Returns:
            The run that executes the work: the given one, or its replacement (``<run_id>-2``).
        """

    def execute(self, context: Context) -> JSON:
        """Start or resume the run and wait for it.

        Returns:
            The workflow's result; None if the task does not wait for the run, or the run is
            suspended.

        Raises:
            AirflowException: an error of the client. It is also a `MastraError`, with the run's
                record as ``run``. It is an `AirflowFailException` if a retry would only repeat it;
                otherwise a retry attaches to the same run.
        """
        with self.attempt_scope(context):
            run = self._active_run = self.handle(context)
            started = self._active_run = self.start_or_resume(run, context)
            if started.run_id != run.run_id:
                self.announce_run(started, context)
            if not self.wait_for_completion:
                self._active_run = None
                self.push_metadata(started.read(), context)
                return None
            result = self.conclude(started, self.wait(started), context)
            self._active_run = None
            return result

    def conclude(self, run: Run, record: WorkflowRun, context: Context) -> JSON:
        """Return the task's result for a run that is finished or suspended.

        Args:
            run: the run's handle.
            record: the run's record after the wait.
            context: the task's context.
        """
        return self.result(record, context)

    def wait(self, run: Run) -> WorkflowRun:
        """Wait for a run that was just started or resumed, within the task's time limits.

        In a deferrable task, if the run has not finished after ``defer_after``, the method raises
        Airflow's deferral exception, and `execute_complete` continues.
        """
        if self.deferrable:
            return self._wait_or_defer(run, self.defer_after, self._deadline(), restarted=None)
        return self._wait(run, self.timeout)

    def execute_complete(
        self, context: Context, event: WaitEvent, run_id: str | None = None
    ) -> JSON:
        """Continue after the trigger fired: read the run and decide.

        Returns and raises: as `execute`.
        """
        with self.attempt_scope(context):
            run, lost = self.resume_from_trigger(event)
            self._active_run = run
            restarted = event["restarted"]
            if lost is not None:
                restarted = self._restart(run, lost, event)
            record = self._wait_or_defer(run, None, event["deadline"], restarted)
            result = self.conclude(run, record, context)
            self._active_run = None
            return result

    def resume_execution(
        self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context
    ) -> Any:
        """Extend Airflow's method: handle the run when Airflow itself ends the deferral."""
        self.identity = current(context)
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except TaskDeferralTimeout:
            self._on_deferral_error(context, cancel=self.cancel_on_timeout)
            raise
        except TaskDeferralError:
            self._on_deferral_error(
                context, cancel=False
            )  # the trigger failed; a retry attaches to the run
            raise

    def _deadline(self) -> float | None:
        """Return the end of the wait, in seconds since 1970.

        It includes ``execution_timeout``, which Airflow does not apply to deferred tasks.
        """
        limit = self.execution_timeout
        seconds = [self.timeout, None if limit is None else limit.total_seconds()]
        given = [number for number in seconds if number is not None]
        return time.time() + min(given) if given else None

    def _wait_or_defer(
        self, run: Run, seconds: float | None, deadline: float | None, restarted: str | None
    ) -> WorkflowRun:
        """Return the record of a finished run, or defer the task to the triggerer.

        Args:
            seconds: how long to wait on the worker first; None after a deferral, where the trigger
                has already retried an unreachable server.
        """
        left = inf if deadline is None else deadline - time.time()
        is_last = left <= (seconds or 0.0)
        try:
            return self._wait(run, max(0.0, min(seconds or 0.0, left)), is_last=is_last)
        except WaitTimeoutError:
            if is_last:
                raise
        except ServerLostError:
            if is_last or seconds is None:
                raise
            self.log.info("Mastra server unreachable; the triggerer retries.")
        from airflow_provider_mastra.triggers.workflow import MastraWorkflowRunTrigger

        self._active_run = None
        self.log.info("Deferring: the triggerer waits for the run.")
        trigger = MastraWorkflowRunTrigger(
            mastra_conn_id=self.mastra_conn_id,
            workflow_id=run.workflow_id,
            run_id=run.run_id,
            wait=self.wait_arguments,
            deadline=deadline,
            cancel_on_kill=self.cancel_on_kill,
            restarted=restarted,
        )
        self.defer(trigger=trigger, method_name="execute_complete", kwargs={"run_id": run.run_id})

    def _wait(self, run: Run, timeout: float | None, *, is_last: bool = True) -> WorkflowRun:
        """Wait for the run and log a summary.

        Args:
            is_last: whether to give up on a run that has not finished in time.
        """
        progress = StepProgress(self.log.info)
        arguments: WaitArguments = {
            **self.wait_arguments,
            "timeout": timeout,
            "is_known": self.has_started_run,
            "on_record": progress.on_record,
            "on_event": progress.on_event,
        }
        try:
            record = self.follow(run, arguments).raise_for_status()
        except WaitTimeoutError as error:
            if not is_last:
                raise
            self.log.info(summary(error.run))
            try:
                self._on_wait_timeout(run, error)
            except WaitTimeoutError as timeout:
                self.push_metadata(timeout.run, self._context)
                raise
        except RunError as error:
            self.log.info(summary(error.run))
            self.push_metadata(error.run, self._context)
            raise
        self.log.info(summary(record))
        return record

    def _on_wait_timeout(self, run: Run, error: WaitTimeoutError) -> NoReturn:
        if not self.cancel_on_timeout:
            raise error
        cancellation = self.current_handle(run).cancel(allow_retry=True)
        raise WaitTimeoutError(
            f"The wait timed out, and cancel_on_timeout is on. {cancellation}",
            cancellation.run,
        ) from error

    def _restart(self, run: Run, lost: WorkflowRun, event: WaitEvent) -> str:
        """Restart a run that its server no longer executes, once per stall."""
        from mastra_workflows.integration import fingerprint

        had_no_effect = event["restarted"] == fingerprint(lost)
        if self.wait_arguments["on_stall"] != "restart" or had_no_effect:
            raise RunStalledError(STALLED.format(lost), lost)
        record = self.current_handle(run).restart()
        self.log.warning("Restarted the run. %s", record)
        return fingerprint(record)

    def _on_deferral_error(self, context: Context, *, cancel: bool) -> None:
        run_id = self.deferred_run_id(context)
        which = f"Run {run_id!r} of workflow {self.workflow_id!r}"
        if not cancel:
            self.log.warning("%s continues; a retry attaches to it.", which)
            return
        from mastra_workflows.integration import CONFIRM_SECONDS

        try:
            with self.hook:
                workflow = self.hook.get_conn().get_workflow(self.workflow_id)
                self.log.warning("%s", self.stop(workflow, run_id, confirm_timeout=CONFIRM_SECONDS))
        except MastraError as error:
            self.log.error("%s was not cancelled (%s) and may still be running.", which, error)

    def deferred_run_id(self, context: Context) -> str:
        """Return the id of the run that the task waited for when it was deferred."""
        ti = context["ti"]
        pushed: str | None = ti.xcom_pull(
            task_ids=self.task_id, key="run_id", map_indexes=ti.map_index
        )
        if pushed is not None:
            return pushed
        return (self.identity or self.identify(context)).run_id  # do_xcom_push is off

    def on_kill(self) -> None:
        """Cancel the active run if a person ended the task; otherwise log that the run continues.

        Airflow calls this method whenever it stops the task's process: because the task was marked
        or cleared, but also at a worker shutdown, for example for a deploy, after which a retry
        attaches to the run. Airflow also calls it when ``execution_timeout`` has passed.
        """
        if self._active_run is None:
            return
        # Airflow calls this in a signal handler that interrupts the task's main thread. That thread
        # may hold a lock, of logging or of a connection, until the handler returns. So another
        # thread does the work, and the handler waits for it for a limited time.
        is_timeout = isinstance(sys.exception(), AirflowTaskTimeout)
        request = _KillRequest(self._active_run, is_timeout=is_timeout)
        threading.Thread(target=self._end_run, args=(request,), daemon=True).start()
        if request.decided.wait(STATE_QUERY_SECONDS):
            request.done.wait(KILL_SECONDS - STATE_QUERY_SECONDS)

    def _end_run(self, request: _KillRequest) -> None:
        run = request.run
        which = f"Run {run.run_id!r} of workflow {run.workflow_id!r}"
        where = f": {url}" if (url := self.url(run)) else "."
        level = logging.WARNING
        if (reason := self._reason_to_spare_run(request)) is not None:
            text = f"{which} continues, since {reason}{where}"
        else:
            request.decided.set()
            try:
                cancellation = self._cancel(run)
            except UnknownRunError:
                text = f"{which} had not been started; nothing was cancelled."
            except Exception as error:  # no error may disturb the end of the task
                text = f"{which} was not cancelled ({error}) and may still be running{where}"
            else:
                text = f"Cancelling the run of the ended task. {cancellation}"
                level = logging.INFO if cancellation.is_confirmed else logging.WARNING
        request.decided.set()
        request.done.set()
        self.log.log(level, "%s", text)

    def _reason_to_spare_run(self, request: _KillRequest) -> str | None:
        """Return why the run is not cancelled when the task ends; None if it is cancelled."""
        if request.is_timeout:
            return None if self.cancel_on_timeout else "cancel_on_timeout is off"
        if not self.cancel_on_kill:
            return "cancel_on_kill is off"
        try:
            state = task_state(self._context["ti"])
        except Exception as error:  # Airflow is unreachable, so nobody can have marked the task
            return f"the task's state is unknown ({error}); a retry attaches to the run"
        if state in PROCESS_IS_UNWANTED:
            return None
        return f"the task is {state or 'being rescheduled'}; a retry attaches to the run"

    def _cancel(self, run: Run) -> Cancellation:
        """Cancel a run with a separate client, within the time that a killed task has left."""
        part = (KILL_SECONDS - STATE_QUERY_SECONDS) / 3
        with self.hook.new_client(
            retry=RetryPolicy(seconds=part), timeout=part, connect_timeout=part
        ) as client:
            return self.stop(client.get_workflow(run.workflow_id), run.run_id, confirm_timeout=part)

    def stop(self, workflow: Workflow, run_id: str, *, confirm_timeout: float) -> Cancellation:
        """Cancel the run, so that a later try of the task may start another one.

        Args:
            workflow: the workflow's handle.
            run_id: the id of the run.
            confirm_timeout: for how many seconds to poll until the run has ended.
        """
        return workflow.get_run(run_id).cancel(confirm_timeout=confirm_timeout, allow_retry=True)


class _KillRequest:
    """The progress of a killed task's `on_kill`.

    Attributes:
        run: the task's run.
        is_timeout: whether ``execution_timeout`` has passed.
        decided: set once it is decided whether to cancel the run.
        done: set once there is nothing more to wait for.
    """

    def __init__(self, run: Run, *, is_timeout: bool) -> None:
        self.run = run
        self.is_timeout = is_timeout
        self.decided = threading.Event()
        self.done = threading.Event()
