"""Test the task that runs a workflow from start to end: each task run has one Mastra run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from prefect import flow, task
from prefect.client.orchestration import SyncPrefectClient
from prefect.exceptions import Abort
from prefect.utilities.collections import visit_collection

from mastra_workflows import MastraClient
from mastra_workflows.errors import ConfigurationError, RunFailedError, UnknownRunError
from prefect_mastra import MastraServer, MastraWorkflow, aexecute_workflow, execute_workflow
from testkit.sample_server import SampleServer
from tests.prefect.person import Person

Outcome = dict[str, Any]

REFUND = {"order": "A-1", "amount": 100, "reason": "broken"}


def charge(key: str, seconds: float = 0) -> dict[str, Any]:
    """Input of a workflow that counts its executions under the key."""
    return {"key": key, "amount": 1, "seconds": seconds}


def make_task(kind: str, **options: Any) -> Any:
    return (aexecute_workflow if kind == "asyncio" else execute_workflow).with_options(**options)


@pytest.mark.parametrize("kind", ["sync", "asyncio"])
def test_mapped_calls_execute_once_across_a_flow_retry(
    mastra: MastraServer, server: SampleServer, key: str, kind: str
) -> None:
    """Calls with equal input are a run each. The block needs no `unmapped`."""
    attempts: list[list[Outcome]] = []

    @flow(retries=1)
    def charges() -> None:
        inputs = [charge(key), charge(key), charge(f"{key}-b")]
        attempts.append(make_task(kind).map(mastra, "countedCharge", inputs).result())
        assert len(attempts) > 1, "The first attempt fails."

    charges()
    first, second = attempts
    run_ids = [outcome["run_id"] for outcome in first]
    assert len(set(run_ids)) == 3
    assert {outcome["run_id"] for outcome in second} == set(run_ids)
    assert [outcome["result"] for outcome in second] == [{"charged": 1}] * 3
    assert server.executions(key) == 2
    assert server.executions(f"{key}-b") == 1


def test_retries_of_mapped_calls_attach_to_their_own_runs(
    mastra: MastraServer, server: SampleServer, key: str
) -> None:
    @flow
    def charges() -> list[Outcome]:
        retried = execute_workflow.with_options(retries=100)
        outcomes: list[Outcome] = retried.map(
            mastra,
            "countedCharge",
            [charge(key, 3), charge(key, 3)],
            timeout=0.5,
            cancel_on_timeout=False,
        ).result()
        return outcomes

    assert len({outcome["run_id"] for outcome in charges()}) == 2
    assert server.executions(key) == 2


@pytest.mark.parametrize("on_failed_run", ["new_run", "from_failed_step", "fail"])
def test_retry_after_a_failed_run_starts_the_next(
    mastra_1: MastraServer, key: str, on_failed_run: Any
) -> None:
    @flow
    def imports() -> Outcome:
        retried = execute_workflow.with_options(retries=1)
        return retried(
            mastra_1, "flakyImport", {"key": key}, run_id=key, on_failed_run=on_failed_run
        )

    if on_failed_run == "fail":
        with pytest.raises(RunFailedError):
            imports()
    else:
        run_id = imports()["run_id"]
        assert run_id == (f"{key}-2" if on_failed_run == "new_run" else key)


@pytest.fixture
def tag(api: SyncPrefectClient, key: str) -> Iterator[str]:
    """A tag that one task run at a time may have."""
    api.create_concurrency_limit(key, 1)
    yield key
    api.delete_concurrency_limit_by_tag(key)


def test_tag_limit_bounds_concurrent_runs(
    mastra_1: MastraServer, servers: Callable[[Any], SampleServer], tag: str, client_1: MastraClient
) -> None:
    @flow
    def charges() -> list[Outcome]:
        tagged = execute_workflow.with_options(tags=[tag])
        inputs = [charge(tag, 1), charge(tag, 1)]
        outcomes: list[Outcome] = tagged.map(mastra_1, "countedCharge", inputs).result()
        return outcomes

    workflow = client_1.get_workflow("countedCharge")
    records = [workflow.get_run(outcome["run_id"]).read() for outcome in charges()]
    steps = [step for record in records for step in record.steps]
    first, second = sorted((str(step.started_at), str(step.ended_at)) for step in steps)
    assert first[1] <= second[0]


@pytest.fixture
def client_1(mastra_1: MastraServer) -> Iterator[MastraClient]:
    with mastra_1.get_client() as client:
        yield client


@pytest.mark.parametrize("kind", ["sync", "asyncio"])
def test_mapped_calls_ask_on_the_page_of_the_flow_run(
    mastra_1: MastraServer, person: Person, kind: str
) -> None:
    @flow(flow_run_name=person.name)
    def refunds() -> list[Outcome]:
        inputs = [REFUND | {"order": order} for order in "AB"]
        outcomes: list[Outcome] = (
            make_task(kind).map(mastra_1, "refundApproval", inputs, on_suspend="ask").result()
        )
        return outcomes

    running = person.watch(refunds)
    for _ in range(2):
        person.read()
        person.enter(approved=True)
    assert [outcome["result"]["order"] for outcome in running.result()] == ["A", "B"]


@pytest.mark.parametrize("kind", ["sync", "asyncio"])
def test_a_paused_flow_run_is_cancelled_with_the_run_of_its_task(
    mastra_1: MastraServer, client_1: MastraClient, person: Person, key: str, kind: str
) -> None:
    @flow(flow_run_name=person.name)
    def refunds() -> None:
        submitted = make_task(kind, retries=1).submit(
            mastra_1, "refundApproval", REFUND, run_id=key, on_suspend="ask"
        )
        submitted.result()

    running: Any = person.watch(lambda: refunds(return_state=True))
    person.read()
    person.cancel()
    with pytest.raises(Abort):
        running.result()
    assert person.state().is_cancelled()
    assert len(person.asked) == 1
    assert client_1.get_workflow("refundApproval").get_run(key).read().status == "canceled"


def test_suspend_mode_in_a_task_starts_nothing(
    mastra_1: MastraServer, client_1: MastraClient, key: str
) -> None:
    ask: Any = {"on_suspend": "ask", "run_id": key}

    @flow
    def suspends() -> None:
        execute_workflow(mastra_1, "refundApproval", REFUND, pause="suspend", **ask)

    for call in (suspends, lambda: execute_workflow(mastra_1, "refundApproval", REFUND, **ask)):
        with pytest.raises(ConfigurationError, match="flow run_workflow"):
            call()
    with pytest.raises(UnknownRunError):
        client_1.get_workflow("refundApproval").get_run(key).read()


def test_blocks_are_one_value_to_map_and_a_mapping_of_fields_to_prefect(
    mastra_1: MastraServer,
) -> None:
    workflow = MastraWorkflow(server=mastra_1, workflow_id="orderReport")

    @task
    def base_url(server: MastraServer, workflow: MastraWorkflow, number: int) -> str:
        return f"{server.base_url} {workflow.workflow_id} {number}"

    @flow
    def mapped() -> list[str]:
        urls: list[str] = base_url.map(mastra_1, workflow, [1, 2]).result()
        return urls

    assert mapped() == [f"{mastra_1.base_url} orderReport {number}" for number in (1, 2)]
    for block in (mastra_1, workflow):
        visited = visit_collection(block, lambda value: value, return_data=True)
        assert visited == block
        assert dict(block) == {name: getattr(block, name) for name in dict(block)}
        assert set(type(block).model_fields) <= set(dict(block))


def test_task_without_a_flow(mastra: MastraServer) -> None:
    assert execute_workflow(mastra, "orderReport", {"city": "Oslo"})["result"]["city"] == "Oslo"
    outcome: Any = asyncio.run(aexecute_workflow(mastra, "orderReport", {"city": "Oslo"}))
    assert outcome["result"]["city"] == "Oslo"
