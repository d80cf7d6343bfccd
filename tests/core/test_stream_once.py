"""Test the deduplication of events: `/observe` replays past events twice."""

from __future__ import annotations

from typing import Any

from hypothesis import given

from mastra_workflows._models import Event
from mastra_workflows._stream import Decoder, EventDeduplicator
from tests.core import recorded
from tests.core.strategies import JSON_VALUES


def events_of(generation: recorded.Recorded, name: str) -> list[Event]:
    content = recorded.response(generation, name).content
    return list(Decoder(max_record_bytes=1_000_000).feed(content))


def once(*streams: list[Event]) -> list[Event]:
    """What one `EventDeduplicator` gives of streams that are opened one after the other."""
    one = EventDeduplicator()
    return [new for events in streams for event in events for new in one.feed(event)]


def test_the_double_replay_of_a_real_server() -> None:
    replayed = events_of("v1", "watch")
    assert [event.type for event in replayed] == ["workflow-start", "workflow-step-start"] * 2
    assert once(replayed) == replayed[:2]


def test_stream_without_a_replay_is_unchanged() -> None:
    for generation in recorded.GENERATIONS:
        events = events_of(generation, "stream-success")
        assert once(events) == events
        assert once(events[:-1] + events[:-1]) == events[:-1]


def test_a_run_that_was_resumed_ends_more_than_once() -> None:
    observed = events_of("v1", "observe-finished")
    ends = [(event.workflow_state or {}).get("status") for event in observed if event.is_end]
    assert ends == ["suspended", "suspended", "success"]
    assert once(observed) == observed


def test_the_replay_of_a_run_that_was_resumed() -> None:
    observed = events_of("v1", "observe-suspended")
    given = once(observed)
    assert len(given) < len(observed)
    assert [event.type for event in given if event.is_end] == ["workflow-finish"] * 2
    calls = [event.current_step["stepCallId"] for event in given if event.current_step]
    assert len(set(calls)) == 3  # the request, its response, the next request
    assert len(calls) == 6


def test_every_watch_record_passes() -> None:
    events = events_of("v0", "watch")
    assert once(events) == events


def test_repeated_step_is_new() -> None:
    first = Event("workflow-step-start", "r", {}, {"id": "think", "stepCallId": "1"})
    second = Event("workflow-step-start", "r", {}, {"id": "think", "stepCallId": "2"})
    assert once([first, second, first, second]) == [first, second]


def test_repeated_step_output_is_kept_and_replayed_output_dropped() -> None:
    start = Event("workflow-start", "r")
    steps = [
        Event("workflow-step-start", "r", {}, {"id": "think", "stepCallId": number})
        for number in ("1", "2")
    ]
    for kind in ("workflow-step-output", "workflow-step-progress", "data-progress", "text-delta"):
        said = Event(kind, "r", {"output": "ha"})
        first = [start, steps[0], said, said]
        rest = [said, steps[1], said, said]
        assert once(first) == first
        assert once([*first, *first]) == first
        assert once(first, [*first, *first, *rest]) == [*first, *rest]
        assert once([*first, *rest], [*first, *rest]) == [*first, *rest]


def test_reopened_stream_continues_after_the_last_event() -> None:
    whole = events_of("v1", "observe-finished")
    for cut in range(len(whole)):
        given = once(whole[:cut], whole)
        assert given == whole
        assert once(whole[:cut], whole, whole) == given


def test_earlier_rounds_are_dropped_from_a_replay() -> None:
    """Wherever the stream of the round was cut, and though its ends have no time."""
    replay = events_of("v1", "observe-finished")
    third = replay[-4:]
    before = max(event.event_timestamp for event in replay[:-4] if event.event_timestamp)
    for cut in range(len(third)):
        one = EventDeduplicator(after=before)
        given = [new for event in third[:cut] for new in one.feed(event)]
        one.expect_replay()
        given += [new for event in replay for new in one.feed(event)]
        one.expect_replay()
        given += [new for event in replay for new in one.feed(event)]
        assert given == third


@given(JSON_VALUES, JSON_VALUES)
def test_any_step_id_is_deduplicated(step_id: Any, call_id: Any) -> None:
    event = Event("workflow-step-start", "r", {}, {"id": step_id, "stepCallId": call_id})
    assert once([event, event]) == [event]
