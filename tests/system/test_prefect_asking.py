"""Test responses while a flow run is suspended and its process has ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mastra_workflows import MastraClient, Run
from mastra_workflows.hitl import pending_requests
from testkit.prefect_stack import PrefectStack
from testkit.processes import ServiceError
from testkit.sample_server import Generation, SampleServer


@pytest.fixture
def ask(prefect_stack: PrefectStack, server: SampleServer, key: str) -> Callable[[str], str]:
    """Starts a flow run that has a text revised until somebody approves it."""

    def start(deployment: str) -> str:
        work: dict[str, Any] = {"workflow_id": "reviseLoop", "input_data": {"topic": key}}
        return prefect_stack.api.create_flow_run(
            deployment, {"server": {"base_url": server.url}, **work}
        )

    return start


def wait_for_request(stack: PrefectStack, flow_run_id: str) -> None:
    """Wait until the flow run is suspended and its process is gone."""
    stack.wait_for_flow_run(flow_run_id, {"PAUSED"})

    def is_gone() -> bool:
        try:
            stack.flow_run_pid(flow_run_id)
        except ServiceError:
            return True
        return False

    stack.wait_until("the end of the process", is_gone)


@pytest.mark.parametrize("flow", ["suspended", "suspended-flow", "suspended-flow-async"])
def test_each_response_reruns_the_flow_and_executes_the_workflow_once(
    prefect_stack: PrefectStack,
    server: SampleServer,
    key: str,
    ask: Callable[[str], str],
    flow: str,
) -> None:
    api = prefect_stack.api
    flow_run_id = ask(f"{flow}/ask")
    wait_for_request(prefect_stack, flow_run_id)
    assert "'ok' is not one of" in api.resume_flow_run(flow_run_id, {"verdict": "ok"})
    assert api.resume_flow_run(flow_run_id, {"verdict": "revise", "remarks": "More."}) == ""
    wait_for_request(prefect_stack, flow_run_id)
    assert api.resume_flow_run(flow_run_id, {"verdict": "approve"}) == ""
    assert prefect_stack.wait_for_flow_run(flow_run_id) == "COMPLETED"
    assert server.executions(key) == 1
    assert [state["type"] for state in api.states(flow_run_id)].count("RUNNING") == 3
    if flow == "suspended":
        line = "Responses: ['revise', 'approve']"
        prefect_stack.wait_until("all responses", lambda: line in api.log(flow_run_id))


def test_a_run_that_was_cancelled_meanwhile_is_not_started_again(
    prefect_stack: PrefectStack,
    servers: Callable[[Generation], SampleServer],
    key: str,
) -> None:
    server = servers("1")
    work: dict[str, Any] = {"workflow_id": "reviseLoop", "input_data": {"topic": key}}
    flow_run_id = prefect_stack.api.create_flow_run(
        "suspended-flow/ask", {"server": {"base_url": server.url}, "run_id": key, **work}
    )
    wait_for_request(prefect_stack, flow_run_id)
    with MastraClient(server.url) as client:
        client.get_workflow("reviseLoop").get_run(key).cancel()
    assert prefect_stack.api.resume_flow_run(flow_run_id, {"verdict": "approve"}) == ""
    assert prefect_stack.wait_for_flow_run(flow_run_id) == "FAILED"
    assert server.executions(key) == 1


def test_a_paused_flow_run_of_a_deployment_is_cancelled_with_its_run(
    prefect_stack: PrefectStack,
    servers: Callable[[Generation], SampleServer],
    key: str,
) -> None:
    """Its runner ends the process, which cancels the run as in every other interruption."""
    server = servers("1")
    work: dict[str, Any] = {"workflow_id": "reviseLoop", "input_data": {"topic": key}}
    flow_run_id = prefect_stack.api.create_flow_run(
        "suspended-flow-async/ask",
        {"server": {"base_url": server.url}, "run_id": key, "pause": "pause", **work},
    )
    prefect_stack.wait_for_flow_run(flow_run_id, {"PAUSED"})
    prefect_stack.api.cancel_flow_run(flow_run_id)
    assert prefect_stack.wait_for_flow_run(flow_run_id) == "CANCELLED"
    with MastraClient(server.url) as client:
        assert client.get_workflow("reviseLoop").get_run(key).read().status == "canceled"


class Inbox:
    """The example's; its flow for one request has the server from its deployment."""

    def __init__(self, stack: PrefectStack, server: SampleServer, run: Run) -> None:
        self.stack, self.run = stack, run
        self._parameters = {"server": {"base_url": server.url}}
        deployment = stack.api.deployment("refund-request/playground")["id"]
        changes = {"parameters": self._parameters}
        stack.api.request("PATCH", f"/deployments/{deployment}", changes)
        record = run.start_async(input_data={"order": "A-1", "amount": 100, "reason": "broken"})
        (pending_request,) = pending_requests(record)
        self._key = pending_request.key

    def look(self) -> list[str]:
        """Have it look; returns the flow runs that show its form."""
        looking = self.stack.api.create_flow_run("refund-inbox/playground", self._parameters)
        assert self.stack.wait_for_flow_run(looking) == "COMPLETED"
        filters = {"flow_runs": {"name": {"any_": [self._key]}}}
        found = self.stack.api.request("POST", "/flow_runs/filter", filters)
        return [flow_run["id"] for flow_run in found]

    def respond(self, flow_run_id: str) -> None:
        assert self.stack.api.resume_flow_run(flow_run_id, {"approved": True}) == ""
        assert self.stack.wait_for_flow_run(flow_run_id) == "COMPLETED"


@pytest.fixture
def inbox(
    prefect_stack: PrefectStack, server: SampleServer, client: MastraClient, key: str
) -> Inbox:
    """One with a request, of a run that an application has started."""
    return Inbox(prefect_stack, server, client.get_workflow("refundApproval").get_run(key))


def test_inbox_asks_once_for_runs_of_any_client(inbox: Inbox) -> None:
    (asking,) = inbox.look()
    wait_for_request(inbox.stack, asking)
    assert inbox.look() == [asking]
    inbox.respond(asking)
    assert inbox.run.read().result["refunded"] == 100
    assert inbox.look() == [asking]


def test_inbox_request_deleted_or_resolved_elsewhere(inbox: Inbox) -> None:
    (deleted,) = inbox.look()
    wait_for_request(inbox.stack, deleted)
    inbox.stack.api.request("DELETE", f"/flow_runs/{deleted}")
    (asking,) = inbox.look()
    assert asking != deleted
    wait_for_request(inbox.stack, asking)

    inbox.run.resume(resume_data={"approved": False})
    assert inbox.run.wait(timeout=20).result["refunded"] == 0
    assert inbox.look() == [asking]
    assert inbox.stack.api.flow_run(asking)["state_type"] == "PAUSED"
    inbox.respond(asking)
    assert inbox.run.read().result["refunded"] == 0
