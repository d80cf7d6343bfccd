"""Test waiting on the events of real servers: the number of requests, and the polling fallback."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from tenacity import Retrying, retry_if_result, wait_fixed

from mastra_workflows import AsyncMastraClient, Event, MastraClient
from mastra_workflows._options import WaitArguments
from mastra_workflows._progress import StepProgress
from mastra_workflows.errors import ServerLostError
from testkit.sample_server import Generation, SampleServer
from tests.core.samples import charge, marks, start_without_stream
from tests.support.fault_proxy import FaultProxy
from tests.support.faults import CutResponse, Fault, Hold, Respond


def requests_of(proxy: FaultProxy, key: str) -> list[str]:
    """The requests about one run, as short texts."""
    return [
        f"{seen.method} {seen.path.rsplit('/', 1)[1].replace(key, 'run')}"
        for seen in proxy.seen
        if key in f"{seen.path}?{seen.query}"
    ]


@pytest.mark.smoke
@pytest.mark.version_specific
async def test_four_requests_for_a_run_of_any_length(
    proxy: FaultProxy, server: SampleServer, key: str
) -> None:
    async with AsyncMastraClient(proxy.url) as client:
        run = client.get_workflow("countedCharge").get_run(key)
        await run.start(input_data=charge(key, seconds=3))
        assert (await run.wait(poll_interval=0.5)).is_success
    if server.generation == "1":
        assert requests_of(proxy, key) == ["GET run", "POST stream", "POST observe", "GET run"]
    else:  # a stream that says nothing shortens a wait, and that is all
        assert proxy.count("GET", "/watch$") <= proxy.count("GET", "/execution-result$")


@pytest.mark.version_specific
def test_four_requests_with_the_async_client(
    proxied: MastraClient, proxy: FaultProxy, server: SampleServer, key: str
) -> None:
    run = proxied.get_workflow("countedCharge").get_run(key)
    run.start(input_data=charge(key, seconds=3))
    assert run.wait(poll_interval=0.5).is_success
    if server.generation == "1":
        assert requests_of(proxy, key) == ["GET run", "POST stream", "POST observe", "GET run"]


@pytest.mark.version_specific
async def test_four_requests_for_each_run_of_a_burst(
    proxy: FaultProxy, server: SampleServer, key: str
) -> None:
    """A server that is busy with all the streams at once is asked once whether it is only busy."""
    if server.generation == "0":
        pytest.skip("a stream of 0.x is silent until the next event")
    number = 20
    spoken = 0
    all_spoke = asyncio.Event()

    def hear(event: Event) -> None:
        nonlocal spoken
        spoken += event.type == "workflow-step-start"
        if spoken == number - 1:
            all_spoke.set()

    async with AsyncMastraClient(proxy.url) as client:
        runs = [client.get_workflow("slowExport").get_run(f"{key}-{n}") for n in range(number)]
        await asyncio.gather(*(run.start(input_data={"seconds": 3}) for run in runs))
        proxy.clear()
        streams, looks = Hold(), Hold()
        proxy.on("POST", "/observe$", streams)
        proxy.on("GET", "/runs/", looks)
        waits = asyncio.gather(*(run.wait(poll_interval=0.2, on_event=hear) for run in runs))
        assert await asyncio.to_thread(looks.held.wait, 20)
        streams.release()
        await asyncio.wait_for(all_spoke.wait(), 20)
        looks.release()
        assert all(run.is_success for run in await waits)
    # The one that looked has dropped its own stream for that.
    assert proxy.count("POST", "/observe$") == number + 1
    assert proxy.count("GET", "/runs/") == number + 1


@pytest.mark.version_specific
def test_each_step_is_reported_as_it_happens(
    client: MastraClient, server: SampleServer, key: str
) -> None:
    run = client.get_workflow("coolDown").get_run(key)
    run.start(input_data={"seconds": 1})
    events: list[Event] = []
    run.wait(on_event=events.append)
    told = [mark for mark in marks(events) if "sleep" not in mark]
    if server.generation == "1":
        assert told == [
            "start", "start first-call", "result first-call", "start second-call",
            "result second-call", "finish",
        ]  # fmt: skip
    else:
        assert told[-1] == "watch"


def test_late_subscriber_receives_each_step_once(
    client: MastraClient, server: SampleServer, key: str
) -> None:
    client.get_workflow("coolDown").get_run(key).start(input_data={"seconds": 2})
    lines: list[str] = []
    progress = StepProgress(lines.append)
    # A client that shares nothing with the first one, like that of another process.
    with MastraClient(server.url, headers={"x-process": key}) as late:
        run = late.get_workflow("coolDown").get_run(key)
        Retrying(wait=wait_fixed(0.05), retry=retry_if_result(lambda n: n < 2))(
            lambda: len(run.read().steps)
        )
        run.wait(on_record=progress.on_record, on_event=progress.on_event)
    told = [line.split("after")[0].split("at")[0] for line in lines if "sleep" not in line]
    assert [line.strip() for line in told] == [
        "Step 'first-call' started", "Step 'first-call' succeeded",
        "Step 'second-call' started", "Step 'second-call' succeeded",
    ]  # fmt: skip


@pytest.mark.version_specific
def test_step_retries_of_the_server_send_no_events(client: MastraClient, key: str) -> None:
    """Neither generation tells of a step's own ``retries``; were it to, it should be logged."""
    run = client.get_workflow("retriedImport").get_run(key)
    events = [event for event in run.stream(input_data={"key": key}) if event.type != "watch"]
    assert [mark for mark in marks(events) if "store-rows" in mark] == [
        "start store-rows", "result store-rows",
    ]  # fmt: skip
    record = run.read()
    assert record.result == {"stored": 3, "attempts": 2}
    assert all(step.error is None for step in record.steps)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Hold("response"), id="held back by a proxy"),
        pytest.param(CutResponse(0), id="cut"),
        pytest.param(Respond(404), id="not there"),
        pytest.param(Respond(502), id="refused by a gateway"),
    ],
)
def test_without_a_stream_the_run_is_polled(
    proxied: MastraClient,
    proxy: FaultProxy,
    key: str,
    fault: Fault,
    caplog: pytest.LogCaptureFixture,
) -> None:
    proxy.on("", "/(observe|watch)$", fault)
    run = proxied.get_workflow("countedCharge").get_run(key)
    run.start(input_data=charge(key, seconds=2))
    with caplog.at_level(logging.INFO):
        assert run.wait(poll_interval=0.1, max_poll_interval=0.2).is_success
    assert proxy.count("GET", "/(execution-result|runs/[^/]+)$") > 4
    if isinstance(fault, Hold):
        fault.drop()
    else:
        assert "no events from the server" in caplog.text


def test_run_started_without_a_stream(client: MastraClient, server: SampleServer, key: str) -> None:
    run = client.get_workflow("countedCharge").get_run(key)
    start_without_stream(server, run, charge(key, seconds=1))
    assert run.wait(poll_interval=0.1).result == {"charged": 5}


@pytest.mark.parametrize(
    ("workflow_id", "seconds"), [("slowExport", 60), ("stubbornExport", 2), ("coolDown", 2)]
)
def test_run_cancelled_by_another_client_ends_the_wait(
    client: MastraClient, key: str, workflow_id: str, seconds: int
) -> None:
    run = client.get_workflow(workflow_id).get_run(key)
    run.start(input_data={"seconds": seconds})
    canceller = threading.Timer(0.5, run.cancel)
    canceller.start()
    assert run.wait(timeout=30, max_poll_interval=1).status == "canceled"
    canceller.join()


@contextlib.contextmanager
def hanging_server(server: SampleServer) -> Iterator[Callable[[Event], None]]:
    """Stops the server's process at an event; its connections stay open. It is soon given up."""
    began = time.monotonic()
    try:
        with pytest.raises(ServerLostError):
            yield lambda _: os.kill(server.pid, signal.SIGSTOP)
        assert time.monotonic() - began < 15
    finally:
        os.kill(server.pid, signal.SIGCONT)


def test_hanging_server_is_detected(
    servers: Callable[[Generation], SampleServer], key: str
) -> None:
    server = servers("1")
    with MastraClient(server.url, timeout=0.5) as client:
        run = client.get_workflow("coolDown").get_run(key)
        run.start(input_data={"seconds": 1})
        with hanging_server(server) as hang:
            run.wait(on_event=hang, outage_timeout=1, stall_timeout=None, timeout=20)
        assert run.wait(timeout=30).is_success


async def test_hanging_server_is_detected_by_the_async_client(
    servers: Callable[[Generation], SampleServer], key: str
) -> None:
    server = servers("1")
    async with AsyncMastraClient(server.url, timeout=0.5) as client:
        run = client.get_workflow("coolDown").get_run(key)
        await run.start(input_data={"seconds": 1})
        with hanging_server(server) as hang:
            await run.wait(on_event=hang, outage_timeout=1, stall_timeout=None, timeout=20)
        assert (await run.wait(timeout=30)).is_success


SPEAKS = {"steps": 1, "chunks": 10, "pause": 250}
LOOKS_OFTEN = WaitArguments(poll_interval=0.1, max_poll_interval=0.1, outage_timeout=1)


def test_active_stream_outlasts_the_poll_interval(
    servers: Callable[[Generation], SampleServer], key: str
) -> None:
    with FaultProxy(servers("1").url) as proxy, MastraClient(proxy.url) as client:
        run = client.get_workflow("chattyAgent").get_run(key)
        run.start(input_data=SPEAKS)
        assert run.wait(**LOOKS_OFTEN).is_success
        assert proxy.count("POST", "/observe$") == 1


async def test_active_stream_of_the_async_client(
    servers: Callable[[Generation], SampleServer], key: str
) -> None:
    with FaultProxy(servers("1").url) as proxy:
        async with AsyncMastraClient(proxy.url) as client:
            run = client.get_workflow("chattyAgent").get_run(key)
            await run.start(input_data=SPEAKS)
            assert (await run.wait(**LOOKS_OFTEN)).is_success
        assert proxy.count("POST", "/observe$") == 1


def test_run_resumed_by_another_client_ends_the_wait(client: MastraClient, key: str) -> None:
    run = client.get_workflow("refundApproval").get_run(key)
    run.start(input_data={"order": "A-1", "amount": 5, "reason": "broken"})
    assert run.wait().is_suspended
    run.resume(resume_data={"approved": True})
    assert run.wait().is_success


async def test_clients_of_one_server_share_state_and_connections(
    proxy: FaultProxy, key: str
) -> None:
    async def one(number: int) -> None:
        async with AsyncMastraClient(proxy.url) as client:
            run = client.get_workflow("slowExport").get_run(f"{key}-{number}")
            await run.start(input_data={"seconds": 0.5})
            assert (await run.wait()).is_success

    async with AsyncMastraClient(proxy.url) as first:
        await first.get_workflow("slowExport").details()
        await first.server_generation()
        await asyncio.gather(*(one(number) for number in range(20)))
    assert proxy.count("GET", "/packages$") == 1
    assert proxy.count("GET", "/slowExport$") == 1
