"""Test triggers under faults: cancelled while they cancel a run, odd text, outages."""

from __future__ import annotations

import asyncio
import json
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest
from airflow.sdk import DAG, Context

from airflow_provider_mastra.operators.workflow import MastraRunWorkflowOperator
from airflow_provider_mastra.sensors.workflow import MastraWorkflowRunSensor
from airflow_provider_mastra.triggers import workflow as module
from airflow_provider_mastra.triggers.suspension import MastraSuspensionTrigger
from airflow_provider_mastra.triggers.workflow import MastraWorkflowRunTrigger
from airflow_provider_mastra.utils import _outages
from mastra_workflows import MastraClient, Run, RunStatus
from testkit.sample_server import Generation, SampleServer
from tests.airflow.harness import TOKEN, Connect, RunDag, mark
from tests.support.fault_proxy import FaultProxy
from tests.support.faults import DropRequest, Hold, Respond


def trigger(key: str, workflow_id: str = "slowExport", **options: Any) -> MastraWorkflowRunTrigger:
    """A trigger as Airflow stores and makes it again."""
    arguments: dict[str, Any] = {
        "mastra_conn_id": "mastra_default",
        "workflow_id": workflow_id,
        "run_id": key,
        "wait": {"on_suspend": "return", "poll_interval": 0.1, "max_poll_interval": 0.2},
        "deadline": None,
        "cancel_on_kill": True,
        "not_before": 0.0,
        **options,
    }
    _, stored = MastraWorkflowRunTrigger(**arguments).serialize()
    return MastraWorkflowRunTrigger(**json.loads(json.dumps(stored)))


async def first_event(waiting: Any) -> Any:
    event = await anext(aiter(waiting.run()))
    return event.payload


def stored(payload: Any) -> None:
    """As the triggerer's process sends it to its supervisor, and that to PostgreSQL."""
    assert b"\0" not in msgspec.msgpack.encode(payload)
    assert "\\u0000" not in json.dumps(payload)


class EndedByPerson(MastraRunWorkflowOperator):
    """Is marked as failed once its run has started, as if it were deferred then."""

    kill: Callable[[MastraWorkflowRunTrigger], Any]
    """What happens to its trigger."""

    def start_or_resume(self, run: Run, context: Context) -> Run:
        """Start the run, and end its trigger."""
        started = super().start_or_resume(run, context)
        waiting = trigger(run.run_id)
        ti: Any = context["ti"]  # a triggerer's has another type, and the same ids
        waiting.task_instance = ti
        mark(self.dag_id, self.task_id, "failed")
        self.kill(waiting)
        mark(self.dag_id, self.task_id, "running")  # so that the test's Airflow lets it end
        return started


def ended_by_person(key: str, kill: Callable[[MastraWorkflowRunTrigger], Any]) -> DAG:
    with DAG("ended_by_person", schedule=None) as dag:
        operator = EndedByPerson(
            task_id="export",
            workflow_id="slowExport",
            input_data={"seconds": 60},
            run_id=key,
            timeout=1,
        )
    operator.kill = kill
    return dag


def test_cancellation_during_on_kill(
    server: SampleServer, client: MastraClient, connect: Connect, run_dag: RunDag, key: str
) -> None:
    """Airflow repeats it each second; the run is cancelled nevertheless."""
    run = client.get_workflow("slowExport").get_run(key)
    statuses: list[str] = []

    async def end(waiting: MastraWorkflowRunTrigger) -> None:
        hold = Hold()
        proxy.on("", "", hold, nth=1)  # before the server has heard of it
        killing = asyncio.ensure_future(waiting.on_kill())
        await asyncio.to_thread(hold.held.wait, 120)
        killing.cancel("user-action")
        with pytest.raises(asyncio.CancelledError):
            await killing
        statuses.append(run.read().status)
        hold.drop()
        await asyncio.to_thread(until, lambda: run.read().status == RunStatus.CANCELED)
        statuses.append(run.read().status)  # what fails in here only fails the task

    with FaultProxy(server.url) as proxy:
        connect(proxy.url)
        result = run_dag(ended_by_person(key, lambda waiting: asyncio.run(end(waiting))))
    assert statuses == [RunStatus.RUNNING, RunStatus.CANCELED]
    assert result.task_state("export") == "failed"


def test_a_cancellation_that_fails_is_logged(
    server: SampleServer,
    client: MastraClient,
    connect: Connect,
    run_dag: RunDag,
    key: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "KILL_SECONDS", 0.5)
    statuses: list[str] = []

    def end(waiting: MastraWorkflowRunTrigger) -> None:
        connect("http://127.0.0.1:9")
        asyncio.run(waiting.on_kill())
        connect(server.url)
        statuses.append(client.get_workflow("slowExport").get_run(key).read().status)

    connect(server.url)
    log = run_dag(ended_by_person(key, end)).log
    assert f"Run '{key}' of workflow 'slowExport' was not cancelled and may still be running" in log
    assert statuses == [RunStatus.RUNNING]


@pytest.mark.parametrize("kind", ["half-emoji", "nul", "forged"])
@pytest.mark.parametrize("how", ["throw", "return", "suspend"])
def test_event_contains_no_text_of_the_server(
    odd_server: SampleServer, connect: Connect, key: str, kind: str, how: str
) -> None:
    connect(odd_server.url)
    with MastraClient(odd_server.url) as client:
        run = client.get_workflow("oddEnd").get_run(key)
        run.start(input_data={"kind": kind, "how": how})
        event = asyncio.run(first_event(trigger(key, "oddEnd")))
    stored(event)
    assert event == {
        "workflow_id": "oddEnd",
        "run_id": key,
        "reason": "over",
        "error": None,
        "deadline": None,
        "restarted": None,
    }


def test_server_text_in_an_asset_event_is_sanitised(
    odd_server: SampleServer, connect: Connect, key: str
) -> None:
    connect(odd_server.url)
    with MastraClient(odd_server.url) as client:
        run = client.get_workflow("oddStep").get_run(key)
        assert run.start_async(input_data={}).is_suspended
        event = asyncio.run(first_event(MastraSuspensionTrigger(workflow_id="oddStep")))
        run.cancel()
    stored(event)
    [pending_request] = event["pending_requests"]
    assert (pending_request["run_id"], pending_request["step"]) == (
        key,
        ["cut \ufffd zero \ufffd byte"],
    )


def test_unexpected_error_is_sanitised(airflow_database: None, key: str) -> None:
    """Airflow stores what a trigger raises; here its own error, which names the connection."""
    waiting = trigger(key, mastra_conn_id="cut \ud83d\nforged line")
    with pytest.raises(RuntimeError) as caught:
        asyncio.run(first_event(waiting))
    lines = "".join(traceback.format_exception(caught.value))
    stored(lines)
    assert "forged line" in lines
    assert "\nforged" not in lines


@pytest.fixture
def guarded(
    guarded_servers: Callable[[Generation], SampleServer], request: pytest.FixtureRequest
) -> SampleServer:
    return guarded_servers("1")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_outages, "RECONNECT_SECONDS", 1.0)
    monkeypatch.setattr(_outages, "PAUSE_SECONDS", 0.2)


def test_edited_token_is_used(
    guarded: SampleServer,
    connect: Connect,
    key: str,
    quick: None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with MastraClient(guarded.url, token=TOKEN) as client, FaultProxy(guarded.url) as proxy:
        run = client.get_workflow("countedCharge").get_run(key)
        run.start(input_data={"key": key, "amount": 5, "seconds": 2})
        connect(proxy.url, password="an-older-token")

        async def rotate() -> Any:
            waiting = asyncio.ensure_future(first_event(trigger(key, "countedCharge")))
            await asyncio.to_thread(until, lambda: proxy.count() >= 3)
            connect(proxy.url, password=TOKEN)
            return await waiting

        assert asyncio.run(rotate())["reason"] == "over"


def test_edited_address_is_used(
    server: SampleServer, client: MastraClient, connect: Connect, key: str, quick: None
) -> None:
    run = client.get_workflow("countedCharge").get_run(key)
    run.start(input_data={"key": key, "amount": 5, "seconds": 1})
    with FaultProxy(server.url) as proxy:
        proxy.on("", "", DropRequest())
        connect(proxy.url)

        async def move() -> Any:
            waiting = asyncio.ensure_future(first_event(trigger(key, "countedCharge")))
            await asyncio.to_thread(until, lambda: proxy.count() >= 2)
            connect(server.url)
            return await waiting

        assert asyncio.run(move())["reason"] == "over"


def test_an_outage_ends_the_wait_after_its_timeout(
    server: SampleServer, connect: Connect, key: str, quick: None
) -> None:
    with FaultProxy(server.url) as proxy:
        proxy.on("", "", Respond(401))
        connect(proxy.url)
        waiting = trigger(key, wait={"on_suspend": "return", "outage_timeout": 2.0})
        began = time.monotonic()
        event = asyncio.run(first_event(waiting))
    assert event["reason"] == "error"
    assert event["error"] in ("AuthenticationError", "ServerLostError")
    assert 2.0 <= time.monotonic() - began < 120


def until(look: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("is_sensor", [False, True])
def test_worker_uses_an_edited_connection(
    guarded_servers: Callable[[Generation], SampleServer],
    connect: Connect,
    run_dag: RunDag,
    key: str,
    quick: None,
    is_sensor: bool,
) -> None:
    """The token is rotated while the task waits; somebody edits the connection some time later."""
    server = guarded_servers("1")
    with (
        MastraClient(server.url, token=TOKEN) as client,
        FaultProxy(server.url) as proxy,
        ThreadPoolExecutor() as threads,
    ):
        connect(proxy.url, password=TOKEN)
        run = client.get_workflow("refundApproval").get_run(key)
        refund = {"order": "A-1", "amount": 5, "reason": "broken"}
        waits: Any = {"on_suspend": "wait", "observe": False}
        with DAG("edited", schedule=None) as dag:
            if is_sensor:
                run.start(input_data=refund)
                MastraWorkflowRunSensor(
                    task_id="refund", workflow_id="refundApproval", run_id=key, **waits
                )
            else:
                MastraRunWorkflowOperator(
                    task_id="refund",
                    workflow_id="refundApproval",
                    input_data=refund,
                    run_id=key,
                    **waits,
                )

        def rotate() -> None:
            until(lambda: proxy.count("GET", key) >= 4)
            refused = proxy.count()
            proxy.on("", "", Respond(401))
            until(lambda: proxy.count() >= refused + 2)
            connect(server.url, password=TOKEN)
            run.resume(resume_data={"approved": True})

        rotating = threads.submit(rotate)
        result = run_dag(dag)
        rotating.result()
    assert result.xcom("refund") == {"order": "A-1", "refunded": 5}
    assert "The connection 'mastra_default' has changed; using its new values." in result.log
    assert result.tries("refund") == 1


def test_a_sensor_with_a_wrong_token_fails_at_once(
    guarded_servers: Callable[[Generation], SampleServer],
    connect: Connect,
    run_dag: RunDag,
    key: str,
) -> None:
    connect(guarded_servers("1").url, password="no-t0ken-of-any-server")
    with DAG("wrong_token", schedule=None) as dag:
        MastraWorkflowRunSensor(task_id="wait", workflow_id="countedCharge", run_id=key)
    began = time.monotonic()
    assert run_dag(dag).task_state("wait") == "failed"
    assert time.monotonic() - began < 120
