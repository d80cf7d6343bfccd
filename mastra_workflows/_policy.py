"""How patiently a server is asked: tenacity's retry, wait and stop objects.

Every exception to retry is named. A catch-all would swallow what orchestrators throw into a task
to stop it.
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
"""How long something takes or lasts: seconds, or a `timedelta`."""

JITTER = 0.25
"""Each wait is up to this share shorter than its full length, so that waiters do not march."""


class wait_jittered(wait_base):  # noqa: N801 - tenacity's own spelling of its strategies
    """Exponential waits with proportional jitter, never past the end of the allowed time.

    tenacity's own jittered wait adds a fixed number of seconds, which is much for the first wait
    and nothing at the cap.
    """

    def __init__(self, first: float, cap: float, within: float = math.inf) -> None:
        self._full = wait_exponential(multiplier=first, max=cap)
        self._within = within

    def __call__(self, retry_state: RetryCallState) -> float:
        """Seconds until the next attempt."""
        wait = self._full(retry_state) * random.uniform(1 - JITTER, 1)
        left = self._within - (retry_state.seconds_since_start or 0.0)
        return max(0.0, min(wait, left))


MAX_RETRY_AFTER = 60.0
"""How many seconds of a server's ``Retry-After`` are waited at most: it may be back long before."""


class wait_as_told(wait_base):  # noqa: N801
    """As long as the server's ``Retry-After`` says, otherwise as another strategy says.

    At most `MAX_RETRY_AFTER`, and never past the end of the allowed time.
    """

    def __init__(self, otherwise: wait_base, within: float) -> None:
        self._otherwise = otherwise
        self._within = within

    def __call__(self, retry_state: RetryCallState) -> float:
        """Seconds until the next attempt."""
        outcome = retry_state.outcome
        error = outcome.exception() if outcome is not None else None
        told = error.retry_after if isinstance(error, ApiError) else None
        left = self._within - (retry_state.seconds_since_start or 0.0)
        return max(min(told or 0.0, MAX_RETRY_AFTER, left), self._otherwise(retry_state))


def is_transient(error: BaseException) -> bool:
    """Whether the same question, asked again, may well be answered."""
    if isinstance(error, ConnectionFailedError):
        return error.transient
    return isinstance(error, UnavailableError)


def is_outage(error: BaseException) -> bool:
    """Whether a server that has answered well before is unavailable for a while.

    A rotated token, a maintenance page, a proxy that restarts, a certificate that has just
    expired: each gives another kind of answer than a Mastra server does. That a run or a workflow
    is unknown is an answer of Mastra's own.
    """
    if isinstance(error, UnknownRunError | UnknownWorkflowError):
        return False
    return isinstance(error, ConnectionFailedError | NotMastraError | ApiError)


def is_process_gone(error: BaseException | None) -> bool:
    """Whether the server's process may have ended: nothing listens where it did."""
    if isinstance(error, UnavailableError):
        return error.status_code == 502  # a gateway whose own connection was refused
    return isinstance(error, ConnectionFailedError) and error.refused


def is_lost(error: ConnectionFailedError | UnavailableError) -> bool:
    """Whether a call that ended so may have worked: the answer is missing, perhaps not the call."""
    if isinstance(error, ConnectionFailedError):
        return error.request_sent
    return error.status_code != 429  # a limit is looked at before anything is done


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How transient failures are retried on calls that are safe to repeat.

    Where the server says how long to wait (``Retry-After``), that is done, for at most 60 seconds.

    Attributes:
        seconds: how long to go on trying, from the first failure; 0 for not at all.
        first_wait: the first wait, in seconds; each one doubles the one before.
        longest_wait: the cap of a wait, in seconds.
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
        """A new tenacity object for one call.

        Args:
            before_sleep: called before each wait.
            may_pass: whether the call is repeated after an error.
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
    """How a run is looked at until something happens.

    Attributes:
        first_wait: seconds between the first looks.
        longest_wait: the cap that the waits grow to, in seconds.
        timeout: seconds until the looking ends; None for never.
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
        """Seconds until the next look, after so many that have shown nothing new."""
        full = min(self.first_wait * 2.0 ** min(looks - 1, 64), self.longest_wait)
        return full * random.uniform(1 - JITTER, 1)

    def retrying(self, again: Callable[[RetryCallState], bool]) -> Retrying:
        """A new tenacity object for one wait; it gives the last look when the time is over."""
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
    """Validate a duration that a user gives.

    Args:
        name: the option, for the error.
        value: seconds, or a `timedelta`.

    Returns:
        Seconds.

    Raises:
        ConfigurationError: it is anything else, such as ``"3m"``, True or NaN.
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
        *names: its durations.
        optional: those that may be None.

    Raises:
        ConfigurationError: one of them is no duration.
    """
    for name in (*names, *optional):
        value = getattr(options, name)
        if value is not None or name in names:
            object.__setattr__(options, name, as_seconds(name, value))


def require_positive(**settings: float) -> None:
    """Raise a `ConfigurationError` for a setting that is not a finite number over 0."""
    for name, value in settings.items():
        if not 0 < value < math.inf:
            raise ConfigurationError(f"{name} is {value}; it must be a finite number over 0.")


def require_flags(**settings: object) -> None:
    """Raise a `ConfigurationError` for a setting that is neither True nor False."""
    for name, value in settings.items():
        if not isinstance(value, bool):
            raise ConfigurationError(f"{name}: expected True or False, got {quoted(value)}.")


def quoted(value: object) -> str:
    """The value of a setting for an error message, as one bounded line. Not for secrets."""
    return safe_text(repr(value), 200)


def require_choice(name: str, value: object, choices: tuple[object, ...]) -> None:
    """Raise a `ConfigurationError` for a setting that is none of its choices."""
    if value not in choices:
        allowed = ", ".join(map(repr, choices))
        raise ConfigurationError(f"{name} is {quoted(value)}; it can be {allowed}.")
