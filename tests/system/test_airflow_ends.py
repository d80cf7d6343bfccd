"""Test what Airflow omits when a trigger ends its task, which is why workers end the operators."""

from __future__ import annotations

import time
import uuid
from typing import Any

from testkit.airflow_stack import AirflowStack

SETTLED_SECONDS = 15.0
"""From a DAG run's start to its task's end: Airflow fails a task that is woken as it defers."""
REFUSAL = "Task callback requested but is not a failure callback"


def ended(airflow: AirflowStack, dag_id: str) -> str:
    """Wait until a DAG run's task has ended with success; returns the DAG run's id."""
    airflow.wait_for_dag(dag_id)
    conf = {"ends_at": time.time() + SETTLED_SECONDS}
    run_id = airflow.trigger_dag(dag_id, conf=conf, run_id=uuid.uuid4().hex)
    assert airflow.wait_for_dag_run(dag_id, run_id) == "success"
    return run_id


def noted(airflow: AirflowStack, run_id: str) -> set[str]:
    """What was called at the task's end."""
    notes = (airflow.folder / "noted").glob(f"{run_id}-*")
    return {note.name.removeprefix(f"{run_id}-") for note in notes}


def asset_events(airflow: AirflowStack, dag_id: str, run_id: str) -> Any:
    path = f"/assets/events?source_dag_id={dag_id}&source_run_id={run_id}"
    return airflow.api.request("GET", path)["total_entries"]


def test_ending_on_the_worker_runs_all_hooks(airflow_stack: AirflowStack) -> None:
    dag_id = "ends_on_worker"
    run_id = ended(airflow_stack, dag_id)
    all_of_it = {"post_execute", "callback"}
    airflow_stack.wait_until("the callback", lambda: noted(airflow_stack, run_id) == all_of_it)
    assert asset_events(airflow_stack, dag_id, run_id) == 1
    assert isinstance(airflow_stack.api.xcom(dag_id, run_id, "wait"), dict)


def test_ending_in_the_trigger_omits_hooks_and_outlets(airflow_stack: AirflowStack) -> None:
    """The DAG processor is even asked to call `on_success_callback`, and refuses."""
    dag_id = "ends_in_triggerer"
    logs = airflow_stack.folder / "logs" / "dag_processor"
    run_id = ended(airflow_stack, dag_id)
    airflow_stack.wait_until(
        "the refusal", lambda: any(REFUSAL in log.read_text() for log in logs.rglob("*.log"))
    )
    assert noted(airflow_stack, run_id) == set()
    assert asset_events(airflow_stack, dag_id, run_id) == 0
    assert isinstance(airflow_stack.api.xcom(dag_id, run_id, "wait"), str)
