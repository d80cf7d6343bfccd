"""Test runs that their server has lost: detected, distinguished from slow runs, restarted once."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator

import pytest

from mastra_workflows import AsyncMastraClient, MastraClient
from mastra_workflows._procedures import stalling
from mastra_workflows.errors import ConfigurationError, RunStalledError, WaitTimeoutError
from testkit.sample_server import Generation, SampleServer
from tests.conftest import EVERY_SERVER
from tests.core.samples import start_without_stream
from tests.support.fault_proxy import FaultProxy

STALL: float = 1.0


@pytest.fixture(params=EVERY_SERVER)
def own_server(request: pytest.FixtureRequest) -> Iterator[SampleServer]:
    """A server that a test may kill."""
    generation: Generation = request.param
    with SampleServer(generation) as server:
        yield server


def test_slow_step_is_not_a_stall(client: MastraClient, key: str) -> None:
    run = client.get_workflow("slowExport").get_run(key)
    run.start(input_data={"seconds": 3 * STALL})
    assert run.wait(stall_timeout=STALL, max_poll_interval=0.5).is_success


def test_sleeping_run_is_not_a_stall(client: MastraClient, key: str) -> None:
    run = client.get_workflow("coolDown").get_run(key)
    run.start(input_data={"seconds": 3 * STALL})
    assert run.wait(stall_timeout=STALL, max_poll_interval=0.5).is_success


def test_suspended_run_is_not_a_stall(client: MastraClient, key: str) -> None:
    run = client.get_workflow("refundApproval").get_run(key)
    run.start(input_data={"order": key, "amount": 1, "reason": "broken"})
    with pytest.raises(WaitTimeoutError, match="until it is resumed"):
        run.wait(stall_timeout=STALL, on_suspend="wait", timeout=2 * STALL, max_poll_interval=0.5)


@pytest.mark.parametrize("workflow_id", ["countedCharge", "coolDown"])
def test_a_lost_run_fails_the_wait(own_server: SampleServer, workflow_id: str, key: str) -> None:
    with MastraClient(own_server.url) as client:
        run = client.get_workflow(workflow_id).get_run(key)
        run.start(input_data={"key": key, "amount": 1, "seconds": 60})
        own_server.kill()
        own_server.start()
        with pytest.raises(RunStalledError) as caught:
            run.wait(stall_timeout=STALL, max_poll_interval=0.5)
        assert caught.value.run.is_active


def test_a_lost_run_is_restarted_once(
    own_server: SampleServer, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    with MastraClient(own_server.url) as client:
        run = client.get_workflow("countedCharge").get_run(key)
        run.start(input_data={"key": key, "amount": 1, "seconds": 2})
        own_server.kill()
        own_server.start()
        record = run.wait(stall_timeout=2.5 * STALL, on_stall="restart", max_poll_interval=0.5)
        assert record.is_success
    assert caplog.text.count("Restarting it") == 1
    assert own_server.executions(key) == 2


def test_on_stall_wait_is_logged(
    own_server: SampleServer, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    with MastraClient(own_server.url) as client:
        run = client.get_workflow("countedCharge").get_run(key)
        run.start(input_data={"key": key, "amount": 1, "seconds": 60})
        own_server.kill()
        own_server.start()
        with pytest.raises(WaitTimeoutError):
            run.wait(stall_timeout=STALL, on_stall="wait", timeout=3 * STALL, max_poll_interval=0.5)
    assert "Continuing to wait" in caplog.text
    assert own_server.executions(key) == 1


@pytest.mark.parametrize("options", [{"stall_timeout": 0}, {"on_stall": "pray"}])
def test_invalid_options_are_rejected(options: dict[str, object]) -> None:
    with MastraClient("http://127.0.0.1:9") as client, pytest.raises(ConfigurationError):
        client.get_workflow("w").get_run("r").wait(**options)  # type: ignore[arg-type]


class Absence:
    """Kills a server once its run was seen to execute for a while, and starts it again."""

    def __init__(self, server: SampleServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(stalling, "LOST_PAUSE", 0.1)
        monkeypatch.setattr(stalling, "OBSERVE_SECONDS", 0.3)
        monkeypatch.setattr(stalling, "LIVENESS_AFTER", 0.0)
        self._server = server
        self._thread = threading.Timer(3.0, self._restart)

    def _restart(self) -> None:
        self._server.kill()
        self._server.start()

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._thread.join()


def test_lost_run_is_detected_when_its_server_is_back(
    own_server: SampleServer,
    key: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with MastraClient(own_server.url) as client:
        run = client.get_workflow("countedCharge").get_run(key)
        run.start(input_data={"key": key, "amount": 1, "seconds": 600})
        with (
            Absence(own_server, monkeypatch),
            pytest.raises(RunStalledError, match="15 probes"),
        ):
            run.wait(timeout=120, max_poll_interval=1)
    # A request that met the process while it ended is reset; each later one is refused.
    (first,) = (text for text in caplog.messages if text.startswith("Mastra server unavailable"))
    assert re.search("Connection (refused|reset)", first)
    says_lost = "If its process has ended, the runs that it was executing are lost" in first
    assert says_lost == ("Connection refused" in first)


async def test_async_client_detects_and_restarts_a_lost_run(
    own_server: SampleServer, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with AsyncMastraClient(own_server.url) as client:
        run = client.get_workflow("countedCharge").get_run(key)
        await run.start(input_data={"key": key, "amount": 1, "seconds": 8})
        with Absence(own_server, monkeypatch):
            record = await run.wait(timeout=120, max_poll_interval=1, on_stall="restart")
        assert record.is_success
    assert own_server.executions(key) == 2


@pytest.mark.parametrize("has_stream", [True, False])
def test_a_run_is_not_lost_because_its_server_was_unreachable(
    server: SampleServer, key: str, monkeypatch: pytest.MonkeyPatch, has_stream: bool
) -> None:
    """A proxy restarts in front of the server, which has no events of a run without a stream."""
    for name, value in {"LOST_PAUSE": 0.1, "OBSERVE_SECONDS": 0.3, "LIVENESS_AFTER": 0.0}.items():
        monkeypatch.setattr(stalling, name, value)
    with FaultProxy(server.url) as proxy, MastraClient(proxy.url) as client:
        run = client.get_workflow("countedCharge").get_run(key)
        data = {"key": key, "amount": 1, "seconds": 12}
        if has_stream:
            run.start(input_data=data)
        else:
            start_without_stream(server, run, data)
        timer = threading.Timer(2.0, lambda: proxy.refuse(1.0))
        timer.start()
        record = run.wait(timeout=60, max_poll_interval=0.5, on_stall="restart")
        timer.join()
    assert record.is_success
    assert server.executions(key) == 1
