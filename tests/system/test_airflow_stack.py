"""Test the launcher of Airflow that the system tests use."""

from __future__ import annotations

import os
import signal

import pytest

from testkit.airflow_stack import AirflowStack
from testkit.json_api import ApiError
from testkit.processes import WaitTimeoutError, parent_pid

MAPPED = "stack_probe_mapped"
DEFERRABLE = "stack_probe_deferrable"
SLOW = "stack_probe_slow"


def test_a_mapped_task_runs_and_is_cleared(airflow_stack: AirflowStack) -> None:
    api = airflow_stack.api
    run_id = airflow_stack.trigger_dag(MAPPED, run_id="a-run+of:its~own")

    assert run_id == "a-run+of:its~own"
    assert airflow_stack.wait_for_dag_run(MAPPED, run_id) == "success"
    assert [task["map_index"] for task in api.task_instances(MAPPED, run_id)] == [0, 1]
    assert api.xcom(MAPPED, run_id, "double", map_index=1) == {"doubled": 4}
    assert "doubling 2" in api.task_log(MAPPED, run_id, "double", map_index=1)
    with pytest.raises(ApiError, match="404"):
        api.xcom(MAPPED, run_id, "double", key="missing", map_index=1)

    api.clear_tasks(MAPPED, run_id, [("double", 1)])
    task = airflow_stack.wait_for_task(MAPPED, run_id, "double", map_index=1, try_number=2)

    assert task["state"] == "success"
    tries = api.task_tries(MAPPED, run_id, "double", map_index=1)
    assert [(one["try_number"], one["state"]) for one in tries] == [(1, "success"), (2, "success")]
    untouched = api.task_instance(MAPPED, run_id, "double", map_index=0)
    assert untouched is not None
    assert untouched["try_number"] == 1

    assert airflow_stack.wait_for_dag_run(MAPPED, run_id) == "success"
    api.clear_dag_run(MAPPED, run_id)
    airflow_stack.wait_for_task(MAPPED, run_id, "double", map_index=0, try_number=2)


def test_a_deferred_task_survives_its_triggerer(airflow_stack: AirflowStack) -> None:
    run_id = airflow_stack.trigger_dag(DEFERRABLE, conf={"seconds": 1})
    airflow_stack.wait_for_task(DEFERRABLE, run_id, "wait", {"deferred"})
    airflow_stack.kill("triggerer")
    airflow_stack.start_component("triggerer")

    assert airflow_stack.wait_for_dag_run(DEFERRABLE, run_id) == "success"
    assert airflow_stack.api.xcom(DEFERRABLE, run_id, "wait") == "resumed"


def test_a_task_is_killed_and_retried(airflow_stack: AirflowStack) -> None:
    run_id = airflow_stack.trigger_dag(SLOW)
    pid = airflow_stack.task_pid(SLOW, run_id, "slow_at_first")

    assert parent_pid(parent_pid(pid)) == airflow_stack.pid("scheduler")
    assert os.getpgid(pid) == pid

    os.kill(pid, signal.SIGKILL)

    assert airflow_stack.wait_for_dag_run(SLOW, run_id) == "success"
    assert airflow_stack.api.xcom(SLOW, run_id, "slow_at_first") == 2
    tries = airflow_stack.api.task_tries(SLOW, run_id, "slow_at_first")
    assert [one["state"] for one in tries] == ["failed", "success"]


def test_a_running_task_is_marked(airflow_stack: AirflowStack) -> None:
    run_id = airflow_stack.trigger_dag(SLOW)
    airflow_stack.task_pid(SLOW, run_id, "slow_at_first")
    airflow_stack.api.set_task_state(SLOW, run_id, "slow_at_first", "failed")

    assert airflow_stack.wait_for_dag_run(SLOW, run_id) == "failed"

    airflow_stack.api.set_dag_run_state(SLOW, run_id, "success")

    assert airflow_stack.wait_for_dag_run(SLOW, run_id, {"success"}) == "success"


def test_timeout_error_names_the_condition_and_shows_the_logs(airflow_stack: AirflowStack) -> None:
    with pytest.raises(WaitTimeoutError, match=r"(?s)the DAG missing.*Last lines of scheduler.log"):
        airflow_stack.wait_for_dag("missing", timeout=0.5)
