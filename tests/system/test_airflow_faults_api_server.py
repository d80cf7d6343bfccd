"""Test outages of a complete Airflow's API server that are longer than its tasks tolerate."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from testkit.airflow_stack import API_SERVER, AirflowStack
from tests.system.airflow_work import MODES, PlanBoth, Work

pytest.importorskip("airflow", reason="Airflow is not installed")

AWAY_SECONDS = 100.0
SECONDS = 300.0


def test_retry_delay_outlasts_an_outage(plan_both: PlanBoth) -> None:
    works = waiting(
        plan_both, "API server of Airflow away for 100 s, `retry_delay` of 60 s", "patient"
    )
    outage(works)
    assert ends(works) == {"success"}
    for work in works:
        work.check_approved()


def test_clear_after_an_outage_reuses_the_results(plan_both: PlanBoth) -> None:
    """Without a `retry_delay`, the tries are used up within the outage."""
    works = waiting(
        plan_both,
        "API server of Airflow away for 100 s, no `retry_delay`; then cleared with "
        "`mastra_on_clear` = `reuse_run`",
        "approval",
    )
    outage(works)
    assert "failed" in ends(works)
    airflow = works[0].airflow
    with variable(airflow, "mastra_on_clear", "reuse_run"):
        for work in works:
            airflow.api.clear_dag_run(work.dag_id, work.run_id)
        assert ends(works) == {"success"}
    for work in works:
        work.check_approved()


def waiting(plan_both: PlanBoth, fault: str, variant: str) -> list[Work]:
    """A task of each mode on each generation, all of which wait for a suspended run."""
    works = [work for mode in MODES for work in plan_both(mode, fault, variant=variant)]
    for work in works:
        work.begin()
    for work in works:
        work.until_awaited("suspended")
    return works


def outage(works: list[Work]) -> None:
    """Take the API server away for 100 s, in which every run succeeds."""
    runs = [work.until_active("suspended") for work in works]
    airflow = works[0].airflow
    airflow.kill(API_SERVER, with_children=True)
    until = time.monotonic() + AWAY_SECONDS
    for work, run in zip(works, runs, strict=True):
        work.approve(run)
    for work in works:
        work.until("the end of the run", partial(is_finished, work))
    time.sleep(max(0.0, until - time.monotonic()))
    airflow.start_component(API_SERVER)


def is_finished(work: Work) -> bool:
    return work.is_finished


def ends(works: list[Work]) -> set[str]:
    """Wait until every DAG run is over, and give their states."""
    return {
        work.airflow.wait_for_dag_run(work.dag_id, work.run_id, timeout=SECONDS) for work in works
    }


@contextmanager
def variable(airflow: AirflowStack, key: str, value: str) -> Iterator[None]:
    """An Airflow Variable for as long as it is needed."""
    airflow.api.request("POST", "/variables", {"key": key, "value": value})
    try:
        yield
    finally:
        airflow.api.request("DELETE", f"/variables/{key}")
