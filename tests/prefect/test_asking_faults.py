"""Test that a pending request survives an outage, a deploy and a retry, and ends with a cancel."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, cast

import pytest
from prefect import State, flow
from prefect.client.orchestration import SyncPrefectClient
from prefect.exceptions import Abort, CancelledRun
from prefect.states import Running
from tenacity import Retrying, retry_if_result, wait_fixed

from mastra_workflows.errors import RunCanceledError
from prefect_mastra import (
    MastraServer,
    aask_and_resume,
    ask_and_resume,
    astart_workflow,
    run_workflow,
    start_workflow,
)
from testkit.sample_server import Generation, SampleServer
from tests.conftest import EVERY_SERVER, ODD_WORKFLOWS
from tests.prefect.person import Person
from tests.support.fault_proxy import FaultProxy
from tests.support.faults import Respond

Outcome = dict[str, Any]
LogsOf = Callable[[State[Any]], str]
Packaged = Callable[..., Callable[..., Any]]

REFUND = {"order": "A-1", "amount": 100, "reason": "broken"}


def test_response_reaches_the_server_after_an_outage(
    server: SampleServer, person: Person, logs_of: LogsOf, packaged: Packaged
) -> None:
    """A wrong token, which no client retries on its own."""
    ask = packaged(flow_run_name=person.name)
    with FaultProxy(server.url) as proxy:
        mastra = MastraServer(base_url=proxy.url)
        running = person.watch(
            lambda: ask(mastra, "refundApproval", REFUND, on_suspend="ask", return_state=True)
        )
        person.read()
        proxy.clear()
        proxy.on("", "/", Respond(401))
        Retrying(retry=retry_if_result(lambda looks: looks == 0), wait=wait_fixed(0.1))(proxy.count)
        assert person.enter(approved=True) == ""
        time.sleep(3)
        assert not running.done()
        proxy.clear()
        state = running.result()
    assert state.result()["result"]["refunded"] == 100
    assert "Mastra server unavailable" in logs_of(state)


@pytest.mark.version_specific
@pytest.mark.parametrize("generation", EVERY_SERVER)
def test_deploy_changes_the_resume_schema(
    person: Person, monkeypatch: pytest.MonkeyPatch, packaged: Packaged, generation: Generation
) -> None:
    """The form that is open becomes invalid; the next one is made of the new schema."""
    ask = packaged(flow_run_name=person.name)
    with SampleServer(generation, workflows=ODD_WORKFLOWS) as server:
        mastra = MastraServer(base_url=server.url)
        running = person.watch(lambda: ask(mastra, "released", {}, on_suspend="ask"))
        person.read()
        monkeypatch.setenv("ODD_WORKFLOWS_RELEASE", "2")
        server.restart()
        assert person.enter(approved=True) == ""
        assert "the resume schema has changed since the form was shown" in person.read()
        assert list(person.schema["properties"]) == ["verdict"]
        assert person.enter(verdict="yes") == ""
        assert running.result()["status"] == "success"


def test_run_cancelled_during_the_pause_ends_the_flow(
    mastra_1: MastraServer, person: Person, key: str, packaged: Packaged
) -> None:
    ask = packaged(flow_run_name=person.name)
    running = person.watch(
        lambda: ask(mastra_1, "refundApproval", REFUND, run_id=key, on_suspend="ask")
    )
    person.read()
    with mastra_1.get_client() as client:
        client.get_workflow("refundApproval").get_run(key).cancel()
    with pytest.raises(RunCanceledError):
        running.result()
    assert person.state().is_failed()


def test_a_paused_flow_run_is_cancelled_with_its_run(
    mastra_1: MastraServer, person: Person, key: str, packaged: Packaged
) -> None:
    ask = packaged(flow_run_name=person.name)
    running = person.watch(
        lambda: ask(mastra_1, "refundApproval", REFUND, run_id=key, on_suspend="ask")
    )
    person.read()
    person.cancel()
    with pytest.raises(Abort, match="cancelled while it waited"):
        running.result()
    with mastra_1.get_client() as client:
        assert client.get_workflow("refundApproval").get_run(key).read().status == "canceled"
    assert person.state().is_cancelled()


def test_a_paused_subflow_run_is_cancelled(
    mastra_1: MastraServer, person: Person, key: str, logs_of: LogsOf
) -> None:
    ask = run_workflow.with_options(flow_run_name=person.name)

    @flow
    def parent() -> str:
        with pytest.raises(CancelledRun):
            ask(mastra_1, "refundApproval", REFUND, run_id=key, on_suspend="ask")
        return "went on"

    running = person.watch(lambda: parent(return_state=True))
    person.read()
    person.cancel()
    state = running.result()
    assert state.result() == "went on"
    assert "Resume the subflow run to respond" in logs_of(state)
    with mastra_1.get_client() as client:
        assert client.get_workflow("refundApproval").get_run(key).read().status == "canceled"


def test_flow_run_resumed_without_a_response_asks_again(
    mastra_1: MastraServer, person: Person, api: SyncPrefectClient, packaged: Packaged
) -> None:
    ask = packaged(flow_run_name=person.name)
    running = person.watch(lambda: ask(mastra_1, "refundApproval", REFUND, on_suspend="ask"))
    person.read()
    api.set_flow_run_state(person.flow_run().id, Running())
    assert "resumed without a response" in person.read()
    person.enter(approved=True)
    assert running.result()["result"]["refunded"] == 100


@pytest.mark.parametrize("kind", ["sync", "asyncio"])
def test_pause_does_not_count_as_an_attempt(
    mastra: MastraServer, person: Person, kind: str
) -> None:
    """Prefect counts the end of a pause as one, and so a flow with one retry would have none."""
    tries: list[Outcome] = []

    def end(outcome: Outcome) -> Outcome:
        tries.append(outcome)
        if len(tries) == 1:
            raise RuntimeError("This try is to fail.")
        return outcome

    @flow(flow_run_name=person.name, retries=1)
    def fails_once() -> Outcome:
        return end(ask_and_resume(mastra, start_workflow(mastra, "refundApproval", REFUND)))

    @flow(flow_run_name=person.name, retries=1)
    async def afails_once() -> Outcome:
        run = await astart_workflow(mastra, "refundApproval", REFUND)
        return end(await aask_and_resume(mastra, run))

    def work() -> Outcome:
        return fails_once() if kind == "sync" else asyncio.run(cast(Any, afails_once()))

    running = person.watch(work)
    person.read()
    person.enter(approved=True)
    assert running.result()["result"]["refunded"] == 100
    first, second = tries
    assert first["run_id"] == second["run_id"]
    assert second["responses"] == []
    assert len(person.asked) == 1


@pytest.mark.parametrize("kind", ["sync", "asyncio"])
def test_response_survives_a_retry(server: SampleServer, person: Person, kind: str) -> None:
    """A try that fails with a response in its hands is followed by one that delivers it."""
    ended: list[str] = []

    @flow(flow_run_name=person.name, retries=1)
    def asks(mastra: MastraServer) -> Outcome:
        run = start_workflow(mastra, "refundApproval", REFUND)
        try:
            return ask_and_resume(mastra, run, outage_timeout=1)
        except Exception as error:
            ended.append(type(error).__name__)
            proxy.clear()
            raise

    @flow(flow_run_name=person.name, retries=1)
    async def aasks(mastra: MastraServer) -> Outcome:
        run = await astart_workflow(mastra, "refundApproval", REFUND)
        try:
            return await aask_and_resume(mastra, run, outage_timeout=1)
        except Exception as error:
            ended.append(type(error).__name__)
            proxy.clear()
            raise

    with FaultProxy(server.url) as proxy:
        mastra = MastraServer(base_url=proxy.url)

        def work() -> Outcome:
            return asks(mastra) if kind == "sync" else asyncio.run(cast(Any, aasks(mastra)))

        running = person.watch(work)
        person.read()
        proxy.on("", "/", Respond(401))
        assert person.enter(approved=True) == ""
        outcome = running.result()
    assert ended == ["ServerLostError"]
    assert outcome["result"]["refunded"] == 100
    assert len(person.asked) == 1
