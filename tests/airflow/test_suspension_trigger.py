"""Test the trigger that watches for pending requests, on both generations."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from airflow.sdk import AssetWatcher
from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from airflow_provider_mastra.triggers import suspension
from airflow_provider_mastra.triggers.suspension import MastraSuspensionTrigger
from mastra_workflows import MastraClient, Run
from mastra_workflows.errors import ConfigurationError
from mastra_workflows.hitl import pending_requests
from mastra_workflows.integration import from_iso
from testkit.sample_server import Generation, SampleServer
from tests.airflow.harness import TOKEN, Connect
from tests.conftest import EVERY_SERVER
from tests.support.fault_proxy import FaultProxy
from tests.support.faults import CutResponse, DropRequest, Fault, Respond

REFUND = {"order": "A-17", "amount": 2500, "reason": "very secret"}
APPROVED = {"approved": True}
WORKFLOWS = ("refundApproval", "parallelReview", "photoReview")


@pytest.fixture(scope="module", params=EVERY_SERVER)
def quiet_server(request: pytest.FixtureRequest) -> Iterator[SampleServer]:
    """A server of this module's own, where nobody else asks anything."""
    generation: Generation = request.param
    with SampleServer(generation, token=TOKEN) as server:
        yield server


class Inbox:
    """A server without pending requests, and the fault proxy in front of it."""

    def __init__(self, proxy: FaultProxy, client: MastraClient, connect: Connect) -> None:
        self.proxy, self.client, self.connect = proxy, client, connect
        connect(proxy.url, password=TOKEN)

    def begin(self, workflow_id: str, run_id: str, **input_data: Any) -> Run:
        run = self.client.get_workflow(workflow_id).get_run(run_id)
        assert run.start_async(input_data=input_data or REFUND).is_suspended
        return run

    async def until_polled(self, looks: int = 2) -> None:
        """Wait until the trigger has looked at the server so often from now on."""
        before = self.proxy.count("GET", "/runs$")
        await until(lambda: self.proxy.count("GET", "/runs$") >= before + looks)


@pytest.fixture
def inbox(
    quiet_server: SampleServer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Inbox]:
    """That server; in the end what the test has left open is responded to."""
    monkeypatch.setattr(suspension, "STORED_SECONDS", 0.0)
    with (
        FaultProxy(quiet_server.url) as proxy,
        MastraClient(quiet_server.url, token=TOKEN) as client,
    ):
        yield Inbox(proxy, client, connect)
        for workflow_id in WORKFLOWS:
            workflow = client.get_workflow(workflow_id)
            while still_pending := workflow.new_pending_requests().pending_requests:
                for pending_request in still_pending:
                    run = workflow.get_run(pending_request.run_id)
                    run.resume(step=pending_request.suspension.step, resume_data=APPROVED)


def recreated(workflow_id: str, **options: Any) -> MastraSuspensionTrigger:
    """A trigger as Airflow stores and makes it again."""
    options = {"poll_interval": 0.05, "max_poll_interval": 0.1, **options}
    path, arguments = MastraSuspensionTrigger(workflow_id=workflow_id, **options).serialize()
    assert path == "airflow_provider_mastra.triggers.suspension.MastraSuspensionTrigger"
    return MastraSuspensionTrigger(**json.loads(json.dumps(arguments)))


async def until(so: Callable[[], bool]) -> None:
    async with asyncio.timeout(120):
        while not so():
            await asyncio.sleep(0.01)


async def news(events: AsyncIterator[TriggerEvent]) -> list[dict[str, Any]]:
    """The requests of the next event."""
    async with asyncio.timeout(120):
        event = await anext(events)
    asked: list[dict[str, Any]] = event.payload["pending_requests"]
    assert len(json.dumps(event.payload)) < 1000
    assert "secret" not in json.dumps(event.payload)
    return asked


async def silence(events: AsyncIterator[TriggerEvent], inbox: Inbox) -> None:
    """Nothing more comes; the trigger is over by that."""
    next_one = asyncio.ensure_future(anext(events))
    await inbox.until_polled()
    assert not next_one.done()
    next_one.cancel()
    await asyncio.gather(next_one, return_exceptions=True)


async def test_event_contains_only_a_reference_to_the_request(inbox: Inbox, key: str) -> None:
    run = inbox.begin("refundApproval", key)
    (pending_request,) = pending_requests(run.read())
    events = recreated("refundApproval").run()
    assert await news(events) == [
        {
            "key": pending_request.key,
            "workflow_id": "refundApproval",
            "run_id": key,
            "step": ["approve"],
            "for_each_index": None,
            "suspended_at": str(pending_request.suspension.suspended_at).replace(" ", "T"),
        }
    ]
    await silence(events, inbox)


async def test_each_round_and_each_branch_is_reported_once(inbox: Inbox, key: str) -> None:
    rounds = recreated("photoReview").run()
    run = inbox.begin("photoReview", key, photos=["a.jpg", "b.jpg"])
    assert [one["for_each_index"] for one in await news(rounds)] == [0]
    run.resume(resume_data=APPROVED)
    assert [one["for_each_index"] for one in await news(rounds)] == [1]
    run.resume(resume_data=APPROVED)
    await silence(rounds, inbox)

    branches = recreated("parallelReview").run()
    run = inbox.begin("parallelReview", key, document="plan")
    assert sorted(one["step"] for one in await news(branches)) == [["finance"], ["legal"]]
    run.resume(step="legal", resume_data=APPROVED)
    await silence(branches, inbox)


async def test_without_a_state_store_requests_are_reported_again_with_the_same_key(
    inbox: Inbox, key: str
) -> None:
    inbox.begin("refundApproval", key)
    told = []
    for _ in range(2):
        events = recreated("refundApproval").run()
        told.append(await news(events))
        await silence(events, inbox)
    assert told[0] == told[1]


async def test_trigger_survives_an_outage(inbox: Inbox, key: str) -> None:
    events = recreated("refundApproval").run()
    first = asyncio.ensure_future(news(events))
    await inbox.until_polled()
    is_down = True
    inbox.proxy.on("", "", DropRequest(), when=lambda: is_down)
    await until(lambda: inbox.proxy.seen[-1].fault is not None)
    inbox.begin("refundApproval", key)
    is_down = False
    assert [one["run_id"] for one in await first] == [key]
    await silence(events, inbox)


@pytest.mark.parametrize(
    "odd",
    [
        Respond(401, body=b'{"error": "Invalid token"}'),
        Respond(200, {"Content-Type": "text/html"}, b"<title>Maintenance</title>"),
        Respond(200, {"Content-Type": "application/json"}, b'{"runs": [{"run'),
        CutResponse(10),
        Respond(500, body=b'{"error": "storage"}'),
        Respond(302, {"Location": "/login"}),
    ],
    ids=["401", "page", "cut_json", "cut_response", "500", "redirect"],
)
async def test_invalid_response_does_not_end_the_trigger(
    odd: Fault, inbox: Inbox, key: str
) -> None:
    events = recreated("refundApproval").run()
    first = asyncio.ensure_future(news(events))
    await inbox.until_polled()
    is_odd = True
    inbox.proxy.on("GET", "/runs", odd, when=lambda: is_odd)
    await until(lambda: inbox.proxy.seen[-1].fault is not None)
    inbox.begin("refundApproval", key)
    is_odd = False
    assert [one["run_id"] for one in await first] == [key]
    await silence(events, inbox)


async def test_invalid_connection_is_logged_once_and_can_be_corrected(
    inbox: Inbox, key: str, capfd: pytest.CaptureFixture[str]
) -> None:
    inbox.begin("refundApproval", key)
    inbox.connect(inbox.proxy.url, password="wrong-token")
    events = recreated("refundApproval").run()
    first = asyncio.ensure_future(news(events))
    await until(lambda: inbox.proxy.count() > 3)
    inbox.connect(inbox.proxy.url, password=TOKEN)
    assert [one["run_id"] for one in await first] == [key]
    await silence(events, inbox)
    log = "".join(capfd.readouterr())
    assert log.count("cannot be read; retrying. The server responded with 401") == 1
    assert log.count("'refundApproval' can be read again") == 1
    assert "wrong-token" not in log


async def test_pending_request_is_reported_again_with_repeat_after(inbox: Inbox, key: str) -> None:
    inbox.begin("refundApproval", key)
    events: Any = recreated("refundApproval", repeat_after=0.001).run()
    assert await news(events) == await news(events)
    await events.aclose()


@pytest.mark.version_specific
async def test_event_of_a_0x_server_contains_since(inbox: Inbox, key: str) -> None:
    record = inbox.begin("refundApproval", key).read()
    events: Any = recreated("refundApproval").run()
    since = (await anext(events)).payload["since"]
    await events.aclose()
    if since is None:
        assert inbox.client.server_generation().value == "1.x"
        return
    (row,) = inbox.client.get_workflow("refundApproval").runs(from_date=from_iso(since))
    assert row.run_id == record.run_id


def test_equal_triggers_have_equal_hashes() -> None:
    """Else each parsing of the DAG file would make another trigger."""
    one, other = (BaseEventTrigger.hash(*recreated("w").serialize()) for _ in range(2))
    assert one == other
    assert one != BaseEventTrigger.hash(*recreated("v").serialize())
    AssetWatcher(name="w", trigger=recreated("w"))


@pytest.mark.parametrize(
    ("option", "value"),
    [("poll_interval", 0), ("max_poll_interval", -1), ("lookback", 0), ("repeat_after", -1)],
)
def test_options_out_of_range_fail_in_the_dag_file(option: str, value: float) -> None:
    with pytest.raises(ConfigurationError, match=option):
        recreated("refundApproval", **{option: value})
