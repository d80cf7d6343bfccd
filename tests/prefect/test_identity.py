"""Test that work is executed once in retries, subflows, and mapped and concurrent calls."""

from __future__ import annotations

import asyncio
import datetime
from typing import Any

import pytest
from prefect import flow, task, unmapped
from prefect.task_runners import ProcessPoolTaskRunner

from mastra_workflows.errors import ConfigurationError, InvalidDataError
from prefect_mastra import (
    MastraServer,
    MastraWorkflow,
    arun_workflow,
    run_workflow,
    start_workflow,
    wait_for_workflow_run,
)
from testkit.sample_server import SampleServer

Outcome = dict[str, Any]


class BrokenError(Exception):
    """What goes wrong in the first try of something."""


class FirstTry:
    """Fails once, so that what called it is tried again."""

    def __init__(self) -> None:
        self.calls = 0

    def fails(self) -> None:
        self.calls += 1
        if self.calls == 1:
            raise BrokenError


@pytest.fixture
def first_try() -> FirstTry:
    return FirstTry()


def charge(key: str) -> dict[str, Any]:
    """Input of a workflow that counts its executions under the key."""
    return {"key": key, "amount": 1}


def test_task_retry_attaches_to_its_run(
    mastra: MastraServer, server: SampleServer, key: str, first_try: FirstTry
) -> None:
    run_ids = []

    @task(retries=1)
    def charges() -> Outcome:
        run = MastraWorkflow(server=mastra, workflow_id="countedCharge").trigger(charge(key))
        run_ids.append(run.run_id)
        outcome = run.wait_for_completion()
        first_try.fails()
        return outcome

    @flow
    def retried() -> Outcome:
        return charges()

    assert retried()["status"] == "success"
    assert first_try.calls == 2
    assert len(set(run_ids)) == 1
    assert server.executions(key) == 1


def test_flow_retry_attaches_to_its_runs(
    mastra: MastraServer, server: SampleServer, key: str, first_try: FirstTry
) -> None:
    """Inline, submitted and mapped calls, with equal and with different input."""
    seen: list[list[str]] = []

    @flow(retries=1)
    def retried() -> None:
        runs = [start_workflow(mastra, "countedCharge", charge(key)) for _ in range(2)]
        runs.append(start_workflow.submit(mastra, "countedCharge", charge(key)).result())
        runs += start_workflow.map(
            unmapped(mastra), "countedCharge", [charge(key), charge(key), charge(f"{key}-b")]
        ).result()
        wait_for_workflow_run.map(unmapped(mastra), runs).result()
        seen.append([run["run_id"] for run in runs])
        first_try.fails()

    retried()
    first, second = seen
    assert len(set(first)) == 6
    assert first[:3] == second[:3]
    assert set(first[3:5]) == set(second[3:5])  # which of two equal calls comes first, is open
    assert first[5] == second[5]
    assert server.executions(key) == 5
    assert server.executions(f"{key}-b") == 1


def test_a_flow_retry_gets_the_whole_outcome_of_a_stored_subflow(
    mastra: MastraServer, server: SampleServer, key: str, first_try: FirstTry
) -> None:
    """Prefect mistakes a stored JSON with a key "result" for its own record of a result."""

    @flow(retries=1, persist_result=True, result_serializer="json")
    def retried() -> list[Outcome]:
        stores = run_workflow.with_options(persist_result=True)
        outcomes = [stores(mastra, "countedCharge", charge(key))]
        outcomes.append(run_workflow(mastra, "countedCharge", charge(f"{key}-b")))
        first_try.fails()
        return outcomes

    assert [outcome["result"] for outcome in retried()] == [{"charged": 1}] * 2
    assert first_try.calls == 2
    assert (server.executions(key), server.executions(f"{key}-b")) == (1, 1)


def test_flow_retry_attaches_to_its_runs_in_asyncio(
    mastra: MastraServer, server: SampleServer, key: str, first_try: FirstTry
) -> None:
    @flow(retries=1, persist_result=True, result_serializer="json")
    async def retried() -> Outcome:
        stores = arun_workflow.with_options(persist_result=True)
        outcome = await stores(mastra, "countedCharge", charge(key))
        first_try.fails()
        return outcome

    assert asyncio.run(retried())["result"] == {"charged": 1}
    assert first_try.calls == 2
    assert server.executions(key) == 1


def test_another_flow_run_starts_its_own_run(
    mastra: MastraServer, server: SampleServer, key: str
) -> None:
    first = run_workflow(mastra, "countedCharge", charge(key))
    second = run_workflow(mastra, "countedCharge", charge(key))
    assert first["run_id"] != second["run_id"]
    assert server.executions(key) == 2


def test_subflow_attaches_to_its_runs_in_a_retry_of_its_parent(
    mastra: MastraServer, server: SampleServer, key: str, first_try: FirstTry
) -> None:
    """Prefect gives the subflow's run another id then."""
    seen: list[list[str]] = []

    @flow
    def inner() -> str:
        return str(run_workflow(mastra, "countedCharge", charge(key))["run_id"])

    @task
    def wraps() -> str:
        return inner()

    @flow(retries=1)
    def outer() -> None:
        seen.append([inner(), wraps(), wraps.submit().result(), inner()])
        first_try.fails()

    outer()
    assert seen[0] == seen[1]
    assert len(set(seen[0])) == 4
    assert server.executions(key) == 4


def test_subflow_attaches_to_its_runs_in_its_own_retry(
    mastra: MastraServer, server: SampleServer, key: str, first_try: FirstTry
) -> None:
    seen: list[list[str]] = []

    @flow(retries=1)
    def inner() -> None:
        runs = [start_workflow(mastra, "countedCharge", charge(key)) for _ in range(2)]
        seen.append([wait_for_workflow_run(mastra, run)["run_id"] for run in runs])
        first_try.fails()

    @flow
    def outer() -> str:
        inner()
        return str(run_workflow(mastra, "countedCharge", charge(key))["run_id"])

    third = outer()
    assert seen[0] == seen[1]
    assert len({*seen[0], third}) == 3
    assert server.executions(key) == 3


def test_task_around_a_subflow_attaches_to_its_runs(
    mastra: MastraServer, server: SampleServer, key: str, first_try: FirstTry
) -> None:
    @task(retries=1)
    def wraps() -> None:
        run_workflow(mastra, "countedCharge", charge(key))
        first_try.fails()

    @flow
    def outer() -> None:
        wraps()

    outer()
    assert first_try.calls == 2
    assert server.executions(key) == 1


def test_tasks_without_a_flow(
    mastra: MastraServer, server: SampleServer, key: str, first_try: FirstTry
) -> None:
    seen: list[list[str]] = []

    @task(retries=1)
    def charges() -> None:
        workflow = MastraWorkflow(server=mastra, workflow_id="countedCharge")
        runs = [workflow.trigger(charge(key)) for _ in range(2)]
        seen.append([run.run_id for run in runs])
        for run in runs:
            run.wait_for_completion()
        first_try.fails()

    charges()
    assert seen[0] == seen[1]
    assert server.executions(key) == 2


def test_key_identifies_work_with_changing_input(
    mastra: MastraServer, server: SampleServer, key: str, first_try: FirstTry
) -> None:
    def now() -> dict[str, Any]:
        return {"key": key, "amount": datetime.datetime.now(datetime.UTC).timestamp()}

    @flow(retries=1)
    def retried() -> None:
        run_workflow(mastra, "countedCharge", now(), key="first")
        run_workflow(mastra, "countedCharge", now(), key="second")
        first_try.fails()

    retried()
    assert server.executions(key) == 2


def test_key_cannot_be_used_for_two_inputs(mastra_1: MastraServer) -> None:
    @flow
    def confused() -> None:
        oslo = start_workflow(mastra_1, "orderReport", {"city": "Oslo"}, key="report")
        again = start_workflow(mastra_1, "orderReport", {"city": "Oslo"}, key="report")
        assert oslo["run_id"] == again["run_id"]
        start_workflow(mastra_1, "orderReport", {"city": "Bergen"}, key="report")

    with pytest.raises(ConfigurationError, match="'report' is already used for another"):
        confused()


def test_explicit_run_id(
    mastra: MastraServer, server: SampleServer, key: str, first_try: FirstTry
) -> None:
    @flow(retries=1)
    def retried() -> None:
        outcome = run_workflow(mastra, "countedCharge", charge(key), run_id=key)
        assert outcome["run_id"] == key
        first_try.fails()

    retried()
    retried()
    assert server.executions(key) == 1


def test_a_task_in_another_process_needs_a_key(
    mastra_1: MastraServer, servers: Any, key: str, first_try: FirstTry
) -> None:
    @flow(retries=1, task_runner=ProcessPoolTaskRunner(max_workers=1))  # type: ignore[arg-type]
    def retried() -> None:
        with pytest.raises(ConfigurationError, match="key"):
            start_workflow.submit(mastra_1, "countedCharge", charge(key)).result()
        started = start_workflow.submit(mastra_1, "countedCharge", charge(key), key="charge")
        wait_for_workflow_run(mastra_1, started.result())
        first_try.fails()

    retried()
    assert first_try.calls == 2
    assert servers("1").executions(key) == 1


def test_data_that_is_not_json(mastra_1: MastraServer) -> None:
    for data in ({"when": object()}, {"much": float("inf")}):
        with pytest.raises(InvalidDataError, match="not valid JSON"):
            run_workflow(mastra_1, "orderReport", data)
