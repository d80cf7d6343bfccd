"""Test steps that return a BigInt, which JSON cannot represent: 1.x stores digits, 0.x nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mastra_workflows import MastraClient
from mastra_workflows.errors import ApiError, RunStalledError, ServerLostError
from testkit.sample_server import Generation, SampleServer
from tests.conftest import EVERY_SERVER

WORKFLOWS = Path(__file__).parents[1] / "support" / "bigint_workflows.mjs"
KEYS = ["bigResult", "bigStep"]


@pytest.fixture(scope="module", params=EVERY_SERVER)
def bigint_server(request: pytest.FixtureRequest) -> Iterator[SampleServer]:
    generation: Generation = request.param
    with SampleServer(generation, workflows=WORKFLOWS) as server:
        yield server


@pytest.fixture
def bigint_client(bigint_server: SampleServer) -> Iterator[MastraClient]:
    with MastraClient(bigint_server.url) as client:
        yield client


@pytest.mark.version_specific
@pytest.mark.parametrize("workflow_id", KEYS)
def test_run_with_a_bigint_executes_once_and_finishes(
    bigint_server: SampleServer, bigint_client: MastraClient, key: str, workflow_id: str
) -> None:
    workflow = bigint_client.get_workflow(workflow_id)
    for _ in range(2):  # a task and its retry
        workflow.attach_or_start(key, input_data={"key": key})
        run = workflow.get_run(key)
        if bigint_server.generation == "1":
            record = run.wait(timeout=60).raise_for_status()
            assert record.result == (
                {"total": "1"} if workflow_id == "bigResult" else {"done": True}
            )
        else:
            with pytest.raises(RunStalledError, match="such as a BigInt"):
                run.wait(timeout=120, stall_timeout=2)
    assert bigint_server.executions(key) == 1


@pytest.mark.version_specific
@pytest.mark.parametrize("workflow_id", KEYS)
def test_bigint_in_the_response_of_a_start(
    bigint_server: SampleServer, bigint_client: MastraClient, key: str, workflow_id: str
) -> None:
    """Mastra 1.x fails to write its response and sends 500, but the run has succeeded."""
    run = bigint_client.get_workflow(workflow_id).get_run(key)
    if bigint_server.generation == "1":
        assert run.start_async(input_data={"key": key}).is_success
    else:
        with pytest.raises(ApiError, match="500"):
            run.start_async(input_data={"key": key})
    assert bigint_server.executions(key) == 1


@pytest.mark.version_specific
@pytest.mark.parametrize("workflow_id", KEYS)
def test_a_restart_executes_a_step_with_a_bigint_again(
    bigint_server: SampleServer, bigint_client: MastraClient, key: str, workflow_id: str
) -> None:
    """A known limit of 0.x: see "Lost runs" in docs/reliability.md."""
    if bigint_server.generation == "1":
        pytest.skip("1.x can store a BigInt")
    run = bigint_client.get_workflow(workflow_id).get_run(key)
    run.start(input_data={"key": key})
    with pytest.raises((RunStalledError, ServerLostError)):
        run.wait(timeout=60, stall_timeout=2, on_stall="restart", outage_timeout=3)
    assert bigint_server.executions(key) == 2
