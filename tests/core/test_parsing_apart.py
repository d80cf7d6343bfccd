"""Test that parsing large responses does not block the event loop."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from mastra_workflows import AsyncMastraClient
from mastra_workflows import _text as text
from mastra_workflows._text import LARGE, decode
from mastra_workflows.errors import NotMastraError
from tests.core.test_hostile_servers import RECORD as SMALL_RECORD
from tests.core.test_hostile_servers import server_of
from tests.support.stand_in import StandIn, chunked, http

STEP = {"status": "success", "output": {"text": "x" * 20, "numbers": [1, 2.5, True, None]}}
STEPS = json.dumps([STEP] * 100_000).encode()
RECORD = b'{"status": "success", "result": %s, "steps": {}}' % STEPS
STEP_EVENT = b'{"type": "workflow-step-result", "runId": "r", "payload": {"id": "a", "output": %s}}'
MIB = 1024 * 1024


async def longest_gap(work: asyncio.Task[object]) -> float:
    """The longest time that an event loop was kept from its other work, as part of the whole."""
    began = last = time.perf_counter()
    longest = 0.0
    while not work.done():
        await asyncio.sleep(0)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    return longest / (last - began)


async def test_large_document_is_parsed_in_a_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(text, "_is_flat", lambda _: True)  # only the parsing is of interest
    monkeypatch.setattr(text, "_may_be_odd", lambda _: False)
    gaps = []
    for _ in range(5):  # a busy machine may stop this process for a while
        work = asyncio.create_task(asyncio.to_thread(decode, RECORD))
        gaps.append(await longest_gap(work))
        assert len((await work)["result"]) == 100_000
    assert min(gaps) < 0.5


@pytest.mark.parametrize("at", [LARGE - 18, LARGE - 10, LARGE - 1, LARGE, 3 * LARGE - 5])
def test_a_large_text_is_searched_piece_by_piece(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    sizes = []

    class Search:
        def search(self, raw: bytes, start: int = 0, end: int = 2**63) -> object:
            sizes.append(min(end, len(raw)) - start)
            return found.search(raw, start, end)

    found = text._LARGE_NUMBER
    monkeypatch.setattr(text, "_LARGE_NUMBER", Search())
    raw = b" " * at + b"1234567890123456789" + b" " * LARGE
    assert text._may_be_odd(raw)
    assert not text._may_be_odd(raw.replace(b"9 ", b"  "))
    assert max(sizes) < LARGE + 100


async def test_a_large_record_is_not_parsed_on_the_event_loop() -> None:
    with StandIn(server_of(b"", http(200, RECORD, Connection="close"))) as host:
        async with AsyncMastraClient(host.url) as client:
            began = time.thread_time()
            record = await client.get_workflow("w").get_run("r").read()
            spent = time.thread_time() - began
    assert len(record.result) == 100_000
    began = time.thread_time()
    decode(RECORD)
    assert spent < (time.thread_time() - began) / 2


async def test_a_large_event_is_not_parsed_on_the_event_loop() -> None:
    stream = chunked(STEP_EVENT % STEPS + b"\x1e")
    with StandIn(server_of(stream, SMALL_RECORD)) as host:
        async with (
            AsyncMastraClient(host.url) as client,
            await client.get_workflow("w").get_run("r").watch() as events,
        ):
            began = time.thread_time()
            event = await anext(events)
            spent = time.thread_time() - began
    assert len(event.payload["output"]) == 100_000
    began = time.thread_time()
    decode(STEPS)
    assert spent < (time.thread_time() - began) / 2


async def test_incomplete_large_document_is_an_error() -> None:
    with StandIn(server_of(b"", http(200, RECORD[:-1], Connection="close"))) as host:
        async with AsyncMastraClient(host.url) as client:
            with pytest.raises(NotMastraError, match="not a complete JSON document"):
                await client.get_workflow("w").get_run("r").read()


async def test_a_read_of_a_large_record_can_be_cancelled() -> None:
    with StandIn(server_of(b"", http(200, RECORD, Connection="close"))) as host:
        async with AsyncMastraClient(host.url) as client:
            read = asyncio.create_task(client.get_workflow("w").get_run("r").read())
            while "/runs/r" not in "".join(host.requests):
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.2)
            read.cancel()
            with pytest.raises(asyncio.CancelledError):
                await read


@pytest.mark.parametrize("size", [LARGE - MIB // 8, LARGE + MIB // 8])
def test_small_and_large_texts_are_parsed_alike(size: int) -> None:
    value = {"a": ["x" * size, 1, -2, 1.5, 1e3, 2**70, True, None, {"b": {}}], "c\ud83d": "\0"}
    found = decode(json.dumps(value))
    small = decode(json.dumps({**value, "a": value["a"][1:]}))
    assert found == {**small, "a": ["x" * size, *small["a"]]}
    assert [type(part) for part in found["a"][1:]] == [type(part) for part in small["a"]]
