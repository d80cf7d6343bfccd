"""Test a proxy that buffers streams, as nginx does by default, and a slow server."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from mastra_workflows import AsyncMastraClient, MastraClient
from testkit.processes import ServiceError
from testkit.sample_server import Generation, SampleServer
from tests.conftest import EVERY_SERVER, WAITING_WORKFLOWS
from tests.support.fault_proxy import FaultProxy
from tests.support.faults import Delay
from tests.support.nginx import GZIP, Nginx, ensure_nginx

SECONDS = 20.0
"""For how long the run executes. A stream that was buffered took as long."""


@pytest.fixture(scope="module", params=EVERY_SERVER)
def server(request: pytest.FixtureRequest) -> Iterator[SampleServer]:
    """A server of each generation with `WAITING_WORKFLOWS`."""
    generation: Generation = request.param
    with SampleServer(generation, workflows=WAITING_WORKFLOWS) as server:
        yield server


@pytest.fixture(scope="module")
def buffered(server: SampleServer) -> Iterator[str]:
    """The address of an nginx that compresses, and so holds back what a stream says."""
    try:
        ensure_nginx()
    except ServiceError as error:
        pytest.skip(str(error))
    with Nginx(server.url, settings=GZIP) as nginx:
        yield nginx.url


def test_start_does_not_wait_for_a_buffered_stream(
    buffered: str, server: SampleServer, key: str
) -> None:
    with MastraClient(buffered) as client:
        run = client.get_workflow("countedCharge").get_run(key)
        began = time.monotonic()
        run.start(input_data={"key": key, "amount": 5, "seconds": SECONDS})
        assert time.monotonic() - began < SECONDS
        assert run.read().is_active
        run.cancel()
    assert server.executions(key) == 1


async def test_async_start_does_not_wait_for_a_buffered_stream(
    buffered: str, server: SampleServer, key: str
) -> None:
    async with AsyncMastraClient(buffered) as client:
        run = client.get_workflow("countedCharge").get_run(key)
        began = time.monotonic()
        await run.start(input_data={"key": key, "amount": 5, "seconds": SECONDS})
        assert time.monotonic() - began < SECONDS
        assert (await run.read()).is_active
        await run.cancel()
    assert server.executions(key) == 1


def test_resume_does_not_wait_for_a_buffered_stream(buffered: str, key: str) -> None:
    with MastraClient(buffered) as client:
        run = client.get_workflow("approvedExport").get_run(key)
        run.start(input_data={"seconds": SECONDS})
        assert run.wait(timeout=60).is_suspended
        began = time.monotonic()
        run.resume(resume_data={"approved": True})
        assert time.monotonic() - began < SECONDS
        run.cancel()


def test_end_of_a_run_behind_a_buffering_proxy_is_detected(buffered: str, key: str) -> None:
    with MastraClient(buffered) as client:
        run = client.get_workflow("slowExport").get_run(key)
        run.start(input_data={"seconds": 4})
        assert run.wait(timeout=60, max_poll_interval=1).is_success


def test_server_that_responds_slowly_to_a_start(server: SampleServer, key: str) -> None:
    """The request is given up before it is even read; the server executes it all the same."""
    wakes = threading.Timer(4.0, lambda: os.kill(server.pid, signal.SIGCONT))

    def freeze() -> bool:
        os.kill(server.pid, signal.SIGSTOP)
        wakes.start()
        return True

    with FaultProxy(server.url) as proxy, MastraClient(proxy.url) as client:
        proxy.on("POST", "/stream$", Delay(0), when=freeze)
        run = client.get_workflow("countedCharge").get_run(key)
        run.start(input_data={"key": key, "amount": 5, "seconds": 0})
        wakes.join()
        assert run.wait(timeout=60).is_success
        assert proxy.count("POST", "/stream$") == 1
    assert server.executions(key) == 1
