"""Test the intervals between attempts: exponential, jittered, capped, within the allowed time."""

from __future__ import annotations

import math
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tenacity import RetryCallState, Retrying

from mastra_workflows import MastraClient
from mastra_workflows._policy import (
    JITTER,
    PollPolicy,
    RetryPolicy,
    is_transient,
    wait_as_told,
    wait_jittered,
)
from mastra_workflows._procedures._effects import sleep
from mastra_workflows.errors import (
    AuthenticationError,
    BodyTooLargeError,
    ConfigurationError,
    ConnectionFailedError,
    NotMastraError,
    ServerLostError,
    UnavailableError,
)

SECONDS = st.floats(0.01, 1000)


def after(attempts: int, seconds: float = 0.0, error: Exception | None = None) -> RetryCallState:
    """The state after so many attempts, so many seconds after the first."""
    state = RetryCallState(Retrying(), fn=None, args=(), kwargs={})
    state.attempt_number = attempts
    state.start_time = 50.0
    if error is None:
        state.set_result(None)
    else:
        state.set_exception((type(error), error, None))
    state.outcome_timestamp = 50.0 + seconds
    return state


def unavailable(retry_after: float | None) -> UnavailableError:
    return UnavailableError("busy", status_code=429, retry_after=retry_after)


@given(SECONDS, SECONDS, st.integers(1, 5000))
def test_wait_is_its_length_minus_jitter(first: float, cap: float, attempts: int) -> None:
    full = min(first * 2.0 ** min(attempts - 1, 500), cap)
    wait = wait_jittered(first, cap)(after(attempts))
    assert full * (1 - JITTER) * 0.999 <= wait <= full * 1.001


@given(SECONDS, SECONDS, st.integers(1, 5000))
def test_poll_interval_grows_without_changes(first: float, cap: float, looks: int) -> None:
    full = min(first * 2.0 ** min(looks - 1, 64), cap)
    wait = PollPolicy(first_wait=first, longest_wait=cap).wait(looks)
    assert full * (1 - JITTER) * 0.999 <= wait <= full * 1.001


def test_waits_have_jitter() -> None:
    waits = {wait_jittered(1.0, 30.0)(after(3)) for _ in range(20)}
    assert len(waits) > 10


@given(SECONDS, SECONDS, st.floats(0, 2000), st.integers(1, 50), st.floats(0, 2000))
def test_no_wait_exceeds_the_timeout(
    first: float, cap: float, within: float, attempts: int, gone: float
) -> None:
    wait = wait_jittered(first, cap, within)(after(attempts, gone))
    assert 0 <= wait <= max(0.0, within - gone) + 1e-6


@pytest.mark.parametrize(("told", "expected"), [(3.0, 3.0), (0.0, 1.0), (None, 1.0), (20.0, 20.0)])
def test_retry_after_sets_the_wait(told: float | None, expected: float) -> None:
    retrying = RetryPolicy(first_wait=1.0, longest_wait=1.0, seconds=60)
    wait = retrying.retrying().wait(after(1, 0, unavailable(told)))
    assert expected * (1 - JITTER) <= wait <= expected


@pytest.mark.parametrize("told", [61.0, 86_400.0, 1e15])
@pytest.mark.parametrize("seconds", [300.0, 1e300, math.inf])
def test_retry_after_is_capped_at_a_minute(told: float, seconds: float) -> None:
    retrying = RetryPolicy(seconds=seconds).retrying()
    assert retrying.wait(after(1, 0.0, unavailable(told))) == 60.0


@pytest.mark.parametrize("seconds", [1e300, math.inf])
def test_any_wait_can_be_slept(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    with MastraClient("http://127.0.0.1:1") as client:
        client._transport.run(sleep(seconds))
    assert 86_400 < slept[0] < threading.TIMEOUT_MAX


@pytest.mark.parametrize("told", [3600.0, 1e12])
def test_retry_after_does_not_exceed_the_retry_time(told: float) -> None:
    retrying = RetryPolicy(seconds=20.0).retrying()
    assert retrying.wait(after(1, 5.0, unavailable(told))) == pytest.approx(15.0)
    assert retrying.wait(after(9, 20.0, unavailable(told))) == 0.0


def test_retry_after_applies_to_its_own_error() -> None:
    wait = wait_as_told(wait_jittered(1.0, 1.0), within=60.0)
    error = ConnectionFailedError("cut", request_sent=True)
    assert wait(after(1, 0, error)) <= 1.0


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (ConnectionFailedError("refused", request_sent=False), True),
        (ConnectionFailedError("cut", request_sent=True), True),
        (ConnectionFailedError("certificate", request_sent=False, transient=False), False),
        (unavailable(None), True),
        (AuthenticationError("401", status_code=401), False),
        (NotMastraError("html"), False),
        (BodyTooLargeError("413"), False),
        (ServerLostError("gone"), False),
        (KeyboardInterrupt(), False),
        (TimeoutError(), False),
        (ConnectionError(), False),
        (RuntimeError(), False),
    ],
)
def test_transient_errors(error: BaseException, transient: bool) -> None:
    assert is_transient(error) is transient


@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf])
def test_invalid_waits_are_rejected(value: float) -> None:
    for name in ("first_wait", "longest_wait"):
        with pytest.raises(ConfigurationError):
            RetryPolicy(**{name: value})
        with pytest.raises(ConfigurationError):
            PollPolicy(**{name: value})


@pytest.mark.parametrize("value", [-1, math.nan])
def test_invalid_timeouts_are_rejected(value: float) -> None:
    with pytest.raises(ConfigurationError):
        RetryPolicy(seconds=value)
    with pytest.raises(ConfigurationError):
        PollPolicy(timeout=value)
