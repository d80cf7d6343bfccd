"""The state of a task instance in Airflow."""

from __future__ import annotations

from typing import Any

PROCESS_IS_UNWANTED = frozenset(
    {"failed", "success", "skipped", "upstream_failed", "removed", "restarting"}
)
"""States of a task that was ended by a person or cleared (``restarting``) while its process was
running. In every other state, the task or a retry attaches to the run again. This includes no state
at all: a scheduler that adopts the tasks of a dead one resets their state and begins the next try
while the old process may still be running."""

TRIGGER_IS_UNWANTED = PROCESS_IS_UNWANTED | {None}
"""As `PROCESS_IS_UNWANTED`, for the trigger of a deferred task, which has no state only after a
clear."""


def task_state(ti: Any) -> str | None:
    """Return a task instance's state (``GET /execution/task-instances/states``).

    When a person marks or clears a task, its state changes before its process or trigger is
    stopped. When a worker or triggerer stops for another reason, the state stays unchanged.

    Args:
        ti: a task instance, as in a task's context or a trigger.

    Raises:
        Exception: any error of Airflow, such as an outage.
    """
    # Not needed to import a DAG file.
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    map_index = ti.map_index if ti.map_index is not None and ti.map_index >= 0 else None
    states = RuntimeTaskInstance.get_task_states(
        dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=map_index
    )
    of_run: dict[str, str | None] = states.get(ti.run_id, {})
    return of_run.get(f"{ti.task_id}_{map_index}", of_run.get(ti.task_id))
