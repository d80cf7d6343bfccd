"""Test that a run is cancelled in whichever way a complete Airflow ends the wait for it."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import Any, Literal

import pytest

from tests.system.airflow_work import CHARGED, Plan, PlanBoth, Work

pytest.importorskip("airflow", reason="Airflow is not installed")

WAITING_MODES = ("sync", "deferrable")
LONG: dict[str, Any] = {"workflow": "slowExport", "seconds": 120}
"""A run that outlasts its test, unless it is cancelled."""


@pytest.mark.parametrize("mode", WAITING_MODES)
@pytest.mark.parametrize("state", [pytest.param("failed", marks=pytest.mark.essential), "success"])
def test_a_marked_task_cancels_its_run(
    plan: Plan, mode: str, state: Literal["failed", "success"]
) -> None:
    work = plan(mode, f"task marked {state}", **LONG).begin()
    work.until_awaited()
    work.airflow.api.set_task_state(work.dag_id, work.run_id, "charge", state)
    work.check_cancelled()
    work.until_finished(state)


@pytest.mark.parametrize("mode", WAITING_MODES)
def test_a_failed_dag_run_cancels_the_run(plan: Plan, mode: str) -> None:
    work = plan(mode, "DAG run marked failed", **LONG).begin()
    work.until_awaited()
    work.airflow.api.set_dag_run_state(work.dag_id, work.run_id, "failed")
    work.check_cancelled()


@pytest.mark.essential
@pytest.mark.parametrize("mode", WAITING_MODES)
def test_a_cleared_task_cancels_its_run_and_starts_another(plan: Plan, mode: str) -> None:
    work = plan(mode, "task cleared", held=True).begin()
    old = work.until_awaited()
    work.airflow.api.clear_tasks(work.dag_id, work.run_id, [("charge", -1)])
    work.until("another run", lambda: len(work.runs()) == 2)
    work.release()
    work.until_finished()
    assert work.result() == CHARGED
    assert {run.run_id: run.status for run in work.runs()} == {
        old.run_id: "canceled",
        work.result("run_id"): "success",
    }
    assert work.server.executions(work.key) == 2
    work.record_outcome("1 before, 1 after", "succeeds with the new run; the old run is cancelled")


def test_a_task_that_is_cleared_and_killed_leaves_one_run(plan: Plan) -> None:
    """Nothing tells the process of the clear; the next try attaches to the run, or replaces it."""
    work = plan("sync", "task cleared, its process SIGKILLed at once", held=True).begin()
    old = work.until_awaited()
    pid = work.airflow.task_pid(work.dag_id, work.run_id, "charge")
    work.airflow.api.clear_tasks(work.dag_id, work.run_id, [("charge", -1)])
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    work.until_awaited_again()
    work.release()
    work.until_finished()
    assert work.result() == CHARGED
    ended = {run.run_id: str(run.status) for run in work.runs()}
    replaced = {old.run_id: "canceled", work.result("run_id"): "success"}
    assert ended in ({old.run_id: "success"}, replaced)
    assert work.server.executions(work.key) == len(ended)
    work.record_outcome(
        "1, or 1 before and 1 after", "succeeds; the old run is attached to or cancelled"
    )


TIMEOUTS = [
    *((limit, mode) for limit in ("timeout", "execution_timeout") for mode in WAITING_MODES),
    ("deferral_timeout", "deferrable"),
]


@pytest.mark.parametrize(("limit", "mode"), TIMEOUTS)
def test_a_timeout_cancels_the_run(plan_both: PlanBoth, limit: str, mode: str) -> None:
    fault = {"deferral_timeout": "Airflow's own timeout of a deferral"}.get(limit, limit)
    for work in begun(plan_both(mode, fault, variant=limit, **LONG)):
        work.until_finished("failed")
        work.check_cancelled()


@pytest.mark.parametrize("mode", WAITING_MODES)
def test_the_timeout_of_the_dag_run_cancels_the_run(plan_both: PlanBoth, mode: str) -> None:
    works = begun(plan_both(mode, "dagrun_timeout", variant="dagrun_timeout", **LONG))
    for work in works:
        work.until_awaited()
    for work in works:
        work.until_finished("failed")
        work.check_cancelled()


def begun(works: list[Work]) -> list[Work]:
    """All of them at once."""
    return [work.begin() for work in works]
