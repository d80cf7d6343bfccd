"""Whether an attempt of a task instance continues the work of the one before, or begins anew.

Airflow says which try it is, but not why. What a DAG file says today must not count: an author may
have edited ``retries`` between two tries.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Self

Kind = Literal["first", "retry", "cleared"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """What Airflow's database has about a task instance when an attempt begins.

    Attributes:
        try_number: grows by one whenever the task instance is scheduled again, for any reason.
        max_tries: is set when the task instance is created, and again when it is cleared; editing
            ``retries`` does not change it.
        clear_number: how often tasks of the DAG run were cleared, whichever they were.
        ti_id: the task instance's id, a new one after each retry and clear.
    """

    try_number: int
    max_tries: int
    clear_number: int
    ti_id: str

    @classmethod
    def of(cls, context: Any) -> Self:
        """The attempt that a task's context belongs to."""
        ti, dag_run = context["ti"], context.get("dag_run")
        clears = getattr(dag_run, "clear_number", None) or 0
        return cls(int(ti.try_number), int(ti.max_tries), int(clears), str(ti.id))


def classify(before: Attempt | None, now: Attempt, *, has_ended: bool) -> Kind:
    """Tell a retry from a clear.

    Where the facts allow both, it is a retry: attaching to a run is less harm than executing twice.

    Args:
        before: the latest attempt that has noted itself; None if there is none.
        now: the attempt that begins.
        has_ended: whether ``before`` noted that it ended for good: with a result, or with an error
            that Airflow does not retry.

    Returns:
        ``"retry"`` also for a second process of the same try.
    """
    if before is None:
        return "first"
    if now.max_tries != before.max_tries:
        return "cleared"
    if now.try_number <= before.try_number:
        # With another id it is another row: somebody has deleted the task instance.
        return "retry" if now.ti_id == before.ti_id else "cleared"
    if now.clear_number == before.clear_number:
        # Airflow may schedule a task more often than it has retries, such as after the scheduler's
        # death, so the number of tries proves nothing.
        return "retry"
    # A task of the DAG run was cleared, perhaps this one: `max_tries` may happen to be what it was
    # when `retries` was edited as well, or when the task was running at that time.
    was_last = now.try_number > before.max_tries + 1
    return "cleared" if has_ended or was_last else "retry"
