"""Test decoding of bytes to events, for any chunk boundaries and any bytes."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterable
from datetime import UTC
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastra_workflows._models import Event
from mastra_workflows._stream import Decoder
from mastra_workflows.errors import BodyTooLargeError, MastraError, NotMastraError
from tests.core import recorded
from tests.core.strategies import JSON_OBJECTS, JSON_VALUES, cut_up

STREAMS: list[tuple[recorded.Recorded, str]] = [
    *(
        (generation, name)
        for generation in recorded.GENERATIONS
        for name in ("stream-success", "stream-suspended", "resume-stream", "watch")
    ),
    ("v1", "stream-refused"),
]


def decode(chunks: Iterable[bytes], limit: int = 1_000_000) -> tuple[list[Event], bool]:
    """The events, and whether the bytes end inside a record."""
    decoder = Decoder(max_record_bytes=limit)
    events = [event for chunk in chunks for event in decoder.feed(chunk)]
    return events, decoder.is_cut


def records(*values: Any) -> bytes:
    return b"".join(json.dumps(value, ensure_ascii=False).encode() + b"\x1e" for value in values)


@given(st.data(), st.lists(JSON_OBJECTS, max_size=5))
def test_chunk_boundaries_do_not_matter(data: st.DataObject, values: list[Any]) -> None:
    whole = records(*values)
    assert decode(data.draw(st.composite(cut_up)(whole))) == decode([whole])


@pytest.mark.parametrize(("generation", "name"), STREAMS)
def test_a_recorded_stream_byte_by_byte(generation: recorded.Recorded, name: str) -> None:
    content = recorded.response(generation, name).content
    events, is_cut = decode([content])
    assert not is_cut
    assert len(events) == content.count(b"\x1e") > 1
    assert decode(bytes([byte]) for byte in content) == (events, False)


def test_multibyte_character_across_chunks() -> None:
    whole = records({"type": "x", "payload": {"city": "Köln 🎈"}})
    for place in range(len(whole)):
        events, _ = decode([whole[:place], whole[place:]])
        assert events[0].payload == {"city": "Köln 🎈"}


def test_watch_records_are_json_strings_of_json() -> None:
    events, _ = decode([recorded.response("v0", "watch").content])
    begun, done = events[:2]
    assert {event.type for event in events} == {"watch"}
    assert begun.current_step is not None
    assert begun.current_step["id"] == "fetch-orders"
    assert begun.workflow_state is not None
    assert begun.workflow_state["status"] == "running"
    assert done.event_timestamp is not None
    assert done.event_timestamp.tzinfo is UTC
    assert begun.run_id == "watched"


def test_stream_of_0_18_ends_with_finish() -> None:
    events, _ = decode(
        [b'{"type":"step-finish","payload":{}}\x1e{"type":"finish","payload":{}}\x1e']
    )
    assert [event.is_end for event in events] == [False, True]


def test_last_watch_record_reports_the_end() -> None:
    events, _ = decode([recorded.response("v0", "watch").content])
    assert [event.is_end for event in events] == [False] * (len(events) - 1) + [True]
    assert events[-1].current_step is None


@pytest.mark.parametrize("generation", recorded.GENERATIONS)
def test_events_report_steps_and_run(generation: recorded.Recorded) -> None:
    events, _ = decode([recorded.response(generation, "stream-success").content])
    results = [event for event in events if event.type == "workflow-step-result"]
    steps = [event.current_step or {} for event in results]
    assert [(step["id"], step["status"]) for step in steps] == [
        ("fetch-orders", "success"),
        ("summarise", "success"),
        ("render", "success"),
    ]
    assert all(event.event_timestamp and event.event_timestamp.tzinfo is UTC for event in results)
    assert events[-1].is_end
    assert (events[-1].workflow_state or {})["status"] == "success"


def test_the_reason_of_a_refused_start_is_in_the_last_event() -> None:
    events, _ = decode([recorded.response("v1", "stream-refused").content])
    error = (events[-1].workflow_state or {})["error"]
    assert error.startswith("Invalid input data")


@pytest.mark.parametrize("end", [b"data: [DONE]\n\n", b"data: [DONE]", b"\n", b""])
def test_trailing_bytes_that_are_not_a_record(end: bytes) -> None:
    events, is_cut = decode([records({"type": "a"}) + end])
    assert [event.type for event in events] == ["a"]
    assert not is_cut


@given(JSON_OBJECTS, st.data())
def test_bytes_that_end_inside_a_record_are_cut(value: Any, data: st.DataObject) -> None:
    record = records(value)
    place = data.draw(st.integers(1, len(record) - 1))
    assert decode([records({"type": "a"}) + record[:place]])[1]


@given(st.data(), st.integers(1, 60))
def test_record_limit_holds_at_any_chunk_boundary(data: st.DataObject, size: int) -> None:
    small, large = {"type": "x"}, {"type": "x" * size}
    limit = len(records(small)) - 1
    whole = records(small, large, small)
    chunks = data.draw(st.composite(cut_up)(whole))
    if size == 1:
        assert len(decode(chunks, limit)[0]) == 3
    else:
        with pytest.raises(BodyTooLargeError, match="max_body_bytes"):
            decode(chunks, limit)


def test_endless_record_is_bounded() -> None:
    decoder = Decoder(max_record_bytes=1000)
    for _ in range(10):
        assert list(decoder.feed(b"x" * 100)) == []
    with pytest.raises(BodyTooLargeError):
        list(decoder.feed(b"x"))


@pytest.mark.parametrize("record", [b"<html>", b"{", b"[1]", b"7", b"null", b'"text"', b"\xff\xfe"])
def test_record_that_is_not_a_json_object(record: bytes) -> None:
    with pytest.raises(NotMastraError, match="record of the stream"):
        decode([record + b"\x1e"])


def test_a_record_nested_too_deeply() -> None:
    with pytest.raises(NotMastraError):
        decode([b"[" * 200_000 + b"\x1e"])


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "type": JSON_VALUES | st.sampled_from(["workflow-finish", "watch", "workflow-step-x"]),
            "runId": JSON_VALUES,
            "eventTimestamp": JSON_VALUES,
            "payload": JSON_VALUES
            | st.dictionaries(
                st.sampled_from(
                    ["currentStep", "workflowState", "metadata", "id", "startedAt", "endedAt"]
                ),
                JSON_VALUES,
            ),
        },
    )
)
def test_an_event_of_any_shape_passes_through(value: Any) -> None:
    events, _ = decode([records(value)])
    assert len(events) == 1
    assert isinstance(events[0].type, str)
    assert isinstance(events[0].is_end, bool)


@given(st.lists(st.binary(max_size=30), max_size=6))
def test_any_bytes_give_events_or_a_mastra_error(chunks: list[bytes]) -> None:
    with contextlib.suppress(MastraError):
        decode(chunks, limit=100)


def mark(run_id: object, kind: str = "workflow-finish") -> bytes:
    return json.dumps({"type": kind, "runId": run_id, "payload": {}}).encode() + b"\x1e"


def test_workflow_events_of_another_run_are_dropped(caplog: pytest.LogCaptureFixture) -> None:
    decoder = Decoder(max_record_bytes=1000, run_id="mine")
    content = mark("other\n::error::") + mark("mine") + mark("other", "watch") + mark(None)
    assert [event.run_id for event in decoder.feed(content)] == ["mine", None]
    assert [record.getMessage() for record in caplog.records] == [
        "The event stream of run 'mine' holds events of run 'other : :error::', which are ignored."
    ]


def test_events_of_an_agent_may_name_its_own_run() -> None:
    decoder = Decoder(max_record_bytes=1000, run_id="mine")
    assert list(decoder.feed(mark("agent-1", "text-delta")))


def test_unstorable_run_id_is_compared_after_sanitising() -> None:
    decoder = Decoder(max_record_bytes=1000, run_id="a\0b")
    assert list(decoder.feed(mark("a\0b")))


@pytest.mark.parametrize("empty", [b"\x1e", b" \x1e", b"\r\n\x1e"])
def test_empty_records_are_skipped_at_once(empty: bytes) -> None:
    decoder = Decoder(max_record_bytes=1000, passes_over=frozenset({"workflow-step-output"}))
    event = b'{"type":"workflow-finish","payload":{}}\x1e'
    passed = b'{"type":"workflow-step-output","payload":{"a":"' + b"x" * 100
    began = time.thread_time()
    for _ in range(10):
        (found,) = decoder.feed(empty * 200_000 + event)
        assert found.type == "workflow-finish"
        assert not list(decoder.feed(passed))
        (found,) = decoder.feed(b'"}}\x1e' + event)
        assert found.type == "workflow-finish"
    assert time.thread_time() - began < 1.0
    assert not decoder.is_cut
