"""Runs that their server has lost: noticed, told from slow ones, restarted once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mastra_workflows import MastraClient
from mastra_workflows.errors import ConfigurationError, RunStalledError, WaitTimeoutError
from scripts.sample_server import SERVER_FOLDERS, Generation, SampleServer

STALL: float = 1.0


@pytest.fixture(params=list(SERVER_FOLDERS))
def own_server(request: pytest.FixtureRequest) -> Iterator[SampleServer]:
    """A server that a test may kill."""
    generation: Generation = request.param
    with SampleServer(generation) as server:
        yield server


def test_a_slow_step_is_no_stall(client: MastraClient, key: str) -> None:
    run = client.get_workflow("slowExport").run(key)
    run.ensure_started(input_data={"seconds": 3 * STALL})
    assert run.wait(stall_timeout=STALL, max_poll_interval=0.5).is_success


def test_a_sleeping_run_is_no_stall(client: MastraClient, key: str) -> None:
    run = client.get_workflow("coolDown").run(key)
    run.ensure_started(input_data={"seconds": 3 * STALL})
    assert run.wait(stall_timeout=STALL, max_poll_interval=0.5).is_success


def test_a_suspended_run_is_no_stall(client: MastraClient, key: str) -> None:
    run = client.get_workflow("refundApproval").run(key)
    run.ensure_started(input_data={"order": key, "amount": 1, "reason": "broken"})
    with pytest.raises(WaitTimeoutError, match="until somebody resumes it"):
        run.wait(stall_timeout=STALL, on_suspend="wait", timeout=2 * STALL, max_poll_interval=0.5)


@pytest.mark.parametrize("workflow_id", ["countedCharge", "coolDown"])
def test_a_lost_run_fails_the_wait(own_server: SampleServer, workflow_id: str, key: str) -> None:
    with MastraClient(own_server.url) as client:
        run = client.get_workflow(workflow_id).run(key)
        run.ensure_started(input_data={"key": key, "amount": 1, "seconds": 60})
        own_server.kill()
        own_server.start()
        with pytest.raises(RunStalledError, match="was the server restarted") as caught:
            run.wait(stall_timeout=STALL, max_poll_interval=0.5)
        assert caught.value.run.is_active


def test_a_lost_run_is_restarted_once(
    own_server: SampleServer, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    with MastraClient(own_server.url) as client:
        run = client.get_workflow("countedCharge").run(key)
        run.ensure_started(input_data={"key": key, "amount": 1, "seconds": 2})
        own_server.kill()
        own_server.start()
        record = run.wait(stall_timeout=2.5 * STALL, on_stall="restart", max_poll_interval=0.5)
        assert record.is_success
    assert caplog.text.count("Restarting it") == 1
    assert own_server.executions(key) == 2


def test_waiting_on_is_said(
    own_server: SampleServer, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    with MastraClient(own_server.url) as client:
        run = client.get_workflow("countedCharge").run(key)
        run.ensure_started(input_data={"key": key, "amount": 1, "seconds": 60})
        own_server.kill()
        own_server.start()
        with pytest.raises(WaitTimeoutError):
            run.wait(stall_timeout=STALL, on_stall="wait", timeout=3 * STALL, max_poll_interval=0.5)
    assert "Waiting on" in caplog.text
    assert own_server.executions(key) == 1


@pytest.mark.parametrize("options", [{"stall_timeout": 0}, {"on_stall": "pray"}])
def test_bad_options_are_refused(options: dict[str, object]) -> None:
    with MastraClient("http://127.0.0.1:9") as client, pytest.raises(ConfigurationError):
        client.get_workflow("w").run("r").wait(**options)  # type: ignore[arg-type]
