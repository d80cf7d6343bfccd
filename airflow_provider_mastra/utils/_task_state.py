"""How a task instance stands, as Airflow itself has it."""

from __future__ import annotations

from typing import Any

PROCESS_IS_UNWANTED = frozenset(
    {"failed", "success", "skipped", "upstream_failed", "removed", "restarting"}
)
"""States of a task whose process ends since somebody has ended the task, or has cleared it
(``restarting``). In every other state the task, or a retry of it, takes up the run again. So too in
none at all: a scheduler that finds tasks of a dead one takes their state from them, and begins the
next try while the old process may go on."""

TRIGGER_IS_UNWANTED = PROCESS_IS_UNWANTED | {None}
"""As `PROCESS_IS_UNWANTED`, for the trigger of a deferred task: that has no state only when it was
cleared."""


def task_state(ti: Any) -> str | None:
    """Ask Airflow for a task instance's state (``GET /execution/task-instances/states``).

    A person who marks or clears a task changes its state before its process or its trigger hears
    of it; a worker or triggerer that ends for another reason leaves the state as it is.

    Args:
        ti: a task instance, as a task's context and a trigger have it.

    Raises:
        Exception: whatever Airflow raises when it is out of reach.
    """
    # Not needed to import a DAG file.
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    map_index = ti.map_index if ti.map_index is not None and ti.map_index >= 0 else None
    states = RuntimeTaskInstance.get_task_states(
        dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=map_index
    )
    of_run: dict[str, str | None] = states.get(ti.run_id, {})
    return of_run.get(f"{ti.task_id}_{map_index}", of_run.get(ti.task_id))
