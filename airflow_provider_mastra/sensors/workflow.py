"""A sensor that waits for a run which something else started."""

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

ENDS = (RunFailedError, RunCanceledError, RunSuspendedError)
"""What a sensor's next try would only meet again."""


class MastraWorkflowRunSensor(MastraBaseOperator, BaseSensorOperator):
    """Waits for a run's end, or for its suspension, and returns its result.

    A run that failed or was cancelled fails the sensor at once, and without retries. With
    ``soft_fail`` such a run, a suspended one (``on_suspend="fail"``) and a timeout skip the sensor
    instead; a wrong token, an unknown workflow or run, and other mistakes still fail it. With
    ``never_fail`` every error skips it. Either way the log says why.

    In ``mode="poke"`` the sensor looks at the run after ``poll_interval`` seconds and then more
    and more rarely, up to every ``poke_interval`` seconds. In ``mode="reschedule"`` it looks once
    each ``poke_interval`` seconds (or as ``exponential_backoff`` and ``max_wait`` say) and holds no
    worker in between.

    Args:
        workflow_id: the workflow's registry key, such as ``orderReport``. (templated)
        run_id: the run. (templated)
        on_suspend: what a suspension is: ``"fail"`` fails the sensor, ``"return"`` ends it
            without a result, and pushes the ``suspensions`` (so it waits for whatever comes first,
            a suspension or the end), ``"wait"`` waits until somebody resumed the run.
        mastra_conn_id: the connection to the server. (templated)
        wait_for_existence: whether to wait for a run that does not exist yet, until ``timeout``.
            Otherwise an unknown run fails the sensor at once. An unknown workflow always does.
        poke_interval: the longest time between two polls.
        poll_interval: the time before the second poll, in ``mode="poke"``.
        outage_timeout: how long the server may be unreachable.
        observe: whether to subscribe to the server's events as well, which report the end within
            milliseconds; not with ``mode="reschedule"``.
        deferrable: whether to wait in the triggerer, in place of either mode. The default is
            Airflow's own option ``[operators] default_deferrable``.
        defer_after: how long a deferrable sensor waits on its worker first.
        **kwargs: everything that a `BaseSensorOperator` takes, such as ``timeout``, ``mode`` and
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
        with naming(self):  # so that a DAG with a bad value is not even imported
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
        """Wait for the run: here, or in the triggerer.

        Returns and raises: as `poke` does in the end.
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
            # Airflow's own, in reschedule mode.
            late = WaitTimeoutError(str(timeout), self._record)
            raise as_airflow_error(late, AirflowSensorTimeout) from timeout

    def resume_execution(
        self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context
    ) -> Any:
        """Go on after the triggerer, with ``soft_fail`` and ``never_fail`` as in `execute`."""
        with self._skipping():
            return super().resume_execution(next_method, next_kwargs, context)

    @contextmanager
    def _skipping(self) -> Iterator[None]:
        """Skip the sensor in place of failing it, where its options say so, and log the reason.

        Airflow's own conversion logs no reason, takes a mistake in the DAG for an end of the run,
        and forgets `never_fail` in a deferrable sensor.
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
        """Go on after the triggerer's waiting: read the run, and decide.

        Returns and raises: as `execute`.
        """
        with as_airflow_errors(*ENDS), self.hook:
            # The trigger has seen the run, even if the server does not have it any more.
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
            self.log.info(summary(error.run))  # said here, since `soft_fail` drops the error
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
            cancel_on_kill=False,  # the run is not the sensor's own
            wait_for_existence=self._may_come_to_exist,
        )
        self.defer(trigger=trigger, method_name="execute_complete")

    def poke(self, context: Context) -> PokeReturnValue:
        """Wait for the run, or with ``mode="reschedule"`` look at it once.

        Returns:
            Whether there is no more to wait for; and if so, the workflow's result, which is None
            for a suspended run.

        Raises:
            AirflowFailException: the run failed, was cancelled or is suspended, or another poll
                would fail as well.
            AirflowSensorTimeout: the sensor's ``timeout`` was over first; the run continues.
            RunStalledError: nothing has moved for an hour and the server, asked then, does not
                execute the run; not with ``mode="reschedule"``, which remembers no earlier look.
            ServerLostError: the server was out of reach for too long.
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
                # Said here, since `soft_fail` drops the error.
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
        """As `follow`; polls a run that does not exist yet until the time is over."""
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
        """Whether an unknown run is waited for: one that was seen before is lost."""
        return self.wait_for_existence and not self._exists

    def _log_steps(self) -> WaitArguments:
        progress = StepProgress(self.log.info)

        def look(record: WorkflowRun) -> None:
            self._exists = True
            progress.look(record)

        return {"on_record": look, "on_event": progress.hear}

    def result(self, record: WorkflowRun, context: Context) -> JSON:
        """As the base class; raises if the run is finished without success."""
        result = super().result(record, context)
        record.raise_for_status()
        return result
