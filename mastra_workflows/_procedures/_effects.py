"""Effects that a procedure requests from its driver, and how procedures retry.

A procedure is a generator. It yields one of these effects and receives its result. A driver
performs the effects, with `requests` and `time.sleep`, or with `aiohttp` and `asyncio.sleep`. So
each operation of several requests is written once, and can be tested in virtual time.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any, TypeVar

from tenacity import DoAttempt, DoSleep, RetryCallState, Retrying

from mastra_workflows._api import Feature, Request, Response, ServerGeneration, check
from mastra_workflows._models import Event, WorkflowDetails
from mastra_workflows._policy import RetryPolicy, is_outage, is_process_gone, is_transient
from mastra_workflows._settings import Settings
from mastra_workflows.errors import UnknownRunError, UnknownWorkflowError

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Send:
    """Send a request; the result is its `Response`, with any status.

    Attributes:
        request: the request.
        within: the total timeout in seconds, even if the response makes progress. The client's own
            timeouts apply as well.

    The driver raises `ConnectionFailedError` if no complete response arrives.
    """

    request: Request
    within: float = inf


@dataclass(frozen=True, slots=True)
class Sleep:
    """Sleep for a number of seconds; the result is None."""

    seconds: float


def _affords_all(_size: int) -> bool:
    return True


def _no_more() -> float:
    return 0.0


@dataclass(frozen=True, slots=True)
class Listen:
    """Open an event stream, and drop it at the first event that is sufficient.

    Attributes:
        request: the request.
        enough: called with each event as it arrives; True drops the stream.
        seconds: the maximum duration of the stream; may be infinite.
        first_within: the timeout of the first data; None for ``seconds``.
        more_for_first: called at this timeout; returns an extension in seconds, 0 for none. The
            blocking driver does not call it.
        silent_within: the timeout between two pieces of data.
        affords: called with the size of each received piece in bytes; False drops the stream.
        passes_over: types of events to skip without parsing.

    The result is a `StreamResult`. The driver raises `ConnectionFailedError` if the stream cannot
    be opened or is cut.
    """

    request: Request
    enough: Callable[[Event], bool]
    seconds: float
    first_within: float | None = None
    more_for_first: Callable[[], float] = _no_more
    silent_within: float = inf
    affords: Callable[[int], bool] = _affords_all
    passes_over: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Open:
    """Open a stream for the driver to read; the result is the driver's own stream object.

    The driver raises `MastraError` if the server refuses the request or the connection fails.
    """

    request: Request


@dataclass(frozen=True, slots=True)
class StreamResult:
    """The result of `Listen`.

    Attributes:
        response: the status and headers; the body is included only if it is not an event stream.
        last: the last event that was not skipped; None if there was none.
        ended: whether the server ended the stream.
    """

    response: Response
    last: Event | None
    ended: bool


@dataclass(frozen=True, slots=True)
class Parse:
    """Parse a response; the result is the parsed value.

    The asyncio driver parses large responses in another thread. Exceptions of ``parse`` are raised.
    """

    response: Response
    parse: Callable[[Response], Any]


Effect = Send | Sleep | Listen | Open | Parse
Procedure = Generator[Effect, Any, T]


LEAST_SECONDS = 5.0
"""The minimum timeout of a request, however close the deadline: the last poll of a wait is sent at
its timeout."""

PROCESS_GONE = " If its process has ended, the runs that it was executing are lost."

MOST_EXECUTING = 10_000

EXECUTING_SECONDS = 5.0
"""How long the first poll can be skipped after a stream has shown that a run executes. Later, the
run may have finished."""


@dataclass(slots=True, weakref_slot=True)
class ServerState:
    """Cached facts about a server.

    Attributes:
        generation: detected at the first call that needs it, and again when the server does not
            support the endpoint for reading a run.
        version: the version of ``@mastra/core``, if the server reports it.
        features: detected features of a server that does not report its version, with the time of
            detection; None for an inconclusive response.
        starts_once: whether concurrent starts of one run are known to execute it once.
        details: workflow definitions by key, with the time they were read.
        executing: the time at which a stream has shown that a run executes, by workflow and id,
            until the first wait for it, which can skip its first poll.
        bytes_left: the remaining receive budget for events, and the time of that value.
        looks_since: the start of the current poll on behalf of silent streams, which shows whether
            the server is only slow; minus infinity if there is none.
        has_looked_since: the start of the last such poll that got a response.
        has_responded: whether it has given a response that only a Mastra server gives, so that
            address and token were valid at that time.
        gone_at: when the server's process was last seen to be gone, and its running runs with it.
    """

    generation: ServerGeneration | None = None
    version: tuple[int, ...] | None = None
    features: dict[Feature, tuple[bool | None, float]] = field(default_factory=dict)
    starts_once: bool = False
    details: dict[str, tuple[float, WorkflowDetails]] = field(default_factory=dict)
    executing: dict[tuple[str, str], float] = field(default_factory=dict)
    bytes_left: tuple[float, float] = (0.0, -inf)
    looks_since: float = -inf
    has_looked_since: float = -inf
    has_responded: bool = False
    gone_at: float = -inf

    def note_executing(self, workflow_id: str, run_id: str, now: float) -> None:
        """Record that a stream has just shown that a run executes."""
        if len(self.executing) >= MOST_EXECUTING:
            self.executing.clear()  # each entry only saves one poll
        self.executing[workflow_id, run_id] = now

    def take_executing(self, workflow_id: str, run_id: str, now: float) -> bool:
        """Remove the record of `note_executing`; return whether it was recent."""
        noted = self.executing.pop((workflow_id, run_id), -inf)
        return now - noted <= EXECUTING_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A client's view of its server, with the retry behaviour of its requests.

    Attributes:
        retry: how transient failures are retried.
        check_data: whether data is validated against the workflow's schemas before it is sent.
        start_timeout: seconds until a server has to show that a run executes, or continues.
        timeout: seconds until a response has to begin; see `Settings`.
        clock: returns seconds from an arbitrary start; virtual in tests.
        known: cached facts, shared by all views of the same server.
        deadline: the time on the clock after which no request is retried, and at which each request
            times out.
        is_lasting: whether responses that are not Mastra's count as an outage, once the server is
            known to be a Mastra server.
        is_run_known: whether the run is known to have been started.
    """

    retry: RetryPolicy = field(default_factory=RetryPolicy)
    check_data: bool = True
    start_timeout: float = 30.0
    timeout: float = 30.0
    clock: Callable[[], float] = time.monotonic
    known: ServerState = field(default_factory=ServerState)
    deadline: float = inf
    is_lasting: bool = False
    is_run_known: bool = False

    @classmethod
    def of(cls, settings: Settings, known: ServerState) -> Server:
        """Create the view for a client with these settings."""
        return cls(
            known=known,
            retry=settings.retry or RetryPolicy(),
            check_data=settings.check_data,
            start_timeout=settings.start_timeout,
            timeout=settings.timeout,
        )

    def patient(self, seconds: float) -> Server:
        """Return a view that retries for this many seconds."""
        return replace(self, retry=replace(self.retry, seconds=seconds))

    def until(self, deadline: float) -> Server:
        """Return a view with a deadline on its clock."""
        return replace(self, deadline=deadline)

    def lasting(self, *, is_run_known: bool = False) -> Server:
        """Return a view that treats invalid responses as an outage.

        Examples are a 401, an HTML page, half a document and a 500.

        Args:
            is_run_known: whether the run is known to have been started. Then even the first
                response may be part of an outage.
        """
        return replace(self, is_lasting=True, is_run_known=self.is_run_known or is_run_known)

    def may_pass(self, error: BaseException) -> bool:
        """Return whether a request that failed with this error is retried."""
        if is_transient(error):
            return True
        if not self.is_lasting:
            return False
        if isinstance(error, UnknownWorkflowError):
            return self.is_run_known
        return (self.is_run_known or self.known.has_responded) and is_outage(error)

    def heed(self, error: BaseException) -> bool:
        """Record what an error shows of the server's process; return whether it may have ended."""
        is_gone = is_process_gone(error)
        if is_gone:
            self.known.gone_at = self.clock()
        return is_gone

    def read(self, response: Response, parse: Callable[[Response], T]) -> Procedure[T]:
        """Parse a response, and record that the server has given a valid one."""
        try:
            parsed: T = yield Parse(response, parse)
        except (UnknownRunError, UnknownWorkflowError):  # Mastra's own errors
            self.known.has_responded = True
            raise
        self.known.has_responded = True
        return parsed

    def ask(self, request: Request) -> Send:
        """Create the effect that sends a request before the deadline."""
        return Send(request, max(LEAST_SECONDS, self.deadline - self.clock()))


def sleep(seconds: float) -> Procedure[None]:
    """Sleep for a number of seconds."""
    yield Sleep(seconds)


def repeat(
    server: Server,
    retrying: Retrying,
    attempt: Callable[[], Procedure[T]],
    rest: Callable[[float], Procedure[None]] = sleep,
) -> Procedure[T]:
    """Run a procedure under a tenacity object: retry it with the object's waits and stop condition.

    This is tenacity's own loop, with sleeping left to the driver and the time taken from the
    server's clock.

    Args:
        rest: performs a wait of the given number of seconds.
    """
    retrying.begin()
    state = RetryCallState(retrying, fn=None, args=(), kwargs={})
    state.start_time = server.clock()
    while True:
        action = retrying.iter(retry_state=state)
        if isinstance(action, DoAttempt):
            try:
                result = yield from attempt()
            except Exception:
                if state.attempt_number == 1:
                    # The retry time begins now, so that a slow failure is retried as well.
                    state.start_time = server.clock()
                state.set_exception(sys.exc_info())  # type: ignore[arg-type]
            else:
                state.set_result(result)
            state.outcome_timestamp = server.clock()
        elif isinstance(action, DoSleep):
            state.prepare_for_next_attempt()
            yield from rest(float(action))
        else:
            return action  # type: ignore[no-any-return]


def through_outage(server: Server, attempt: Callable[[], Procedure[T]]) -> Procedure[T]:
    """Run a procedure that is safe to repeat; retry transient failures and log them."""
    failing = False

    def say(state: RetryCallState) -> None:
        nonlocal failing
        error = state.outcome.exception() if state.outcome is not None else None
        if error is None:
            return
        is_gone = server.heed(error)
        if not failing:
            log.warning(
                "Mastra server unavailable (%s); retrying for up to %g s.%s",
                error,
                round(server.retry.seconds, 1),
                PROCESS_GONE if is_gone else "",
            )
        failing = True

    retrying = server.retry.retrying(say, server.may_pass)
    stop, wait = retrying.stop, retrying.wait
    retrying.stop = lambda state: stop(state) or server.clock() >= server.deadline
    retrying.wait = lambda state: min(wait(state), max(0.0, server.deadline - server.clock()))
    result = yield from repeat(server, retrying, attempt)
    if failing:
        log.warning("Mastra server available again.")
    return result


def send(server: Server, request: Request) -> Procedure[Response]:
    """Send a request as `fetch` does, if only its success matters.

    Returns:
        The successful response.

    Raises:
        MastraError: see `api.check`.
    """
    return (yield from fetch(server, request, check))


def fetch(server: Server, request: Request, parse: Callable[[Response], T]) -> Procedure[T]:
    """Send a request and parse the response; retry transient failures if the request is repeatable.

    Args:
        parse: parses the response; an error of it is a failure, too.

    Raises:
        MastraError: see `api.check` and ``parse``.
    """

    def once() -> Procedure[T]:
        response: Response = yield server.ask(request)
        return (yield from server.read(response, parse))

    if not request.repeatable:
        return (yield from once())
    return (yield from through_outage(server, once))
