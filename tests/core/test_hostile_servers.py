"""Test servers that never end a response or do not send HTTP: time and memory stay bounded."""

from __future__ import annotations

import asyncio
import gzip
import time
import traceback
import zlib
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
import requests

from mastra_workflows import (
    AsyncMastraClient,
    MastraClient,
    RetryPolicy,
    _async_transport,
    _transport,
)
from mastra_workflows._limits import pieces
from mastra_workflows._settings import SettingsArguments
from mastra_workflows._stream_reader import MOST_PIECES, StreamReader
from mastra_workflows.errors import (
    ConnectionFailedError,
    MastraError,
    RunNotStartedError,
    WaitTimeoutError,
)
from tests.support.stand_in import Drip, Endless, Hold, RawResponse, StandIn, chunked, http

TIMEOUT = 0.3
WHOLE = 3  # in place of WHOLE_RESPONSE
MOST = TIMEOUT * WHOLE + 20  # this machine may be busy
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
PAUSE = 0.05

NEVER_ENDING: dict[str, RawResponse] = {
    "head": Endless(b"HTTP/1.1 200 O", b"K", PAUSE),
    "header": Endless(OK + b"X-A: ", b"a", PAUSE),
    "headers": Endless(OK, b"X-A: a\r\n", PAUSE),
    "continues": Endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n", PAUSE),
    "continues_fast": Endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    "body": Endless(OK + b"Content-Length: 9000\r\n\r\n", b" ", PAUSE),
    "body_without_length": Endless(OK + b"\r\n", b" ", PAUSE),
    "chunks": Endless(CHUNKED, b"1\r\n \r\n", PAUSE),
    "chunk_extension": Endless(CHUNKED + b"1;", b"a", PAUSE),
    "trailers": Endless(CHUNKED + b"0\r\n", b"X-A: a\r\n", PAUSE),
    "trailers_fast": Endless(CHUNKED + b"0\r\n", b"X-A: a\r\n" * 1000),
}
EVERY_ONE = pytest.mark.parametrize("response", NEVER_ENDING.values(), ids=list(NEVER_ENDING))


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (_transport, _async_transport):
        monkeypatch.setattr(module, "WHOLE_RESPONSE", WHOLE)


def packages_sync(url: str) -> object:
    with MastraClient(
        url, timeout=TIMEOUT, connect_timeout=1, retry=RetryPolicy(seconds=0)
    ) as client:
        return client.server_generation()


def packages_async(url: str) -> object:
    async def ask() -> object:
        async with AsyncMastraClient(
            url, timeout=TIMEOUT, connect_timeout=1, retry=RetryPolicy(seconds=0)
        ) as client:
            return await client.server_generation()

    return asyncio.run(ask())


BOTH = pytest.mark.parametrize("ask", [packages_sync, packages_async], ids=["sync", "async"])


@BOTH
@EVERY_ONE
def test_endless_response(response: RawResponse, ask: Callable[[str], object]) -> None:
    with StandIn(response) as host:
        began = time.monotonic()
        with pytest.raises(MastraError):
            ask(host.url)
        assert time.monotonic() - began < MOST


@BOTH
def test_slow_response_with_progress_is_accepted(ask: Callable[[str], object]) -> None:
    content = http(200, b'{"packages": []}')
    with StandIn(Drip(content, 0.2 * TIMEOUT / len(content) * WHOLE)) as host:
        assert ask(host.url)


MALFORMED = {
    "huge_chunk": CHUNKED + b"ffffffffffff\r\n{}",
    "huger_chunk": CHUNKED + b"f" * 200 + b"\r\n{}",
    "negative_chunk": CHUNKED + b"-5\r\n{}",
    "no_number": CHUNKED + b"xyz\r\n{}",
    "no_chunk_end": CHUNKED + b"2\r\n{}zz",
    "negative_length": OK + b"Content-Length: -5\r\n\r\n{}",
    "two_lengths": OK + b"Content-Length: 5\r\nContent-Length: 2\r\n\r\n{}",
    "no_gzip": http(200, b"{}", Content_Encoding="gzip"),
    "half_gzip": http(200, gzip.compress(b'{"packages": []}')[:-12], Content_Encoding="gzip"),
}


@BOTH
@pytest.mark.parametrize("response", MALFORMED.values(), ids=list(MALFORMED))
def test_malformed_framing(response: bytes, ask: Callable[[str], object]) -> None:
    with StandIn(response) as host, pytest.raises(MastraError):
        ask(host.url)


START = b'{"type": "workflow-start", "runId": "r", "payload": {}}\x1e'
STEP = b'{"type": "workflow-step-start", "runId": "r", "payload": {"id": "a", "startedAt": 1}}\x1e'
EVENTS = START + STEP  # a client gives the start out with what follows it
RECORD = http(200, b'{"status": "running", "steps": {}}', Connection="close")
NO_RECORD = http(404, b'{"error": "Workflow run with ID r not found"}', Connection="close")


def _gzipped(content: bytes) -> bytes:
    packer = zlib.compressobj(wbits=31)
    return packer.compress(content) + packer.flush(zlib.Z_SYNC_FLUSH)


STREAMS: dict[str, RawResponse] = {
    "chunked": Hold(chunked(EVENTS, end=False)),
    "until_it_closes": Hold(OK + b"\r\n" + EVENTS),
    "with_a_length": Hold(OK + b"Content-Length: 100000\r\n\r\n" + EVENTS),
    "gzip_chunked": Hold(
        OK
        + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
        + chunked(_gzipped(EVENTS), end=False).partition(b"\r\n\r\n")[2]
    ),
    "gzip": Hold(OK + b"Content-Encoding: gzip\r\n\r\n" + _gzipped(EVENTS)),
    "one_big_chunk": Hold(CHUNKED + b"fffff\r\n" + EVENTS),
}


def server_of(stream: RawResponse, record: bytes = RECORD) -> Callable[[str], RawResponse]:
    def respond(line: str) -> RawResponse:
        if "/system/packages" in line:
            packages = b'{"packages": [{"name": "@mastra/core", "version": "1.71.0"}]}'
            return http(200, packages, Connection="close")
        if "/observe" in line or "/stream" in line:
            return stream
        if "/create-run" in line:
            return http(200, b'{"runId": "r"}', Connection="close")
        return record

    return respond


@pytest.mark.parametrize("stream", STREAMS.values(), ids=list(STREAMS))
def test_stream_delivers_received_events_before_an_error(stream: RawResponse) -> None:
    with (
        StandIn(stream) as host,
        requests.get(host.url, stream=True, timeout=10) as response,
    ):
        assert next(pieces(response)) == EVENTS


def watch_sync(url: str, timeout: float = 30) -> list[str]:
    with (
        MastraClient(url, timeout=timeout, retry=RetryPolicy(seconds=0)) as client,
        client.get_workflow("w").get_run("r").watch() as events,
    ):
        return [next(events).type, next(events).type]


def stream_sync(url: str, timeout: float = 30) -> list[str]:
    with (
        MastraClient(
            url, timeout=timeout, retry=RetryPolicy(seconds=0), check_data=False
        ) as client,
        client.get_workflow("w").get_run("r").stream(input_data={}) as events,
    ):
        return [next(events).type, next(events).type]


def watch_async(url: str, timeout: float = 30) -> list[str]:
    async def watch() -> list[str]:
        async with (
            asyncio.timeout(20),
            AsyncMastraClient(url, timeout=timeout, retry=RetryPolicy(seconds=0)) as client,
            await client.get_workflow("w").get_run("r").watch() as events,
        ):
            return [(await anext(events)).type, (await anext(events)).type]

    return asyncio.run(watch())


def stream_async(url: str, timeout: float = 30) -> list[str]:
    async def stream() -> list[str]:
        async with (
            asyncio.timeout(20),
            AsyncMastraClient(
                url, timeout=timeout, retry=RetryPolicy(seconds=0), check_data=False
            ) as client,
            await client.get_workflow("w").get_run("r").stream(input_data={}) as events,
        ):
            return [(await anext(events)).type, (await anext(events)).type]

    return asyncio.run(stream())


EACH_STREAM = pytest.mark.parametrize(
    ("record", "listen"),
    [
        (RECORD, watch_sync),
        (RECORD, watch_async),
        (NO_RECORD, stream_sync),
        (NO_RECORD, stream_async),
    ],
    ids=["watch_sync", "watch_async", "stream_sync", "stream_async"],
)


@EACH_STREAM
@pytest.mark.parametrize("stream", STREAMS.values(), ids=list(STREAMS))
def test_client_delivers_received_events_before_an_error(
    stream: RawResponse, record: bytes, listen: Callable[[str], list[str]]
) -> None:
    with StandIn(server_of(stream, record)) as host:
        assert listen(host.url) == ["workflow-start", "workflow-step-start"]


HEADS: dict[str, RawResponse] = {
    "silence": Hold(),
    **{name: NEVER_ENDING[name] for name in ("header", "headers", "continues", "continues_fast")},
}


@EACH_STREAM
@pytest.mark.parametrize("stream", HEADS.values(), ids=list(HEADS))
def test_endless_response_headers(
    stream: RawResponse, record: bytes, listen: Callable[..., list[str]]
) -> None:
    with StandIn(server_of(stream, record)) as host:
        began = time.monotonic()
        with pytest.raises(ConnectionFailedError):
            listen(host.url, timeout=TIMEOUT)
        assert time.monotonic() - began < MOST
        assert "/stream" in host.requests[-1] or "/observe" in host.requests[-1]


@EACH_STREAM
def test_stream_outlives_the_header_timeout(
    record: bytes, listen: Callable[..., list[str]]
) -> None:
    long = STEP.replace(b'"id"', b'"filler": "' + b"x" * 1000 + b'", "id"')
    content = chunked(START, long, end=False)
    with StandIn(server_of(Drip(content, 2 * WHOLE * TIMEOUT / len(content)), record)) as host:
        assert listen(host.url, timeout=TIMEOUT) == ["workflow-start", "workflow-step-start"]


FOREIGN = START.replace(b'"r"', b'"other"') + STEP.replace(b'"r"', b'"other"')


@EACH_STREAM
def test_events_of_another_run_are_dropped(
    record: bytes, listen: Callable[[str], list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    stream = Hold(chunked(FOREIGN + EVENTS, end=False))
    with StandIn(server_of(stream, record)) as host:
        assert listen(host.url) == ["workflow-start", "workflow-step-start"]
    assert "holds events of run 'other', which are ignored" in caplog.text


def test_end_of_another_run_does_not_end_the_wait() -> None:
    finish = b'{"type": "workflow-finish", "runId": "other", "payload": {}}\x1e'
    heard: list[str] = []
    with (
        StandIn(server_of(Hold(chunked(EVENTS + finish, end=False)))) as host,
        MastraClient(host.url) as client,
        pytest.raises(WaitTimeoutError),
    ):
        client.get_workflow("w").get_run("r").wait(
            timeout=1.5, poll_interval=0.1, on_event=lambda event: heard.append(event.type)
        )
    assert "workflow-step-start" in heard
    assert "workflow-finish" not in heard


@pytest.mark.parametrize("kind", ["huge_chunk", "huger_chunk", "no_number"])
def test_a_stream_of_malformed_chunks(kind: str) -> None:
    retry = RetryPolicy(seconds=0, first_wait=0.01)
    with StandIn(server_of(MALFORMED[kind])) as host, MastraClient(host.url, retry=retry) as client:
        events = client.get_workflow("w").get_run("r").watch()
        with pytest.raises(ConnectionFailedError):
            list(events)


FLOOD = Endless(OK + b"\r\n", START * 1000)


def test_endless_small_chunks_end_in_time() -> None:
    with (
        StandIn(FLOOD) as host,
        requests.get(host.url, stream=True, timeout=10) as response,
        StreamReader(response) as reader,
    ):
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            _read_slowly(reader.pieces(first_within=10, within=0.5, silent_within=10), began + MOST)


def _read_slowly(flood: Iterator[bytes], until: float) -> None:
    for _ in flood:
        time.sleep(0.01)
        assert time.monotonic() < until


def test_stream_is_not_read_far_ahead() -> None:
    with StandIn(FLOOD) as host, requests.get(host.url, stream=True, timeout=10) as response:
        with StreamReader(response) as reader:
            pieces_of = reader.pieces(first_within=10, within=30, silent_within=10)
            assert next(pieces_of)
            until = time.monotonic() + 0.5
            while time.monotonic() < until:
                assert reader._pieces.qsize() <= MOST_PIECES
                time.sleep(0.01)
            assert next(pieces_of)
            assert reader._thread.is_alive()
        assert not reader._thread.is_alive()


TINY = b'{"type":"x"}\x1e'


def test_a_flood_of_events_does_not_keep_the_event_loop() -> None:
    """Other tasks get their turns between the events, however fast the server sends."""

    async def watch(url: str) -> list[int]:
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(count())
        async with (
            AsyncMastraClient(url, retry=RetryPolicy(seconds=0)) as client,
            await client.get_workflow("w").get_run("r").watch() as events,
        ):
            seen = []
            async for _ in events:
                seen.append(turns)
                if len(seen) == 20_000:
                    break
        counting.cancel()
        return seen

    stream = Hold(chunked(START, STEP, TINY * 25_000, end=False))
    with StandIn(server_of(stream)) as host:
        seen = asyncio.run(watch(host.url))
    at_once = max(Counter(seen).values())
    assert at_once <= _async_transport.PIECE_BYTES // len(TINY) + 2


@BOTH
@pytest.mark.parametrize("status", [102, 103, 199])
def test_interim_responses_are_skipped(status: int, ask: Callable[[str], object]) -> None:
    interim = b"HTTP/1.1 %d Early\r\nLink: </a>\r\n\r\n" % status
    with StandIn(interim * 3 + http(200, b'{"packages": []}')) as host:
        assert ask(host.url)


IMPATIENT: SettingsArguments = {
    "retry": RetryPolicy(seconds=0),
    "start_timeout": TIMEOUT,
    "check_data": False,
}


def start_sync(url: str) -> None:
    with MastraClient(url, **IMPATIENT) as client:
        client.get_workflow("w").get_run("r").start(input_data={})


def start_async(url: str) -> None:
    async def start() -> None:
        async with AsyncMastraClient(url, **IMPATIENT) as client:
            await client.get_workflow("w").get_run("r").start(input_data={})

    asyncio.run(start())


@pytest.mark.timeout(60)
@pytest.mark.parametrize("start", [start_sync, start_async], ids=["sync", "async"])
def test_endless_stream_does_not_outlast_a_start(start: Callable[[str], None]) -> None:
    with StandIn(server_of(FLOOD, NO_RECORD)) as host:
        began = time.monotonic()
        with pytest.raises(RunNotStartedError):
            start(host.url)
        assert time.monotonic() - began < MOST


@BOTH
@pytest.mark.parametrize(
    "proxy",
    [
        "http://user:pa55word@127.0.0.1:port",
        "http://user:pa55word@127.0.0.1:1",
        "http://user:pa55word",
        "http://user:pa55word@[::1",
    ],
)
def test_proxy_credentials_are_not_in_errors(
    proxy: str, ask: Callable[[str], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(ConnectionFailedError) as caught:
        ask("http://mastra.invalid:4111")
    assert "pa55word" not in "".join(traceback.format_exception(caught.value))
