"""The state that lets retries of a task resume a step only once.

In a loop, the same step is suspended repeatedly, and the run's record only contains the latest
resume data (before 1.0, none while the step is suspended). The record therefore does not show
whether an earlier try has resumed the step, and a retry would resume the next round.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_mastra.utils._stored_values import StoredValue

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_mastra.utils._identity import Identity

KEY = "mastra_resumed"
"""The key in the task state (Airflow 3.3 and later)."""

DAMAGED = (
    "it is unknown whether a try of this task has resumed the step. Nothing was sent. If none has, "
    "delete the key from the task's state."
)


class _Resumed(NamedTuple):
    """What earlier tries have stored."""

    suspended_at: str | None = None
    is_resumed: bool = False


class ResumeState:
    """Which suspension a task instance resumes, and whether one of its tries has resumed it.

    Before Airflow 3.3 nothing is stored. A clear starts with an empty state.

    Args:
        context: the task's context.
        identity: the attempt's run.
    """

    def __init__(self, context: Context, identity: Identity) -> None:
        self._store: Any = context.get("task_state_store")
        self._of = {"run_id": identity.run_id, "generation": identity.generation}

    @property
    def is_kept(self) -> bool:
        """Whether the state is available to later tries."""
        return self._store is not None

    @property
    def is_resumed(self) -> bool:
        """Whether an earlier try has confirmed that the step was resumed.

        Raises:
            ConfigurationError: the task state is damaged.
        """
        return self._kept.is_resumed

    @property
    def suspended_at(self) -> str | None:
        """When the suspension began that an earlier try was about to resume."""
        return self._kept.suspended_at

    def note(self, suspended_at: str | None, *, is_resumed: bool) -> None:
        """Store the suspension before the request, and later that it was resumed."""
        if self._store is None:
            return
        from airflow.sdk.execution_time.context import NEVER_EXPIRE  # Airflow 3.3 and later

        kept = {**self._of, "suspended_at": suspended_at, "is_resumed": is_resumed}
        self._store.set(KEY, kept, retention=NEVER_EXPIRE)

    @property
    def _kept(self) -> _Resumed:
        kept = None if self._store is None else self._store.get(KEY)
        if kept is None:
            return _Resumed()
        stored = StoredValue(KEY, kept, DAMAGED)
        of = {"run_id": stored.text("run_id"), "generation": stored.integer("generation")}
        if of != self._of:
            return _Resumed()
        return _Resumed(stored.text_or_none("suspended_at"), stored.flag("is_resumed"))
