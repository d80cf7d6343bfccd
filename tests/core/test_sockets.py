"""Test that no connection stays open, with streams left early and with threads on one client."""

from __future__ import annotations

import gc
import os
import socket
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import pytest

from mastra_workflows import EventStream, MastraClient, RetryPolicy, Run
from mastra_workflows.errors import ConfigurationError, MastraError, UnknownRunError
from testkit.sample_server import SampleServer
from tests.core.samples import REFUND, REPORT, suspended_refund
from tests.support.stand_in import StandIn, http

THREADS = 16


def open_sockets() -> dict[str, int]:
    """The sockets of this process, as the kernel knows them, with their descriptors."""
    found = {}
    for entry in Path("/proc/self/fd").iterdir():
        try:
            target = str(entry.readlink())
        except OSError:
            continue  # that of the listing itself
        if target.startswith("socket:"):
            found[target] = int(entry.name)
    return found


def opened_since(before: dict[str, int]) -> dict[str, int]:
    return {name: number for name, number in open_sockets().items() if name not in before}


def leave_at_once(run: Run) -> None:
    with run.stream(input_data=REPORT):
        pass


def leave_early(run: Run) -> None:
    with run.stream(input_data=REPORT) as stream:
        list(islice(stream, 2))


def read_to_the_end(run: Run) -> None:
    list(run.stream(input_data=REPORT))


def close_by_hand(run: Run) -> None:
    stream = run.stream(input_data=REPORT)
    next(stream)
    stream.close()
    stream.close()


def watch_and_leave(run: Run) -> None:
    run.start(input_data=REPORT)
    if not run.read().is_finished:
        with run.watch() as stream:
            next(stream, None)


def read_nothing(run: Run) -> None:
    with pytest.raises(UnknownRunError):
        run.read()


USES: dict[str, Callable[[Run], object]] = {
    "leave_at_once": leave_at_once,
    "leave_early": leave_early,
    "read_to_the_end": read_to_the_end,
    "close_by_hand": close_by_hand,
    "watch_and_leave": watch_and_leave,
    "start": lambda run: run.start(input_data=REPORT),
    "start_async": lambda run: run.start_async(input_data=REPORT),
    "read": read_nothing,
}


@pytest.fixture(autouse=True)
def _unclosed_is_an_error() -> None:
    warnings.simplefilter("error", ResourceWarning)


@pytest.mark.parametrize("use", USES.values(), ids=list(USES))
def test_connections_are_reused_or_closed(
    server: SampleServer, key: str, use: Callable[[Run], object]
) -> None:
    before = open_sockets()
    with MastraClient(server.url) as client:
        for number in range(10):
            use(client.get_workflow("orderReport").get_run(f"{key}-{number}"))
            assert len(opened_since(before)) <= 1
    assert opened_since(before) == {}
    gc.collect()


def test_stream_closed_before_reading(server: SampleServer, key: str) -> None:
    before = open_sockets()
    kept: list[EventStream] = []
    with MastraClient(server.url) as client:
        for number in range(3):
            with (
                client.get_workflow("orderReport")
                .get_run(f"{key}-{number}")
                .stream(input_data=REPORT) as stream
            ):
                kept.append(stream)
            assert len(opened_since(before)) <= 1
            assert list(stream) == []


def test_connections_use_nodelay_and_keepalive(server: SampleServer) -> None:
    before = open_sockets()
    with MastraClient(server.url) as client:
        client.list_workflows()
        [descriptor] = opened_since(before).values()
        with socket.socket(fileno=os.dup(descriptor)) as connection:
            # A POST's body would wait 40 ms for the server to acknowledge the head.
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


def test_resumed_streams(server: SampleServer, key: str) -> None:
    before = open_sockets()
    with MastraClient(server.url) as client:
        for number in range(5):
            run = suspended_refund(client, f"{key}-{number}")
            with run.resume_stream(resume_data={"approved": True}) as stream:
                list(islice(stream, number))
            assert len(opened_since(before)) <= 1
    assert opened_since(before) == {}


@pytest.mark.parametrize(
    "response",
    [
        b"",
        http(500, b'{"error": "oops"}'),
        http(200, b'{"half', Content_Length="100"),
        http(200, b"x" * 5000),
        http(302, Location="https://login.example.com"),
        http(401, b"<html>"),
    ],
)
def test_failures(response: bytes) -> None:
    with StandIn(response) as host:
        before = open_sockets()
        retry = RetryPolicy(seconds=0)
        with MastraClient(host.url, timeout=1, max_body_bytes=1000, retry=retry) as client:
            for _ in range(3):
                with pytest.raises(MastraError):
                    client.get_workflow("w").get_run("r").cancel()
        assert len(opened_since(before)) <= 3  # the host's own ends of them
    gc.collect()


def test_closed_client_raises(server: SampleServer) -> None:
    client = MastraClient(server.url)
    client.list_workflows()
    client.close()
    client.close()
    with pytest.raises(ConfigurationError, match="This client is closed"):
        client.list_workflows()


def test_many_threads_on_one_client(server: SampleServer, key: str) -> None:
    before = open_sockets()
    barrier = threading.Barrier(THREADS)

    with MastraClient(server.url) as client:

        def work(number: int) -> tuple[str, str, int]:
            barrier.wait()
            city = f"Ort {number}"
            report = client.get_workflow("orderReport").get_run(f"{key}-{number}")
            report.start(input_data={"city": city, "limit": number + 1})
            refund = client.get_workflow("refundApproval").get_run(f"{key}-{number}")
            refund.start_async(input_data={**REFUND, "order": city})
            refund.resume(resume_data={"approved": True})
            with (
                client.get_workflow("earlyExit")
                .get_run(f"{key}-{number}")
                .stream(input_data={"stock": number}) as stream
            ):
                events = len(list(stream))
            result = report.wait(timeout=60, poll_interval=0.1).result
            order = refund.wait(timeout=60, poll_interval=0.1).result["order"]
            assert events > 2
            return result["city"], order, result["orders"]

        with ThreadPoolExecutor(THREADS) as pool:
            done = list(pool.map(work, range(THREADS)))
    assert done == [(f"Ort {number}", f"Ort {number}", number + 1) for number in range(THREADS)]
    assert opened_since(before) == {}
