"""Test invalid responses during an operation: a rotated token, an HTML page, a proxy's error."""

from __future__ import annotations

import pytest

from mastra_workflows import AsyncMastraClient, MastraClient, RetryPolicy
from mastra_workflows._options import WaitArguments
from mastra_workflows.errors import FINAL, AuthenticationError, ServerLostError
from tests.support.fault_proxy import FaultProxy
from tests.support.faults import CutResponse, Fault, Respond

RECORD = "/(execution-result|runs/[^/]+)$"
JSON = {"Content-Type": "application/json"}
REFUSED = Respond(401, JSON, b'{"error": "Invalid or expired token"}')
WRONG: dict[str, Fault] = {
    "401": REFUSED,
    "403": Respond(403, JSON, b'{"error": "Access denied"}'),
    "404": Respond(404, {"Content-Type": "text/plain"}, b"no such route"),
    "500": Respond(500, JSON, b'{"error": "oops"}'),
    "redirect": Respond(302, {"Location": "https://login.example.com/"}),
    "page": Respond(200, {"Content-Type": "text/html"}, b"<html>Maintenance</html>"),
    "nothing": Respond(200, JSON),
    "half": Respond(200, JSON, b'{"status": "succ'),
    "cut": CutResponse(20),
}
SOON = RetryPolicy(first_wait=0.02)
EACH = list(WRONG.values())
POLLS = WaitArguments(observe=False, poll_interval=0.1, max_poll_interval=0.1, timeout=60)


def responds_wrongly(proxy: FaultProxy) -> None:
    """Every second request for a record, from the second one on, gets another wrong response."""
    for number, fault in enumerate(EACH):
        proxy.on("GET", RECORD, fault, nth=2 + 2 * number)


def test_wait_survives_invalid_responses(
    proxy: FaultProxy, proxied: MastraClient, key: str
) -> None:
    run = proxied.get_workflow("slowExport").get_run(key)
    run.start(input_data={"seconds": 6})
    proxy.clear()
    responds_wrongly(proxy)
    assert run.wait(**POLLS).is_success
    assert [seen.fault for seen in proxy.seen if seen.fault] == EACH


async def test_async_wait_survives_invalid_responses(proxy: FaultProxy, key: str) -> None:
    async with AsyncMastraClient(proxy.url, retry=SOON) as client:
        run = client.get_workflow("slowExport").get_run(key)
        await run.start(input_data={"seconds": 6})
        proxy.clear()
        responds_wrongly(proxy)
        assert (await run.wait(**POLLS)).is_success
    assert [seen.fault for seen in proxy.seen if seen.fault] == EACH


@pytest.mark.parametrize("fault", EACH, ids=list(WRONG))
def test_error_of_a_wait_names_the_run_and_is_retryable(
    proxy: FaultProxy, key: str, fault: Fault
) -> None:
    with MastraClient(proxy.url) as client:
        run = client.get_workflow("slowExport").get_run(key)
        run.start(input_data={"seconds": 60})
        broken = [False]
        proxy.on("", "/", fault, when=lambda: broken[0])

        def breaks(_: object) -> None:
            broken[0] = True

        with pytest.raises(ServerLostError, match=f"Run '{key}' .* may still be running") as lost:
            run.wait(outage_timeout=0.5, on_record=breaks, timeout=60)
        assert not isinstance(lost.value, FINAL)
        broken[0] = False
        run.cancel()


def test_wait_with_an_invalid_first_response(proxy: FaultProxy, key: str) -> None:
    """As that of a triggerer which takes the run over."""
    with MastraClient(proxy.url) as client:
        client.get_workflow("slowExport").get_run(key).start(input_data={"seconds": 0})
    proxy.on("GET", "/packages$", EACH[0], nth=1)
    responds_wrongly(proxy)
    with MastraClient(proxy.url) as client:
        assert client.get_workflow("slowExport").get_run(key).wait(is_known=True).is_success
    with FaultProxy(proxy.url) as other, MastraClient(other.url) as client:
        other.on("", "/", REFUSED)
        with pytest.raises(AuthenticationError):
            client.get_workflow("slowExport").get_run(key).wait(timeout=60)


def test_cancel_survives_invalid_responses(
    proxy: FaultProxy, proxied: MastraClient, key: str
) -> None:
    run = proxied.get_workflow("slowExport").get_run(key)
    run.start(input_data={"seconds": 60})
    proxy.clear()
    for number, fault in enumerate(EACH):
        proxy.on("GET", RECORD, fault, nth=1 + 2 * number)
    proxy.on("POST", "/cancel$", REFUSED, nth=1)
    assert run.cancel().run.status == "canceled"


def test_start_survives_invalid_responses(
    proxy: FaultProxy, proxied: MastraClient, key: str
) -> None:
    """The record is read after the start, which is not repeated."""
    for number, fault in enumerate(EACH):
        proxy.on("GET", RECORD, fault, nth=2 + 2 * number)
    run = proxied.get_workflow("countedCharge").get_run(key)
    assert run.start(input_data={"key": key, "amount": 5, "seconds": 0}).found is None
    assert run.wait(timeout=60).is_success
    assert proxy.count("POST", "/stream$") == 1


def test_resume_survives_invalid_responses(
    proxy: FaultProxy, proxied: MastraClient, key: str
) -> None:
    run = proxied.get_workflow("refundApproval").get_run(key)
    run.start(input_data={"order": "A-1", "amount": 5, "reason": "broken"})
    assert run.wait(timeout=60).is_suspended
    proxy.clear()
    for number, fault in enumerate(EACH):
        proxy.on("GET", RECORD, fault, nth=2 + 2 * number)
    run.resume(resume_data={"approved": True})
    assert run.wait(timeout=60).is_success
    assert proxy.count("POST", "/resume-stream$") == 1


def test_listing_requests_survives_invalid_responses(
    proxy: FaultProxy, proxied: MastraClient, key: str
) -> None:
    workflow = proxied.get_workflow("refundApproval")
    run = workflow.get_run(key)
    run.start(input_data={"order": "A-1", "amount": 5, "reason": "broken"})
    assert run.wait(timeout=60).is_suspended
    for fault in EACH:
        proxy.clear()
        proxy.on("GET", "/runs$", fault, nth=1)
        proxy.on("GET", f"{key}(/execution-result)?$", fault, nth=1)
        assert key in [
            pending_request.run_id
            for pending_request in workflow.new_pending_requests().pending_requests
        ]
        assert [seen.fault for seen in proxy.seen if seen.fault] == [fault, fault]
    proxy.clear()
    run.cancel()


async def test_async_listing_survives_invalid_responses(proxy: FaultProxy, key: str) -> None:
    async with AsyncMastraClient(proxy.url, retry=SOON) as client:
        workflow = client.get_workflow("refundApproval")
        run = workflow.get_run(key)
        await run.start(input_data={"order": "A-1", "amount": 5, "reason": "broken"})
        assert (await run.wait(timeout=60)).is_suspended
        proxy.clear()
        proxy.on("GET", "/runs$", REFUSED, nth=1)
        proxy.on("GET", f"{key}(/execution-result)?$", WRONG["page"], nth=1)
        look = await workflow.new_pending_requests()
        assert key in [pending_request.run_id for pending_request in look.pending_requests]
        assert [seen.fault for seen in proxy.seen if seen.fault] == [REFUSED, WRONG["page"]]
        await run.cancel()


def test_listing_requests_with_a_wrong_token_fails_at_once(proxy: FaultProxy) -> None:
    proxy.on("", "/", REFUSED)
    with MastraClient(proxy.url) as client, pytest.raises(AuthenticationError):
        client.get_workflow("refundApproval").new_pending_requests()
    assert proxy.count() == 1
