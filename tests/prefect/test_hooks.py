"""What is left of a process that was killed, and the hook that finds it."""

from __future__ import annotations

import re
import signal
from typing import Any
from uuid import UUID

import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient

from mastra_workflows import MastraClient
from prefect_mastra import MastraServer, cancel_mastra_runs, run_workflow
from tests.prefect.test_interruption import interrupt


@flow
def anything() -> None:
    pass


def hook(api: SyncPrefectClient, output: str) -> None:
    """Call the hook as Prefect's runner does, after the process is gone."""
    (flow_run_id,) = set(re.findall(r"/flow-run/([0-9a-f-]{36})", output))
    flow_run: Any = api.read_flow_run(UUID(flow_run_id))
    cancel_mastra_runs(anything, flow_run, flow_run.state)


@pytest.mark.parametrize(("then", "status"), [("cancel", "canceled"), ("leave", "running")])
def test_a_killed_process_leaves_a_run_that_the_hook_finds(
    mastra: MastraServer,
    client: MastraClient,
    api: SyncPrefectClient,
    key: str,
    then: str,
    status: str,
) -> None:
    code, output = interrupt(mastra, "tasks", "slowExport", key, then, signal.SIGKILL)
    assert code == -signal.SIGKILL
    run = client.get_workflow("slowExport").run(key)
    assert run.read().is_active
    hook(api, output)
    assert run.read().status == status
    run.cancel()


def test_the_server_is_found_by_its_block_and_no_secret_is_noted(
    mastra_1: MastraServer, api: SyncPrefectClient, key: str
) -> None:
    mastra_1.token = "s3cret-of-the-tests"  # type: ignore[assignment]
    mastra_1.save(name := f"hooked-{key[-12:]}")
    server: Any = MastraServer.load(name)
    hooked = run_workflow.with_options(on_crashed=[cancel_mastra_runs])
    state = hooked(server, "orderReport", {"city": "Oslo"}, run_id=key, return_state=True)
    assert state.state_details.flow_run_id is not None
    flow_run: Any = api.read_flow_run(state.state_details.flow_run_id)
    (note,) = (value for name, value in flow_run.labels.items() if name.startswith("mastra.run."))
    assert str(server._block_document_id) in note
    assert "s3cret" not in str(flow_run.labels)
    cancel_mastra_runs(anything, flow_run, flow_run.state)  # the run is over: left alone
    with server.get_client() as client:
        assert client.get_workflow("orderReport").run(key).read().is_success
