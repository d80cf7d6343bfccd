"""Test responses to requests during an outage, and after a deploy has changed the resume schema."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from mastra_workflows import AsyncMastraClient, MastraClient, RetryPolicy, Run
from mastra_workflows.errors import (
    FINAL,
    InvalidResumeDataError,
    ResponseLostError,
    ResumeRefusedError,
    ResumeSchemaChangedError,
    ServerLostError,
)
from mastra_workflows.hitl._pending_requests import PendingRequest, pending_requests
from testkit.sample_server import Generation, SampleServer
from tests.conftest import EVERY_SERVER, ODD_WORKFLOWS, WAITING_WORKFLOWS
from tests.core.samples import suspended_refund
from tests.support.fault_proxy import FaultProxy
from tests.support.faults import DropRequest, LoseResponse, Respond

IMPATIENT = RetryPolicy(seconds=0.5, first_wait=0.05)
"""Less patient than any outage of these tests is long."""

APPROVED = {"approved": True}


@pytest.fixture(params=EVERY_SERVER)
def own_server(request: pytest.FixtureRequest) -> Iterator[SampleServer]:
    """A server that a test may kill."""
    generation: Generation = request.param
    with SampleServer(generation, workflows=ODD_WORKFLOWS) as server:
        yield server


def asked(run: Run) -> PendingRequest:
    (pending_request,) = pending_requests(run.wait(timeout=60))
    return pending_request


def test_response_invalidated_by_a_deploy(
    own_server: SampleServer, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with MastraClient(own_server.url) as client:
        run = client.get_workflow("released").get_run(key)
        run.start(input_data={})
        pending_request = asked(run)
        with pytest.raises(InvalidResumeDataError) as plain:
            run.respond(pending_request, {"note": "no verdict"})
        assert not isinstance(plain.value, ResumeSchemaChangedError)

        monkeypatch.setenv("ODD_WORKFLOWS_RELEASE", "2")
        own_server.restart()
        with pytest.raises(
            ResumeSchemaChangedError, match="The resume schema has changed"
        ) as changed:
            run.respond(pending_request, APPROVED)
        now = changed.value.pending_request
        assert now.key == pending_request.key
        assert (
            "the resume schema has changed since the form was shown"
            in changed.value.validation_errors[-1]
        )
        assert now.suspension.resume_schema != pending_request.suspension.resume_schema
        run.respond(now, {"verdict": "yes"})
        assert run.wait(timeout=60).is_success


@pytest.mark.version_specific
@pytest.mark.parametrize("generation", EVERY_SERVER)
def test_resume_of_a_step_renamed_by_a_deploy(
    generation: Generation, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        SampleServer(generation, workflows=WAITING_WORKFLOWS) as server,
        MastraClient(server.url) as client,
    ):
        workflow = client.get_workflow("renamed")
        run = workflow.get_run(key)
        run.start(input_data={})
        assert run.wait(timeout=60).is_suspended
        monkeypatch.setenv("WAITING_WORKFLOWS_RELEASE", "2")
        server.restart()
        workflow.details()
        with pytest.raises(ResumeRefusedError, match="has no step 'approve' any more") as refused:
            run.resume(step="approve", resume_data=APPROVED)
        assert "'approve-order'" in str(refused.value)
        run.cancel()


def test_response_is_delivered_after_an_outage(own_server: SampleServer, key: str) -> None:
    with MastraClient(own_server.url, retry=IMPATIENT) as client:
        run = suspended_refund(client, key)
        pending_request = asked(run)
        own_server.kill()
        comes_back = threading.Timer(3.0, own_server.start)
        comes_back.start()
        run.respond(pending_request, APPROVED, outage_timeout=60)
        comes_back.join()
        assert run.wait(timeout=60).is_success


async def test_async_client_delivers_a_response_after_an_outage(
    own_server: SampleServer, key: str
) -> None:
    with MastraClient(own_server.url) as client:
        pending_request = asked(suspended_refund(client, key))
    async with AsyncMastraClient(own_server.url, retry=IMPATIENT) as client:
        run = client.get_workflow("refundApproval").get_run(key)
        own_server.kill()
        comes_back = threading.Timer(3.0, own_server.start)
        comes_back.start()
        await run.respond(pending_request, APPROVED, outage_timeout=60)
        comes_back.join()
        assert (await run.wait(timeout=60)).is_success


@pytest.mark.parametrize("fault", [DropRequest(), Respond(401), Respond(200, {}, b"<html>")])
def test_undelivered_response_raises(
    proxy: FaultProxy, proxied: MastraClient, key: str, fault: DropRequest | Respond
) -> None:
    run = suspended_refund(proxied, key)
    pending_request = asked(run)
    proxy.clear()
    proxy.on("", "/", fault)
    with MastraClient(proxy.url, retry=IMPATIENT) as client:
        mine = client.get_workflow("refundApproval").get_run(key)
        with pytest.raises(ServerLostError, match=f"run '{key}' .* was not delivered") as lost:
            mine.respond(pending_request, APPROVED, outage_timeout=1)
        assert not isinstance(lost.value, (ResponseLostError, *FINAL))
        assert proxy.count("POST", "/resume") == 0
        proxy.clear()
        mine.respond(pending_request, APPROVED)
        assert mine.wait(timeout=60).is_success


def test_unconfirmed_response_raises(proxy: FaultProxy, proxied: MastraClient, key: str) -> None:
    run = suspended_refund(proxied, key)
    pending_request = asked(run)
    proxy.clear()
    proxy.on("POST", "/resume-stream$", LoseResponse(wait=False))
    proxy.on("", "/", DropRequest(), when=lambda: proxy.count("POST", "/resume-stream$") > 0)
    with pytest.raises(ResponseLostError, match="has not shown whether that worked"):
        run.respond(pending_request, APPROVED, outage_timeout=1)
    assert proxy.count("POST", "/resume-stream$") == 1
    proxy.clear()
    run.respond(pending_request, APPROVED, is_retry=True)
    assert run.wait(timeout=60).is_success
    assert proxy.count("POST", "/resume-stream$") <= 1
