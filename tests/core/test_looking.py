"""Test `new_pending_requests` on real servers: each request is returned once, for any run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Unpack

import pytest

from mastra_workflows import AsyncMastraClient, MastraClient, Run
from mastra_workflows.errors import UnknownWorkflowError
from mastra_workflows.hitl._inbox import (
    InboxOptions,
    InboxPage,
    InboxState,
    NewPendingRequestsArguments,
)
from mastra_workflows.hitl._pending_requests import PendingRequest
from testkit.sample_server import Generation, SampleServer
from tests.conftest import EVERY_SERVER
from tests.core.samples import REFUND
from tests.support.fault_proxy import FaultProxy


@pytest.fixture(scope="module", params=EVERY_SERVER)
def quiet_server(request: pytest.FixtureRequest) -> Iterator[SampleServer]:
    """A server of this module's own, where nobody else asks anything."""
    generation: Generation = request.param
    with SampleServer(generation) as server:
        yield server


@pytest.fixture
def inbox(quiet_server: SampleServer) -> Iterator[Inbox]:
    """That server without pending requests; the test's own get a response at its end."""
    with FaultProxy(quiet_server.url) as proxy, MastraClient(proxy.url) as client:
        yield Inbox(quiet_server, proxy, client)
        for workflow_id in ("refundApproval", "photoReview", "parallelReview", "nestedApproval"):
            workflow = client.get_workflow(workflow_id)
            while pending_requests := workflow.new_pending_requests().pending_requests:
                for pending_request in pending_requests:
                    step, run = (
                        pending_request.suspension.step,
                        workflow.get_run(pending_request.run_id),
                    )
                    run.resume(step=step, resume_data={"approved": True})


class Inbox:
    """A server, and what was seen of it, which is stored as JSON after each look."""

    def __init__(self, server: SampleServer, proxy: FaultProxy, client: MastraClient) -> None:
        self.generation, self.proxy, self.client = server.generation, proxy, client
        self._stored: object = None

    def look(self, workflow_id: str, **options: Unpack[NewPendingRequestsArguments]) -> InboxPage:
        self.proxy.clear()
        memory = InboxState.from_dict(self._stored)
        look = self.client.get_workflow(workflow_id).new_pending_requests(memory, **options)
        self._stored = look.state.to_dict()
        return look

    def names(self, workflow_id: str, **options: Unpack[NewPendingRequestsArguments]) -> list[str]:
        return [
            name(pending_request)
            for pending_request in self.look(workflow_id, **options).pending_requests
        ]

    def begin(self, workflow_id: str, run_id: str, **input_data: object) -> Run:
        run = self.client.get_workflow(workflow_id).get_run(run_id)
        run.start_async(input_data=input_data or REFUND)
        return run


def name(pending_request: PendingRequest) -> str:
    return f"{pending_request.run_id}: {pending_request.suspension.name}"


def test_request_is_returned_once(inbox: Inbox, key: str) -> None:
    assert inbox.names("refundApproval") == []
    run = inbox.begin("refundApproval", key)
    (pending_request,) = inbox.look("refundApproval").pending_requests
    (asked,) = run.read().suspensions
    assert (pending_request.run_id, pending_request.suspension) == (key, asked)
    assert pending_request.suspension.resume_schema is not None
    assert inbox.names("refundApproval") == []
    run.resume(resume_data={"approved": True})
    assert inbox.names("refundApproval") == []


def test_each_round_is_a_new_request(inbox: Inbox, key: str) -> None:
    run = inbox.begin("photoReview", key, photos=["a.jpg", "b.jpg"])
    assert inbox.names("photoReview") == [f"{key}: review[0]"]
    run.resume(resume_data={"approved": True})
    assert inbox.names("photoReview") == [f"{key}: review[1]"]
    run.resume(resume_data={"approved": True})
    assert inbox.names("photoReview") == []


@pytest.mark.version_specific
def test_concurrent_items_are_one_request_per_response(inbox: Inbox, key: str) -> None:
    """0.x gives one response to all of them."""
    run = inbox.begin("photoReviewAtOnce", key, photos=["a.jpg", "b.jpg"])
    chooses = inbox.client.supports_for_each_index()
    wanted = [f"{key}: review[0]", f"{key}: review[1]"] if chooses else [f"{key}: review[0]"]
    assert sorted(inbox.names("photoReviewAtOnce")) == wanted
    assert inbox.names("photoReviewAtOnce") == []
    for place in range(len(wanted)):
        run.resume(resume_data={"approved": True}, for_each_index=place if chooses else None)
        run.wait(on_suspend="return")
    assert run.read().is_finished


def test_parallel_suspensions_are_two_requests(inbox: Inbox, key: str) -> None:
    run = inbox.begin("parallelReview", key, document="plan")
    assert set(inbox.names("parallelReview")) == {f"{key}: legal", f"{key}: finance"}
    run.resume(step="finance", resume_data={"approved": True})
    assert inbox.names("parallelReview") == []


def test_nested_step_has_the_suspension_time_of_its_record(inbox: Inbox, key: str) -> None:
    """The row of a list has the time of the step around it, by which no resume would find it."""
    run = inbox.begin("nestedApproval", key, document="plan")
    (pending_request,) = inbox.look("nestedApproval").pending_requests
    assert pending_request.suspension == run.read().suspensions[0]
    assert inbox.names("nestedApproval") == []


def test_oldest_come_first_up_to_most(inbox: Inbox, key: str) -> None:
    for number in range(5):
        inbox.begin("refundApproval", f"{key}-{number}")
    looks = [inbox.look("refundApproval", most=2) for _ in range(4)]
    given_out = [[one.run_id[-1] for one in look.pending_requests] for look in looks]
    assert given_out == [["0", "1"], ["2", "3"], ["4"], []]
    assert [look.has_more for look in looks] == [True, True, False, False]


def test_most_none_returns_all(inbox: Inbox, key: str) -> None:
    """More than a look gives out by default; of a workflow whose looks no test counts."""
    by_default = InboxOptions().most
    assert by_default is not None
    for number in range(by_default + 1):
        inbox.begin("nestedApproval", f"{key}-{number}", document="plan")
    look = inbox.look("nestedApproval", most=None)
    assert len(look.pending_requests) == by_default + 1
    assert not look.has_more


@pytest.mark.version_specific
def test_poll_without_new_requests_sends_one_request(inbox: Inbox, key: str) -> None:
    for number in range(3):
        inbox.begin("refundApproval", f"{key}-{number}")
    assert len(inbox.names("refundApproval")) == 3
    assert inbox.proxy.count("GET", "/runs/") == 3  # one for each new request
    assert inbox.names("refundApproval") == []
    assert inbox.proxy.count() == 1


@pytest.mark.version_specific
def test_finished_runs_are_not_read_again(
    inbox: Inbox, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mastra_workflows.hitl._inbox.LATE", timedelta(0))
    for number in range(45):
        inbox.begin("earlyExit", f"{key}-{number}", stock=3)
    assert inbox.names("earlyExit") == []
    assert inbox.proxy.count("GET", "/runs$") == (1 if inbox.generation == "1" else 3)
    assert inbox.names("earlyExit") == []
    assert inbox.proxy.count() == 1


def test_run_started_between_polls_is_found(
    inbox: Inbox, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mastra_workflows.hitl._inbox.LATE", timedelta(0))
    workflow = inbox.client.get_workflow("refundApproval")
    workflow.create_run(f"{key}-early")
    inbox.begin("refundApproval", f"{key}-late")
    assert inbox.names("refundApproval") == [f"{key}-late: approve"]
    inbox.begin("refundApproval", f"{key}-early")
    assert inbox.names("refundApproval") == [f"{key}-early: approve"]


def test_pending_request_is_repeated_with_repeat_after(inbox: Inbox, key: str) -> None:
    inbox.begin("refundApproval", key)
    assert inbox.names("refundApproval", repeat_after=1e-6) == [f"{key}: approve"]
    assert inbox.names("refundApproval", repeat_after=1e-6) == [f"{key}: approve"]
    assert inbox.names("refundApproval", repeat_after=3600) == []


@pytest.mark.version_specific
def test_runs_of_an_old_server_that_are_older_than_the_lookback(inbox: Inbox, key: str) -> None:
    inbox.begin("refundApproval", key)
    if inbox.generation == "1":
        assert inbox.names("refundApproval", lookback=1e-6) == [f"{key}: approve"]
        return
    workflow = inbox.client.get_workflow("refundApproval")
    deadline = time.monotonic() + 30  # a server may store the record once more after its response
    while workflow.new_pending_requests(lookback=1e-6).pending_requests:
        assert time.monotonic() < deadline


def test_an_unknown_workflow(inbox: Inbox) -> None:
    with pytest.raises(UnknownWorkflowError, match="no workflow 'nope'"):
        inbox.look("nope")


async def test_async_client_finds_requests(inbox: Inbox, key: str) -> None:
    inbox.begin("refundApproval", key)
    async with AsyncMastraClient(inbox.client.base_url) as client:
        workflow = client.get_workflow("refundApproval")
        look = await workflow.new_pending_requests()
        assert list(map(name, look.pending_requests)) == [f"{key}: approve"]
        assert (await workflow.new_pending_requests(look.state)).pending_requests == ()
