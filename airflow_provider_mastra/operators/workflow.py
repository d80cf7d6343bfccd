"""Operators that run, resume and cancel workflows."""

from __future__ import annotations

import logging
import threading
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from airflow.providers.common.compat.sdk import Context

from airflow_provider_mastra.failures import without_useless_retries
from airflow_provider_mastra.identity import task_run_id
from airflow_provider_mastra.run_task import MastraRunTask
from mastra_workflows import Cancellation, OnSuspend, RetryPolicy, Run, WorkflowRun
from mastra_workflows.errors import ConfigurationError, RunError
from mastra_workflows.models import JSON
from mastra_workflows.procedures.waiting import WaitArguments, WaitOptions
from mastra_workflows.progress import StepProgress, summary

KILL_SECONDS = 4.5
"""How long a task that was told to end waits for its run to be cancelled. Airflow kills the process
5 seconds after it told it."""


class MastraWaitingTask(MastraRunTask):
    """The base of the operators that set a run going and wait for it.

    Args:
        wait_for_completion: whether to wait for the run; otherwise the task succeeds as soon as
            the server shows that the run executes.
        on_suspend: what a suspension is while waiting: ``"fail"`` fails the task, ``"return"``
            ends it with ``status: suspended`` and the ``suspensions``, ``"wait"`` waits until
            somebody resumed the run.
        timeout: how long to wait, in seconds or as a timedelta; the run goes on afterwards. None
            for as long as it takes.
        poll_interval: seconds between the first looks at the run.
        max_poll_interval: seconds that the interval grows to, exponentially.
        outage_timeout: for how many seconds the server may be out of reach while waiting.
        cancel_on_kill: whether the run is cancelled when the task is killed or reaches its
            ``execution_timeout``. Otherwise the log says that it goes on.
    """

    def __init__(
        self,
        *,
        wait_for_completion: bool = True,
        on_suspend: OnSuspend = "fail",
        timeout: float | timedelta | None = None,
        poll_interval: float = 0.5,
        max_poll_interval: float = 30.0,
        outage_timeout: float = 300.0,
        cancel_on_kill: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.wait_for_completion = wait_for_completion
        self.wait_arguments: WaitArguments = {
            "timeout": timeout.total_seconds() if isinstance(timeout, timedelta) else timeout,
            "on_suspend": on_suspend,
            "poll_interval": poll_interval,
            "max_poll_interval": max_poll_interval,
            "outage_timeout": outage_timeout,
        }
        WaitOptions(**self.wait_arguments)  # so that a DAG with a bad value is not even imported
        self.cancel_on_kill = cancel_on_kill
        self._under_way: Run | None = None

    @abstractmethod
    def set_going(self, run: Run) -> None:
        """Start or resume the run."""

    def execute(self, context: Context) -> dict[str, JSON]:
        """Set the run going and wait for it.

        Returns:
            ``run_id, workflow_id, status, result, error, suspensions, url``.

        Raises:
            AirflowFailException: another try would fail as well.
            MastraError: everything else that went wrong; a retry finds the same run.
        """
        with without_useless_retries(), self.hook:
            run = self._under_way = self.handle(context)
            self.set_going(run)
            record = self._wait(run) if self.wait_for_completion else run.read()
            self._under_way = None
            return record.outcome(self.url(run))

    def _wait(self, run: Run) -> WorkflowRun:
        progress = StepProgress(self.log.info)
        arguments: WaitArguments = {**self.wait_arguments, "on_look": progress.look}
        try:
            record = run.wait(**arguments)
        except RunError as error:
            self.log.info(summary(error.run))
            raise
        self.log.info(summary(record))
        return record.raise_for_status()

    def on_kill(self) -> None:
        """Cancel the run that is under way, or say that it goes on.

        Airflow calls it when the task is killed, and when its ``execution_timeout`` is over.
        """
        if self._under_way is None:
            return
        # Airflow calls it in a signal handler, on top of whatever the task was doing. If that was
        # to log a line or to use a connection, its lock is held until the handler returns; so
        # another thread acts, and the handler does not wait for it for ever.
        done = threading.Event()
        threading.Thread(target=self._let_go, args=(self._under_way, done), daemon=True).start()
        done.wait(KILL_SECONDS)

    def _let_go(self, run: Run, done: threading.Event) -> None:
        which = f"Run {run.run_id!r} of workflow {run.workflow_id!r}"
        where = f": {url}" if (url := self.url(run)) else "."
        level = logging.WARNING
        if not self.cancel_on_kill:
            text = f"{which} goes on, since cancel_on_kill is off{where}"
        else:
            try:
                cancellation = self._cancel(run)
            except Exception as error:  # whatever it is, it must not disturb the task's end
                text = f"{which} was not cancelled ({error}) and may go on{where}"
            else:
                text = f"The run is cancelled with the task. {cancellation}"
                level = logging.WARNING if cancellation.goes_on else logging.INFO
        done.set()
        self.log.log(level, "%s", text)

    def _cancel(self, run: Run) -> Cancellation:
        """Cancel a run within the time that a task has to end, by a client of its own."""
        part = KILL_SECONDS / 3
        with self.hook.new_client(
            retry=RetryPolicy(seconds=part), timeout=part, connect_timeout=part
        ) as client:
            return client.get_workflow(run.workflow_id).run(run.run_id).cancel(look_for=part)


class MastraRunWorkflowOperator(MastraWaitingTask):
    """Runs a workflow, once for one piece of scheduled work, and returns its result.

    The run's id is derived from the DAG run, the task, its map index and how often it was cleared.
    So a retry finds the run of the try before: it attaches to a run that is under way and takes
    the result of one that has succeeded, and it fails again with a run that has failed. Clearing
    the task starts a new run.

    Args:
        workflow_id: the workflow's registry key, such as ``orderReport``. (templated)
        input_data: the workflow's input. (templated)
        initial_state: the workflow's state at its start, on Mastra 1.x. (templated)
        request_context: values that steps read from their request context. (templated)
        tracing_options: passed to Mastra's tracing. (templated)
        resource_id: whom the run belongs to, on Mastra 1.x. (templated)
        run_id: the id to run under; None to derive one. A run of that id that has been started
            is attached to, whoever started it. (templated)
        **kwargs: ``wait_for_completion, on_suspend, timeout, poll_interval, max_poll_interval,
            outage_timeout, cancel_on_kill``: see `MastraWaitingTask`; ``mastra_conn_id,
            check_data``: see `MastraRunTask`; and everything that a `BaseOperator` takes.
    """

    template_fields: Sequence[str] = (
        "workflow_id",
        "input_data",
        "initial_state",
        "request_context",
        "tracing_options",
        "resource_id",
        "run_id",
        "mastra_conn_id",
    )
    template_fields_renderers = {  # noqa: RUF012 - as BaseOperator has it
        "input_data": "json",
        "initial_state": "json",
        "request_context": "json",
        "tracing_options": "json",
    }

    def __init__(
        self,
        *,
        workflow_id: str,
        input_data: JSON = None,
        initial_state: JSON = None,
        request_context: Mapping[str, JSON] | None = None,
        tracing_options: Mapping[str, JSON] | None = None,
        resource_id: str | None = None,
        run_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(workflow_id=workflow_id, run_id=run_id, **kwargs)
        self.input_data = input_data
        self.initial_state = initial_state
        self.request_context = request_context
        self.tracing_options = tracing_options
        self.resource_id = resource_id
        self._derives_run_id = run_id is None

    def choose_run_id(self, context: Context) -> str:
        """The id that was given, or the one that is this task instance's own."""
        return task_run_id(context) if self._derives_run_id else super().choose_run_id(context)

    def set_going(self, run: Run) -> None:
        """Start the run, unless it was started before."""
        receipt = run.ensure_started(
            input_data=self.input_data,
            initial_state=self.initial_state,
            request_context=self.request_context,
            tracing_options=self.tracing_options,
            resource_id=self.resource_id,
        )
        if receipt.found is None:
            self.log.info("The run was started.")
        else:
            self.log.info("The run was started before, so this attaches to it. %s", receipt.found)


class MastraResumeWorkflowOperator(MastraWaitingTask):
    """Resumes a suspended step of a run, waits for the run again, and returns its result.

    Args:
        workflow_id: the workflow's registry key. (templated)
        run_id: the suspended run. (templated)
        step: the step's path as a list, or its name, such as ``inner.approve``; None for the only
            one that waits. (templated)
        resume_data: the answer to what the step asked. (templated)
        for_each_index: which item of a ``foreach``, counted from 0; None for the only one that
            waits. (templated)
        **kwargs: as those of `MastraRunWorkflowOperator`.
    """

    template_fields: Sequence[str] = (
        "workflow_id",
        "run_id",
        "step",
        "resume_data",
        "for_each_index",
        "mastra_conn_id",
    )
    template_fields_renderers = {"resume_data": "json"}  # noqa: RUF012 - as BaseOperator has it

    def __init__(
        self,
        *,
        workflow_id: str,
        run_id: str,
        step: str | Sequence[str] | None = None,
        resume_data: JSON = None,
        for_each_index: int | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(workflow_id=workflow_id, run_id=run_id, **kwargs)
        self.step = step
        self.resume_data = resume_data
        self.for_each_index = for_each_index

    def set_going(self, run: Run) -> None:
        """Resume the step."""
        record = run.resume(
            step=self.step,
            resume_data=self.resume_data,
            for_each_index=_index(self.for_each_index),
        )
        self.log.info("The step was resumed. %s", record)


class MastraCancelWorkflowRunOperator(MastraRunTask):
    """Cancels a run, looks what became of it, and returns its record.

    A run that is over already is left as it is. The task succeeds also when the run goes on, as
    one does with a step that does not heed its abort signal; the log and the ``status`` say so.

    Args:
        workflow_id: the workflow's registry key. (templated)
        run_id: the run. (templated)
        mastra_conn_id: the connection to the server. (templated)
    """

    def execute(self, context: Context) -> dict[str, JSON]:
        """Cancel the run.

        Returns:
            ``run_id, workflow_id, status, result, error, suspensions, url``.
        """
        with without_useless_retries(), self.hook:
            run = self.handle(context)
            cancellation = run.cancel()
            say = self.log.warning if cancellation.goes_on else self.log.info
            say("%s", cancellation)
            return cancellation.run.outcome(self.url(run))


def _index(value: int | str | None) -> int | None:
    """A templated number as a number."""
    if value is None or isinstance(value, int):
        return value
    try:
        return int(value)
    except ValueError:
        raise ConfigurationError(
            f"for_each_index is {value!r}; it must be a number. Nothing was sent."
        ) from None
