"""Classification of an attempt as first try, retry or clear.

Airflow provides the number of the try, but not its reason. The current DAG file is not evidence
either, because ``retries`` may have been edited between two tries.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Self

Kind = Literal["first", "retry", "cleared"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """The state of a task instance in Airflow's database when an attempt begins.

    Attributes:
        try_number: increases by one whenever the task instance is scheduled again, for any reason.
        max_tries: set when the task instance is created, and again when it is cleared; editing
            ``retries`` does not change it.
        clear_number: how often any tasks of the DAG run were cleared.
        ti_id: the task instance's id, which changes with each retry and clear.
    """

    try_number: int
    max_tries: int
    clear_number: int
    ti_id: str

    @classmethod
    def of(cls, context: Any) -> Self:
        """Create the value from a task's context."""
        ti, dag_run = context["ti"], context.get("dag_run")
        clears = getattr(dag_run, "clear_number", None) or 0
        return cls(int(ti.try_number), int(ti.max_tries), int(clears), str(ti.id))


def classify(before: Attempt | None, now: Attempt, *, has_ended: bool) -> Kind:
    """Distinguish a retry from a clear.

    Ambiguous cases count as a retry: attaching to a run is less harmful than a duplicate execution.

    Args:
        before: the latest recorded attempt; None if there is none.
        now: the attempt that begins.
        has_ended: whether ``before`` recorded a final outcome: a result, or an error that Airflow
            does not retry.

    Returns:
        ``"retry"`` also for a second process of the same try.
    """
    if before is None:
        return "first"
    if now.max_tries != before.max_tries:
        return "cleared"
    if now.try_number <= before.try_number:
        # Another id means another row: the task instance was deleted and created again.
        return "retry" if now.ti_id == before.ti_id else "cleared"
    if now.clear_number == before.clear_number:
        # Airflow may schedule a task more often than it has retries, for example after a scheduler
        # crash, so the try number proves nothing.
        return "retry"
    # A task of the DAG run was cleared, possibly this one. `max_tries` may be unchanged by
    # coincidence if `retries` was edited too, or if the task was running at that time.
    was_last = now.try_number > before.max_tries + 1
    return "cleared" if has_ended or was_last else "retry"
