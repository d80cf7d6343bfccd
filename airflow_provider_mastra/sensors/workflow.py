"""A sensor that waits for a run that was started elsewhere."""

from __future__ import annotations

import itertools
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Unpack

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    PokeReturnValue,
)

from airflow_provider_mastra.hooks.mastra import MastraHook
from airflow_provider_mastra.operators._base import STALLED, MastraBaseOperator
from airflow_provider_mastra.operators._options import DEFAULT_DEFERRABLE, defer_seconds
from airflow_provider_mastra.utils._arguments import naming
from airflow_provider_mastra.utils._errors import as_airflow_error, as_airflow_errors
from mastra_workflows.errors import (
    MastraError,
    RunCanceledError,
    RunError,
    RunFailedError,
    RunStalledError,
    RunSuspendedError,
    ServerLostError,
    UnknownRunError,
    WaitTimeoutError,
)
from mastra_workflows.integration import (
    PollPolicy,
    StepProgress,
    WaitOptions,
    require_flags,
    summary,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_mastra.triggers.workflow import WaitEvent
    from airflow_provider_mastra.utils._arguments import SensorArguments
    from mastra_workflows import JSON, Duration, OnSuspend, Run, WorkflowRun
    from mastra_workflows.integration import WaitArguments

__all__ = ["MastraWorkflowRunSensor"]

ENDS = (RunFailedError, RunCanceledError, RunSuspendedError)
"""Errors that a retry of the sensor would only repeat."""


class MastraWorkflowRunSensor(MastraBaseOperator, BaseSensorOperator):
    """Wait until a run is finished or suspended, and return its result.

    A run that failed or was cancelled fails the sensor at once, without retries. With
    ``soft_fail``, such a run, a suspended one (``on_suspend="fail"``) and a timeout skip the sensor
    instead; an invalid token, an unknown workflow or run, and other configuration errors still fail
    it. With ``never_fail``, every error skips it. The log contains the reason in both cases.

    In ``mode="poke"``, the poll interval starts at ``poll_interval`` and grows up to
    ``poke_interval``. In ``mode="reschedule"``, the sensor polls the run once every
    ``poke_interval`` (or as set by ``exponential_backoff`` and ``max_wait``) and releases its
    worker in between.

    Args:
        workflow_id: the workflow's registry key, such as ``orderReport``. (templated)
        run_id: the id of the run. (templated)
        on_suspend: how the sensor treats a suspended run: ``"fail"`` fails the sensor, ``"return"``
            ends it without a result and pushes the XCom ``suspensions`` (so it waits for a
            suspension or the end, whichever comes first), ``"wait"`` waits until the run is resumed
            elsewhere.
        mastra_conn_id: the id of the Airflow connection to the server. (templated)
        wait_for_existence: whether to wait, until ``timeout``, for a run that does not exist yet.
            Otherwise an unknown run fails the sensor at once. An unknown workflow always does.
        poke_interval: the upper limit of the poll interval.
        poll_interval: the initial poll interval in ``mode="poke"``.
        outage_timeout: how long the server may be unreachable.
        observe: whether to subscribe to the server's event stream in addition to polling. Events
            report the end of a run within milliseconds. Not used with ``mode="reschedule"``.
        deferrable: whether to wait in the triggerer instead of in either mode. The default is
            Airflow's option ``[operators] default_deferrable``.
        defer_after: how long a deferrable sensor waits on its worker first.
        **kwargs: all arguments of `BaseSensorOperator`, such as ``timeout``, ``mode`` and
            ``soft_fail``.

    Durations are seconds or a timedelta.
    """

    def __init__(
        self,
        *,
        workflow_id: str,
        run_id: str,
        mastra_conn_id: str = MastraHook.default_conn_name,
        on_suspend: OnSuspend = "fail",
        wait_for_existence: bool = False,
        poke_interval: Duration = 30.0,
        poll_interval: Duration = 0.5,
        outage_timeout: Duration = 300.0,
        observe: bool = True,
        deferrable: bool = DEFAULT_DEFERRABLE,
        defer_after: Duration = 1.0,
        **kwargs: Unpack[SensorArguments],
    ) -> None:
        super().__init__(
            workflow_id=workflow_id,
            run_id=run_id,
            mastra_conn_id=mastra_conn_id,
            poke_interval=poke_interval,
            **kwargs,
        )
        with naming(self):  # an invalid value fails the import of the DAG file
            require_flags(deferrable=deferrable, wait_for_existence=wait_for_existence)
            self.defer_after = defer_seconds(defer_after)
            options = WaitOptions.of(
                on_suspend=on_suspend,
                poll_interval=poll_interval,
                max_poll_interval=self.poke_interval,
                outage_timeout=outage_timeout,
                observe=observe,
            )
        self.wait_arguments: WaitArguments = {
            "on_suspend": on_suspend,
            "poll_interval": options.poll_interval,
            "max_poll_interval": options.max_poll_interval,
            "outage_timeout": options.outage_timeout,
            "observe": observe,
        }
        self.wait_for_existence = wait_for_existence
        self.deferrable = deferrable
        self._exists = False
        self._record: WorkflowRun | None = None

    def execute(self, context: Context) -> Any:
        """Wait for the run, on the worker or in the triggerer.

        Returns and raises: as `poke` does at the end of the wait.
        """
        with self._skipping():
            if not self.deferrable:
                return self._poll(context)
            with as_airflow_errors(*ENDS), self.hook:
                deadline = time.time() + self.timeout
                run = self.handle(context)
                return self._wait_or_defer(run, self.defer_after, deadline, context)

    def _poll(self, context: Context) -> Any:
        try:
            return super().execute(context)
        except AirflowSensorTimeout as timeout:
            if isinstance(timeout, MastraError) or self._record is None:
                raise
            # Raised by Airflow in reschedule mode.
            late = WaitTimeoutError(str(timeout), self._record)
            raise as_airflow_error(late, AirflowSensorTimeout) from timeout

    def resume_execution(
        self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context
    ) -> Any:
        """Continue after a deferral, with the same skip behaviour as `execute`."""
        with self._skipping():
            return super().resume_execution(next_method, next_kwargs, context)

    @contextmanager
    def _skipping(self) -> Iterator[None]:
        """Skip the sensor instead of failing it where its options allow it, and log the reason.

        Airflow's own conversion logs no reason, treats a mistake in the DAG like the end of a run,
        and ignores `never_fail` in a deferrable sensor.
        """
        try:
            yield
        except AirflowSkipException as skip:
            error = skip.__cause__ or skip
            if isinstance(error, AirflowFailException) and not self._may_skip(error):
                raise error from error.__cause__
            self.log.warning("Skipped: %s", error)
            raise
        except Exception as error:
            if not self.deferrable or not self._may_skip(error):
                raise
            self.log.warning("Skipped: %s", error)
            raise AirflowSkipException(str(error)) from error

    def _may_skip(self, error: Exception) -> bool:
        is_end = isinstance(error, (*ENDS, AirflowSensorTimeout))
        return self.never_fail or (self.soft_fail and is_end)

    def execute_complete(self, context: Context, event: WaitEvent) -> JSON:
        """Continue after the trigger fired: read the run and decide.

        Returns and raises: as `execute`.
        """
        with as_airflow_errors(*ENDS), self.hook:
            # The trigger has read the run before, even if the server no longer has it.
            self._exists = (
                event["reason"] in ("over", "stalled") or event["error"] == UnknownRunError.__name__
            )
            run, lost = self.resume_from_trigger(event)
            if lost is not None:
                self.log.info(summary(lost))
                self.push_metadata(lost, context)
                raise RunStalledError(STALLED.format(lost), lost)
            deadline = event["deadline"]
            assert deadline is not None
            return self._wait_or_defer(run, None, deadline, context)

    def _wait_or_defer(
        self, run: Run, seconds: float | None, deadline: float, context: Context
    ) -> JSON:
        left = max(0.0, deadline - time.time())
        arguments: WaitArguments = {
            **self.wait_arguments,
            **self._log_steps(),
            "timeout": min(seconds or 0.0, left),
        }
        try:
            record = self.follow(run, arguments)
        except WaitTimeoutError as error:
            if time.time() >= deadline:
                self.log.info(summary(error.run))
                self.push_metadata(error.run, context)
                raise as_airflow_error(error, AirflowSensorTimeout) from error.__cause__
        except UnknownRunError as error:
            if not self._may_come_to_exist:
                raise
            if time.time() >= deadline:
                raise as_airflow_error(error, AirflowSensorTimeout) from error.__cause__
            self.log.info("The run does not exist yet.")
        except ServerLostError:
            if seconds is None:
                raise
            self.log.info("Mastra server unreachable; the triggerer retries.")
        except RunError as error:
            self.log.info(summary(error.run))  # logged here, because `soft_fail` drops the error
            self.push_metadata(error.run, context)
            raise
        else:
            self.log.info(summary(record))
            return self.result(record, context)
        from airflow_provider_mastra.triggers.workflow import MastraWorkflowRunTrigger

        trigger = MastraWorkflowRunTrigger(
            mastra_conn_id=self.mastra_conn_id,
            workflow_id=run.workflow_id,
            run_id=run.run_id,
            wait=self.wait_arguments,
            deadline=deadline,
            cancel_on_kill=False,  # the sensor did not start the run
            wait_for_existence=self._may_come_to_exist,
        )
        self.defer(trigger=trigger, method_name="execute_complete")

    def poke(self, context: Context) -> PokeReturnValue:
        """Wait for the run; with ``mode="reschedule"``, poll it once.

        Returns:
            Whether the wait is complete and, if so, the workflow's result (None for a suspended
            run).

        Raises:
            AirflowFailException: the run failed, was cancelled or is suspended, or another poll
                would fail in the same way.
            AirflowSensorTimeout: the sensor's ``timeout`` has passed; the run continues.
            RunStalledError: the run's record has not changed for an hour, and the server reports
                that it does not execute the run. Not raised with ``mode="reschedule"``, which keeps
                no state between polls.
            ServerLostError: the server was unreachable for longer than ``outage_timeout``.
        """
        with as_airflow_errors(*ENDS), self.hook:
            run = self.handle(context)
            arguments: WaitArguments = {**self.wait_arguments}
            if self.reschedule:
                arguments["timeout"] = 0.0
            else:
                arguments = {**arguments, **self._log_steps(), "timeout": self.timeout}
            try:
                record = self._follow_when_it_exists(run, arguments)
            except UnknownRunError as error:
                if not self._may_come_to_exist:
                    raise
                if self.reschedule:
                    self.log.info("The run does not exist yet.")
                    return PokeReturnValue(is_done=False)
                raise as_airflow_error(error, AirflowSensorTimeout) from error.__cause__
            except RunError as error:
                # Logged here, because `soft_fail` drops the error.
                self.log.info(summary(error.run))
                if isinstance(error, WaitTimeoutError) and self.reschedule:
                    self._record = error.run
                    return PokeReturnValue(is_done=False)
                self.push_metadata(error.run, context)
                if not isinstance(error, WaitTimeoutError):
                    raise
                raise as_airflow_error(error, AirflowSensorTimeout) from error.__cause__
            self.log.info(summary(record))
            return PokeReturnValue(True, self.result(record, context))

    def _follow_when_it_exists(self, run: Run, arguments: WaitArguments) -> WorkflowRun:
        """Call `follow`, and poll a run that does not exist yet until the timeout."""
        deadline = time.monotonic() + (arguments["timeout"] or 0.0)
        policy = PollPolicy(
            first_wait=arguments["poll_interval"], longest_wait=arguments["max_poll_interval"]
        )
        for poll in itertools.count(1):
            left = max(0.0, deadline - time.monotonic())
            try:
                return self.follow(run, {**arguments, "timeout": left})
            except UnknownRunError:
                if not self._may_come_to_exist or left <= 0:
                    raise
            if poll == 1:
                self.log.info("The run does not exist yet. Polling until it does.")
            time.sleep(min(policy.wait(poll), left))
            run = self.current_handle(run)
        raise AssertionError

    @property
    def _may_come_to_exist(self) -> bool:
        """Whether to wait for an unknown run; a run that was read before is lost instead."""
        return self.wait_for_existence and not self._exists

    def _log_steps(self) -> WaitArguments:
        progress = StepProgress(self.log.info)

        def look(record: WorkflowRun) -> None:
            self._exists = True
            progress.on_record(record)

        return {"on_record": look, "on_event": progress.on_event}

    def result(self, record: WorkflowRun, context: Context) -> JSON:
        """Extend the base class's method: raise if the run ended without success."""
        result = super().result(record, context)
        record.raise_for_status()
        return result
