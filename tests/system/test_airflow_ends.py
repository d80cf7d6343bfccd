"""What Airflow leaves out when a trigger ends its task: why the operators are ended by a worker."""

from __future__ import annotations

import time
import uuid

import pytest

from scripts.airflow_stack import AirflowStack

SETTLED_SECONDS = 15.0
"""From a DAG run's start to its task's end: Airflow fails a task that is woken as it defers."""


@pytest.mark.parametrize(
    ("dag_id", "is_whole"), [("ends_on_worker", True), ("ends_in_triggerer", False)]
)
def test_what_is_done_at_the_end_of_a_task(
    airflow_stack: AirflowStack, dag_id: str, is_whole: bool
) -> None:
    airflow_stack.wait_for_dag(dag_id)
    conf = {"ends_at": time.time() + SETTLED_SECONDS}
    run_id = airflow_stack.trigger_dag(dag_id, conf=conf, run_id=uuid.uuid4().hex)
    assert airflow_stack.wait_for_dag_run(dag_id, run_id) == "success"

    noted = airflow_stack.folder / "noted"
    callback = noted / f"{run_id}-callback"
    airflow_stack.wait_until("the callback", callback.exists)
    assert (noted / f"{run_id}-post_execute").exists() is is_whole
    events = airflow_stack.api.request(
        "GET", f"/assets/events?source_dag_id={dag_id}&source_run_id={run_id}"
    )
    assert events["total_entries"] == int(is_whole)
    result = airflow_stack.api.xcom(dag_id, run_id, "wait")
    assert isinstance(result, dict if is_whole else str), result
