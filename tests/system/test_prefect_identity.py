"""Test that Prefect servers with a common Mastra server share no runs."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from mastra_workflows import MastraClient
from testkit.prefect_stack import PrefectStack
from testkit.processes import free_port
from testkit.sample_server import Generation, SampleServer
from tests.conftest import SERVERS

pytest.importorskip("prefect", reason="Prefect is not installed")

DEPLOYMENT = "shared-charge/nightly"
NAME = "nightly"
FLOWS = Path(__file__).parent / "flows" / "shared.py"


def charge(stack: PrefectStack, server: SampleServer, key: str) -> None:
    """Have the deployment run, in a flow run of always the same name."""
    parameters = {
        "server": {"base_url": server.url},
        "workflow_id": "countedCharge",
        "input_data": {"key": key, "amount": 7},
    }
    flow_run_id = stack.api.create_flow_run(DEPLOYMENT, parameters)
    stack.api.request("PATCH", f"/flow_runs/{flow_run_id}", {"name": NAME})
    state = stack.wait_for_flow_run(flow_run_id)
    assert state == "COMPLETED", stack.api.log(flow_run_id)
    assert stack.api.flow_run(flow_run_id)["name"] == NAME


def runs(server: SampleServer, key: str) -> int:
    """How many runs the server has of this work."""
    with MastraClient(server.url) as client:
        records = client.get_workflow("countedCharge").runs()
        return sum(isinstance(it.payload, dict) and it.payload["key"] == key for it in records)


def test_each_prefect_server_executes_its_own_runs(
    servers: Callable[[Generation], SampleServer],
) -> None:
    """Of equal deployments, parameters and flow run names; also one whose database is reset."""
    port = free_port()
    work = {uuid.uuid4().hex: servers(generation) for generation in SERVERS}
    with PrefectStack(FLOWS, port=port) as production, PrefectStack(FLOWS) as staging:
        for key, server in work.items():
            for stack in (production, staging):
                charge(stack, server, key)
            assert runs(server, key) == server.executions(key) == 2
    with PrefectStack(FLOWS, port=port) as reset:
        for key, server in work.items():
            charge(reset, server, key)
            assert runs(server, key) == server.executions(key) == 3
