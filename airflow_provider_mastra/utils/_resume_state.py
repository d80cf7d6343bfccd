"""What a task that resumes a step has to know in its later tries.

In a loop the same step asks again, and the run's record keeps the latest answer alone (that of a
server before 1.0 none while the step waits). So it does not show whether an earlier try has
answered, and a retry would answer the next question.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_mastra.utils._identity import Identity

KEY = "mastra_resumed"
"""Where in a task's state (Airflow 3.3 and later) it is."""


class ResumeState:
    """Which suspension the tries of a task instance resume, and whether one of them has done so.

    Before Airflow 3.3 nothing is kept. A clear begins anew.

    Args:
        context: the task's context.
        identity: the run, as the attempt knows it.
    """

    def __init__(self, context: Context, identity: Identity) -> None:
        self._store: Any = context.get("task_state_store")
        self._of = {"run_id": identity.run_id, "generation": identity.generation}

    @property
    def is_kept(self) -> bool:
        """Whether a later try will know what this one notes."""
        return self._store is not None

    @property
    def is_resumed(self) -> bool:
        """Whether an earlier try has seen that the step was resumed."""
        return bool(self._kept.get("is_resumed"))

    @property
    def suspended_at(self) -> str | None:
        """Since when the step waited that an earlier try was about to resume."""
        return self._kept.get("suspended_at")

    def note(self, suspended_at: str | None, *, is_resumed: bool) -> None:
        """Keep which suspension is meant, before anything is sent, and then that it is gone."""
        if self._store is None:
            return
        from airflow.sdk.execution_time.context import NEVER_EXPIRE  # Airflow 3.3 and later

        kept = {**self._of, "suspended_at": suspended_at, "is_resumed": is_resumed}
        self._store.set(KEY, kept, retention=NEVER_EXPIRE)

    @property
    def _kept(self) -> dict[str, Any]:
        kept = {} if self._store is None else self._store.get(KEY) or {}
        return kept if self._of.items() <= kept.items() else {}
