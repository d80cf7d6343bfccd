"""Retry and poll policies, with tenacity's retry, wait and stop objects.

The exceptions to retry are named explicitly. A catch-all would swallow the exceptions that
orchestrators raise in a task to stop it.
"""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_delay
from tenacity.stop import stop_never
from tenacity.wait import wait_base, wait_exponential

from mastra_workflows._text import safe_text
from mastra_workflows.errors import (
    ApiError,
    ConfigurationError,
    ConnectionFailedError,
    NotMastraError,
    UnavailableError,
    UnknownRunError,
    UnknownWorkflowError,
)

log = logging.getLogger(__name__)

Duration = float | timedelta
"""A duration: seconds, or a `timedelta`."""

JITTER = 0.25
"""The maximum share by which a wait is shortened at random, to spread clients that began
together."""


class wait_jittered(wait_base):  # noqa: N801 - tenacity's own spelling of its strategies
    """Exponential backoff with proportional jitter, never past the end of the allowed time.

    tenacity's own jittered wait adds a fixed number of seconds, which is too much for the first
    wait and too little at the cap.
    """

    def __init__(self, first: float, cap: float, within: float = math.inf) -> None:
        self._full = wait_exponential(multiplier=first, max=cap)
        self._within = within

    def __call__(self, retry_state: RetryCallState) -> float:
        """Return the seconds until the next attempt."""
        wait = self._full(retry_state) * random.uniform(1 - JITTER, 1)
        left = self._within - (retry_state.seconds_since_start or 0.0)
        return max(0.0, min(wait, left))


MAX_RETRY_AFTER = 60.0
"""The maximum wait for a server's ``Retry-After``, in seconds: the server may recover long
before."""


class wait_as_told(wait_base):  # noqa: N801
    """Wait for the server's ``Retry-After``, or as another strategy does if that is longer.

    The wait for ``Retry-After`` is at most `MAX_RETRY_AFTER`, and never past the end of the allowed
    time.
    """

    def __init__(self, otherwise: wait_base, within: float) -> None:
        self._otherwise = otherwise
        self._within = within

    def __call__(self, retry_state: RetryCallState) -> float:
        """Return the seconds until the next attempt."""
        outcome = retry_state.outcome
        error = outcome.exception() if outcome is not None else None
        told = error.retry_after if isinstance(error, ApiError) else None
        left = self._within - (retry_state.seconds_since_start or 0.0)
        return max(min(told or 0.0, MAX_RETRY_AFTER, left), self._otherwise(retry_state))


def is_transient(error: BaseException) -> bool:
    """Return whether a retry of the same request may succeed."""
    if isinstance(error, ConnectionFailedError):
        return error.transient
    return isinstance(error, UnavailableError)


def is_outage(error: BaseException) -> bool:
    """Return whether a server that gave a valid response before is temporarily unavailable.

    A rotated token, a maintenance page, a restarting proxy and an expired certificate each cause
    another kind of invalid response. An unknown run or workflow is a valid response of Mastra's.
    """
    if isinstance(error, UnknownRunError | UnknownWorkflowError):
        return False
    return isinstance(error, ConnectionFailedError | NotMastraError | ApiError)


def is_process_gone(error: BaseException | None) -> bool:
    """Return whether the server's process may have ended: nothing listens at its address."""
    if isinstance(error, UnavailableError):
        return error.status_code == 502  # a gateway whose own connection was refused
    return isinstance(error, ConnectionFailedError) and error.refused


def is_lost(error: ConnectionFailedError | UnavailableError) -> bool:
    """Return whether a failed call may have succeeded on the server, with its response lost."""
    if isinstance(error, ConnectionFailedError):
        return error.request_sent
    return error.status_code != 429  # rate limits are checked before anything is executed


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How transient failures are retried on calls that are safe to repeat.

    A ``Retry-After`` header of the server is respected, up to 60 seconds.

    Attributes:
        seconds: how long to retry, from the first failure; 0 for no retries.
        first_wait: the first wait, in seconds; each further wait is twice as long.
        longest_wait: the maximum wait, in seconds.
    """

    seconds: float = 20.0
    first_wait: float = 0.2
    longest_wait: float = 5.0

    def __post_init__(self) -> None:
        convert_durations(self, "seconds", "first_wait", "longest_wait")
        require_positive(first_wait=self.first_wait, longest_wait=self.longest_wait)
        if not self.seconds >= 0:
            raise ConfigurationError(f"seconds is {self.seconds}; it must be 0 or more.")

    def retrying(
        self,
        before_sleep: Callable[[RetryCallState], Any] | None = None,
        may_pass: Callable[[BaseException], bool] = is_transient,
    ) -> Retrying:
        """Create a tenacity object for one call.

        Args:
            before_sleep: called before each wait.
            may_pass: whether to retry after an error.
        """
        return Retrying(
            retry=retry_if_exception(may_pass),
            wait=wait_as_told(
                wait_jittered(self.first_wait, self.longest_wait, self.seconds), self.seconds
            ),
            stop=stop_after_delay(self.seconds),
            before_sleep=before_sleep,
            reraise=True,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PollPolicy:
    """How a run is polled.

    Attributes:
        first_wait: the first poll interval, in seconds.
        longest_wait: the maximum poll interval, in seconds.
        timeout: seconds until polling ends; None for never.
    """

    first_wait: float = 0.5
    longest_wait: float = 30.0
    timeout: float | None = None

    def __post_init__(self) -> None:
        convert_durations(self, "first_wait", "longest_wait", optional=["timeout"])
        require_positive(poll_interval=self.first_wait, max_poll_interval=self.longest_wait)
        if self.timeout is not None and not self.timeout >= 0:
            raise ConfigurationError(f"timeout is {self.timeout}; it must be 0 or more.")

    def wait(self, looks: int) -> float:
        """Return the seconds until the next poll, after a number of polls without a change."""
        full = min(self.first_wait * 2.0 ** min(looks - 1, 64), self.longest_wait)
        return full * random.uniform(1 - JITTER, 1)

    def retrying(self, again: Callable[[RetryCallState], bool]) -> Retrying:
        """Create a tenacity object for one wait; at a timeout, it returns the last result."""
        within = math.inf if self.timeout is None else self.timeout
        return Retrying(
            retry=again,
            wait=wait_jittered(self.first_wait, self.longest_wait, within),
            stop=stop_never if self.timeout is None else stop_after_delay(self.timeout),
            retry_error_callback=_last_look,
        )


def _last_look(retry_state: RetryCallState) -> Any:
    assert retry_state.outcome is not None
    return retry_state.outcome.result()


def as_seconds(name: str, value: object) -> float:
    """Validate a duration.

    Args:
        name: the option, for the error.
        value: seconds, or a `timedelta`.

    Returns:
        The duration in seconds.

    Raises:
        ConfigurationError: the value is not a duration, such as ``"3m"``, True or NaN.
    """
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            seconds = float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
        if not math.isnan(seconds):
            return seconds
    raise ConfigurationError(f"{name}: expected seconds or a timedelta, got {quoted(value)}.")


def convert_durations(options: object, *names: str, optional: Sequence[str] = ()) -> None:
    """Replace durations of a new frozen dataclass by their seconds.

    Args:
        options: the dataclass.
        *names: the names of its durations.
        optional: the names of durations that may be None.

    Raises:
        ConfigurationError: a value is not a duration.
    """
    for name in (*names, *optional):
        value = getattr(options, name)
        if value is not None or name in names:
            object.__setattr__(options, name, as_seconds(name, value))


def require_positive(**settings: float) -> None:
    """Raise a `ConfigurationError` if a setting is not a finite number over 0."""
    for name, value in settings.items():
        if not 0 < value < math.inf:
            raise ConfigurationError(f"{name} is {value}; it must be a finite number over 0.")


def require_flags(**settings: object) -> None:
    """Raise a `ConfigurationError` if a setting is neither True nor False."""
    for name, value in settings.items():
        if not isinstance(value, bool):
            raise ConfigurationError(f"{name}: expected True or False, got {quoted(value)}.")


def quoted(value: object) -> str:
    """Format the value of a setting for an error message, as one bounded line. Not for secrets."""
    return safe_text(repr(value), 200)


def require_choice(name: str, value: object, choices: tuple[object, ...]) -> None:
    """Raise a `ConfigurationError` if a setting is none of its choices."""
    if value not in choices:
        allowed = ", ".join(map(repr, choices))
        raise ConfigurationError(f"{name} is {quoted(value)}; it can be {allowed}.")
