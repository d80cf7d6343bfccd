"""Operators that run, resume and cancel workflows."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from airflow.providers.common.compat.sdk import Context

from airflow_provider_mastra.asking_task import MastraAskingTask
from airflow_provider_mastra.failures import without_useless_retries
from airflow_provider_mastra.identity import clear_generation, task_run_id
from airflow_provider_mastra.run_task import MastraRunTask
from mastra_workflows import Cancellation, Run, Workflow
from mastra_workflows.errors import ConfigurationError, UnknownRunError
from mastra_workflows.models import JSON
from mastra_workflows.policy import require_choice
from mastra_workflows.procedures import OnFailedRun


class MastraRunWorkflowOperator(MastraAskingTask):
    """Runs a workflow, once for one piece of scheduled work, and returns its result.

    The run's id is derived from the DAG run, the task, its map index and how often it was cleared.
    So a retry finds the run of the try before: it attaches to a run that is under way, takes the
    result of one that has succeeded, and does as ``on_failed_run`` says about one that has not.
    Clearing the task starts a new run, after cancelling the one before if it still goes on.

    Args:
        workflow_id: the workflow's registry key, such as ``orderReport``. (templated)
        input_data: the workflow's input. (templated)
        initial_state: the workflow's state at its start, on Mastra 1.x. (templated)
        request_context: values that steps read from their request context. (templated)
        tracing_options: passed to Mastra's tracing. (templated)
        resource_id: whom the run belongs to, on Mastra 1.x. (templated)
        run_id: the id to run under; None to derive one. A run of that id that has been started
            is attached to, whoever started it. (templated)
        on_failed_run: what a try does about a run that an earlier try has left failed or cancelled:
            ``"new_run"`` starts the next one in line (``<run_id>-2``), ``"from_failed_step"`` sends
            it back to the step that failed and keeps what was done before, ``"fail"`` fails.
        **kwargs: ``on_suspend``, ``answers`` and more: see `MastraAskingTask`; ``deferrable``,
            ``timeout``, ``cancel_on_kill`` and more: see `MastraWaitingTask`; ``mastra_conn_id,
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
        "answers",
        "default_answer",
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
        on_failed_run: OnFailedRun = "new_run",
        **kwargs: Any,
    ) -> None:
        super().__init__(workflow_id=workflow_id, run_id=run_id, **kwargs)
        require_choice("on_failed_run", on_failed_run, get_args(OnFailedRun))
        self.on_failed_run = on_failed_run
        self.input_data = input_data
        self.initial_state = initial_state
        self.request_context = request_context
        self.tracing_options = tracing_options
        self.resource_id = resource_id
        self._derives_run_id = run_id is None

    def choose_run_id(self, context: Context) -> str:
        """The id that was given, or the one that is this task instance's own."""
        return task_run_id(context) if self._derives_run_id else super().choose_run_id(context)

    def set_going(self, run: Run, context: Context) -> Run:
        """Start the run, or attach to what an earlier try has started."""
        if self._derives_run_id and self.cancel_on_kill:
            self._cancel_what_was_cleared(context)
        workflow = self.hook.get_conn().get_workflow(run.workflow_id)
        attachment = workflow.attach_or_start(
            run.run_id,
            on_failed_run=self.on_failed_run,
            input_data=self.input_data,
            initial_state=self.initial_state,
            request_context=self.request_context,
            tracing_options=self.tracing_options,
            resource_id=self.resource_id,
        )
        if attachment.found is None:
            self.log.info("The run was started.")
        return workflow.run(attachment.run_id)

    def _cancel_what_was_cleared(self, context: Context) -> None:
        """Cancel the runs of this task instance from before it was cleared.

        A task that is cleared while it is deferred is gone before anybody can act on its run.
        """
        workflow = self.hook.get_conn().get_workflow(self.workflow_id)
        for generation in range(clear_generation(context["ti"])):
            with contextlib.suppress(UnknownRunError):
                cancellation = workflow.cancel_work(task_run_id(context, generation=generation))
                if cancellation.requested:
                    self.log.warning(
                        "The task was cleared, but its run was not over. %s", cancellation
                    )

    def stop(self, workflow: Workflow, run_id: str, *, look_for: float) -> Cancellation:
        """Cancel the task's run, or the one in line that took its place."""
        return workflow.cancel_work(run_id, look_for=look_for, allow_retry=True)


class MastraResumeWorkflowOperator(MastraAskingTask):
    """Resumes a suspended step of a run, waits for the run again, and returns its result.

    A retry, or another task, that has the same answer for the same step resumes nothing a second
    time; it waits for the run.

    Args:
        workflow_id: the workflow's registry key. (templated)
        run_id: the suspended run. (templated)
        step: the step's path as a list, or its name, such as ``inner.approve``; None for the only
            one that waits. (templated)
        resume_data: the answer to what the step asked. (templated)
        for_each_index: which item of a ``foreach``, counted from 0; None for the only one that
            waits. (templated)
        suspended_at: since when the step waits, as its entry in ``suspensions`` says; None for
            whenever. In a loop it tells one round's question from the next one's. (templated)
        **kwargs: as those of `MastraRunWorkflowOperator`.
    """

    template_fields: Sequence[str] = (
        "workflow_id",
        "run_id",
        "step",
        "resume_data",
        "for_each_index",
        "suspended_at",
        "answers",
        "default_answer",
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
        suspended_at: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(workflow_id=workflow_id, run_id=run_id, **kwargs)
        self.step = step
        self.resume_data = resume_data
        self.for_each_index = for_each_index
        self.suspended_at = suspended_at

    def set_going(self, run: Run, context: Context) -> Run:
        """Resume the step, unless an earlier try has done so."""
        record = run.attach_or_resume(
            is_retry=context["ti"].try_number > 1,
            step=self.step,
            resume_data=self.resume_data,
            for_each_index=as_index(self.for_each_index),
            suspended_at=self.suspended_at,
        )
        self.log.info("The step was resumed. %s", record)
        return run


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
            return self.whole_outcome(cancellation.run, run)


def as_index(value: int | str | None) -> int | None:
    """A templated number as a number."""
    if value is None or isinstance(value, int):
        return value
    try:
        return int(value)
    except ValueError:
        raise ConfigurationError(
            f"for_each_index is {value!r}; it must be a number. Nothing was sent."
        ) from None
