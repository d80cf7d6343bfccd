"""Test duration options: seconds or a timedelta, and errors that name the option."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastra_workflows import MastraClient
from mastra_workflows._options import WaitOptions
from mastra_workflows._policy import PollPolicy, RetryPolicy, as_seconds
from mastra_workflows._settings import Settings
from mastra_workflows.errors import ConfigurationError
from mastra_workflows.hitl._inbox import InboxOptions
from mastra_workflows.hitl._pending_requests import AskOptions
from testkit.sample_server import SampleServer

OPTIONS: list[tuple[Callable[..., Any], str]] = [
    (WaitOptions, "timeout"),
    (WaitOptions, "poll_interval"),
    (WaitOptions, "max_poll_interval"),
    (WaitOptions, "outage_timeout"),
    (WaitOptions, "stall_timeout"),
    (AskOptions, "response_timeout"),
    (InboxOptions, "lookback"),
    (InboxOptions, "repeat_after"),
    (PollPolicy, "first_wait"),
    (RetryPolicy, "seconds"),
    (partial(Settings, base_url="http://127.0.0.1"), "timeout"),
    (partial(Settings, base_url="http://127.0.0.1"), "connect_timeout"),
    (partial(Settings, base_url="http://127.0.0.1"), "start_timeout"),
]


@pytest.mark.parametrize(("options", "name"), OPTIONS, ids=lambda part: str(part))
@pytest.mark.parametrize("value", ["3m", "30", True, math.nan, b"3", [3], {}])
def test_invalid_duration_error_names_the_option(
    options: Callable[..., Any], name: str, value: object
) -> None:
    with pytest.raises(ConfigurationError, match=f"^{name}: expected seconds or a timedelta"):
        options(**{name: value})


@pytest.mark.parametrize(("options", "name"), OPTIONS, ids=lambda part: str(part))
def test_timedelta_is_accepted(options: Callable[..., Any], name: str) -> None:
    assert getattr(options(**{name: timedelta(minutes=2)}), name) == 120.0


@pytest.mark.parametrize("value", [10**400, 10**5000], ids=["long", "longer"])
def test_number_of_any_size_is_accepted(value: int) -> None:
    assert as_seconds("timeout", value) == math.inf
    assert as_seconds("timeout", -value) == -math.inf


@pytest.mark.parametrize("name", ["poll_interval", "max_poll_interval", "outage_timeout"])
def test_none_is_rejected_for_a_required_duration(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{name}: expected seconds"):
        WaitOptions(**{name: None})  # type: ignore[arg-type]


@given(
    st.none()
    | st.booleans()
    | st.text()
    | st.integers()
    | st.floats()
    | st.timedeltas()
    | st.lists(st.integers())
)
def test_any_value_is_seconds_or_rejected(value: object) -> None:
    try:
        seconds = as_seconds("timeout", value)
    except ConfigurationError:
        return
    assert isinstance(seconds, float)
    assert not math.isnan(seconds)


@pytest.mark.parametrize("name", ["timeout", "connect_timeout"])
def test_a_timeout_longer_than_a_socket_supports(server: SampleServer, name: str) -> None:
    settings: Any = {name: timedelta(days=400 * 365)}
    with MastraClient(server.url, **settings) as client:
        assert client.get_workflow("orderReport").runs() is not None
