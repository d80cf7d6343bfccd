"""The operator that asks a person what a run of another task asks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from airflow.providers.common.compat.sdk import Context

from airflow_provider_mastra.hitl._downstream_gates import source_task_ids
from airflow_provider_mastra.operators._hitl import MastraHITLBaseOperator
from airflow_provider_mastra.operators.workflow import as_index
from mastra_workflows import Run
from mastra_workflows.errors import ConfigurationError
from mastra_workflows.procedures.resuming import Answer
from mastra_workflows.questions import Question


class MastraHITLOperator(MastraHITLBaseOperator):
    """A gate: asks a person what a run asks, resumes it, waits for it again, returns its result.

    The run may be another task's, another DAG's or nobody's in Airflow. One that is over already is
    passed through: its result is returned. One that does not ask what the gate is for is passed
    through as well, without a result.

    A gate without ``step`` asks the first question that the run has; what the run asks after that
    is left to the next gate for this run, and without one the task fails. A gate with ``step`` asks
    that step's question and no other, and returns a run that waits at another step as it is.

    Args:
        workflow_id: the workflow's registry key, such as ``refundApproval``. (templated)
        run_id: the run. (templated)
        step: the step's path as a list, or its name, such as ``inner.approve``; None for whichever
            asks. (templated)
        for_each_index: which item of a ``foreach``, counted from 0; None for whichever asks.
            (templated)
        suspended_at: since when the step asks, as its entry in ``suspensions`` says; None for
            whenever. (templated)
        question_key: the question, by its `Question.key`, in place of the three before; None for
            whichever is asked. It is not templated: unlike a step's name it can be mapped with
            ``expand_kwargs``, which Airflow renders.
        **kwargs: ``answers``, ``response_timeout`` and more: see `MastraHITLBaseOperator`;
            ``deferrable``, ``timeout`` and more: see `MastraWaitingOperator`; ``mastra_conn_id``;
            and everything that a `BaseOperator` takes.
    """

    is_gate: ClassVar[bool] = True
    has_started_run: ClassVar[bool] = False
    template_fields: Sequence[str] = (
        "workflow_id",
        "run_id",
        "step",
        "for_each_index",
        "suspended_at",
        "answers",
        "default_answer",
        "mastra_conn_id",
    )

    def __init__(
        self,
        *,
        workflow_id: str,
        run_id: str,
        step: str | Sequence[str] | None = None,
        for_each_index: int | str | None = None,
        suspended_at: str | None = None,
        question_key: str | None = None,
        **kwargs: Any,
    ) -> None:
        if "on_suspend" in kwargs:
            raise ConfigurationError("A gate always asks: it takes no on_suspend.")
        super().__init__(workflow_id=workflow_id, run_id=run_id, on_suspend="ask", **kwargs)
        self.gated_task_ids = source_task_ids(run_id)
        self.step = step
        self.for_each_index = for_each_index
        self.suspended_at = suspended_at
        self.question_key = question_key

    @property
    def place(self) -> str:
        """Where the run asks, in one word: ``inner.approve``, ``review[2]``, or ``review-2``."""
        if self.question_key is not None:
            return self.question_key.rpartition("-")[0]
        step = self.step or ""
        item = "" if self.for_each_index is None else f"[{self.for_each_index}]"
        return (step if isinstance(step, str) else ".".join(step)) + item

    def start_or_resume(self, run: Run, context: Context) -> Run:
        """Nothing is to be done: the run is under way, asks or is over."""
        return run

    def should_answer(self, question: Question) -> bool:
        """Whether the question is the one that the gate is for."""
        if self.question_key is not None:
            return question.key == self.question_key
        wanted = Answer(
            step=self.step,
            for_each_index=as_index(self.for_each_index),
            suspended_at=self.suspended_at,
        )
        return wanted.fits(question.suspension)
