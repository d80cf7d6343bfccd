"""Test the inbox's state: it recognises new requests, and its size stays bounded."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastra_workflows import WorkflowRun
from mastra_workflows.errors import ConfigurationError
from mastra_workflows.hitl._inbox import (
    FORGET_AFTER,
    LATE,
    SEEN_EVERY,
    InboxOptions,
    InboxState,
    Noted,
)
from tests.core.strategies import JSON_VALUES

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def run(status: str, minutes_ago: int) -> WorkflowRun:
    return WorkflowRun(
        "w", f"{status}-{minutes_ago}", status, created_at=NOW - minutes_ago * MINUTE
    )


def test_request_is_returned_once() -> None:
    memory = InboxState()
    assert memory.is_due("a", NOW)
    memory = memory.note(["a"], NOW, NOW)
    assert not memory.is_due("a", NOW + timedelta(days=999))
    assert memory.is_due("b", NOW)


def test_request_is_repeated_only_with_repeat_after() -> None:
    memory = InboxState().note(["a"], NOW, NOW)
    hour = timedelta(hours=1)
    assert not memory.is_due("a", NOW + hour - MINUTE, hour)
    assert memory.is_due("a", NOW + hour, hour)


def test_resolved_requests_are_forgotten() -> None:
    memory = InboxState().note(["a", "b"], NOW, NOW)
    memory = memory.keep(["b"], NOW + FORGET_AFTER - MINUTE)
    assert set(memory.noted) == {"a", "b"}  # while a branch is resumed, say
    memory = memory.keep(["b"], NOW + FORGET_AFTER)
    assert set(memory.noted) == {"b"}
    assert memory.noted["b"].asked == NOW


def test_poll_without_new_requests_keeps_the_state() -> None:
    memory = InboxState().note(["a"], NOW, NOW)
    assert memory.keep(["a"], NOW + SEEN_EVERY - MINUTE) == memory
    assert memory.keep(["a"], NOW + SEEN_EVERY) != memory


@given(
    st.lists(st.tuples(st.sets(st.sampled_from("abcdefgh")), st.integers(0, 36 * 60)), max_size=30)
)
def test_state_size_is_bounded_by_pending_requests(looks: list[tuple[set[str], int]]) -> None:
    """Whatever was asked when: what was seen a while ago is known still, and nothing older."""
    memory, now = InboxState(), NOW
    last: dict[str, datetime] = {}
    for seen, minutes in looks:
        now += minutes * MINUTE
        memory = memory.keep(seen, now)
        recent = {key for key in last if now - last[key] < FORGET_AFTER - SEEN_EVERY}
        assert recent <= set(memory.noted)
        memory = memory.note([key for key in seen if memory.is_due(key, now)], now, now)
        last.update(dict.fromkeys(seen, now))
        assert seen <= set(memory.noted)
        assert all(now - last[key] < FORGET_AFTER for key in memory.noted)


def test_legacy_server_is_read_from_its_oldest_unfinished_run() -> None:
    week = timedelta(days=7)
    memory = InboxState()
    assert memory.look_back(NOW, week) == NOW - week
    runs = [run("success", 1), run("suspended", 5), run("running", 7), run("failed", 9)]
    memory = memory.advance(runs)
    assert memory.look_back(NOW, week) == NOW - 7 * MINUTE - LATE
    memory = memory.advance([run("success", 1), run("canceled", 5), run("success", 7)])
    assert memory.look_back(NOW, week) == NOW - MINUTE - LATE
    assert memory.advance([]) == memory
    assert memory.look_back(NOW + 2 * week, week) == NOW + week


def test_pending_run_is_read_again() -> None:
    memory = InboxState().advance([run("success", 1), run("pending", 5)])
    assert memory.since == NOW - 5 * MINUTE


@given(
    noted=st.dictionaries(
        st.text(max_size=60),
        st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    ),
    since=st.none() | st.just(NOW),
)
def test_state_is_json(noted: dict[str, datetime], since: datetime | None) -> None:
    memory = InboxState({key: Noted(time, NOW) for key, time in noted.items()}, since)
    assert InboxState.from_dict(json.loads(json.dumps(memory.to_dict()))) == memory


@given(JSON_VALUES | st.fixed_dictionaries({"noted": JSON_VALUES, "since": JSON_VALUES}))
def test_invalid_state_is_read_as_an_empty_one(stored: Any) -> None:
    assert isinstance(InboxState.from_dict(stored), InboxState)


@pytest.mark.parametrize("name", ["lookback", "repeat_after", "most"])
@pytest.mark.parametrize("value", [0, -1, float("inf"), float("nan"), 1e18])
def test_options_out_of_range(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=name):
        InboxOptions(**{name: value})
