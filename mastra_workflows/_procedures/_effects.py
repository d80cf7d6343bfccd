"""What a procedure may ask its driver for, and how it asks again.

A procedure is a generator. It yields one of these values and is sent the answer; a driver carries
them out, with `requests` and `time.sleep` or with `aiohttp` and `asyncio.sleep`. So everything that
takes several calls is written once and can be tested in virtual time.
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
    """Send a request; the answer is its `Response`, whatever its status.

    Attributes:
        request: the request.
        within: seconds until the driver gives up, even if the answer makes progress. The
            settings of the client hold beside it.

    The driver raises `ConnectionFailedError` when there is no whole answer.
    """

    request: Request
    within: float = inf


@dataclass(frozen=True, slots=True)
class Sleep:
    """Sleep for so many seconds; the answer is None."""

    seconds: float


def _affords_all(_size: int) -> bool:
    return True


def _no_more() -> float:
    return 0.0


@dataclass(frozen=True, slots=True)
class Listen:
    """Send a request whose answer is a stream, and drop it at the first event that is enough.

    Attributes:
        request: the request.
        enough: given each event as it arrives.
        seconds: when to drop the stream though nothing was enough; may be infinite.
        first_within: when to drop it if nothing at all has come; None for no sooner.
        more_for_first: asked then for how many seconds more it may stay mute; 0 for none. The
            blocking driver does not ask.
        silent_within: when to drop it if nothing has come since the last piece of it.
        affords: given the size of each piece that arrives, in bytes; drops the stream by saying no.
        passes_over: types of events that nobody wants; they are not even parsed.

    The answer is a `StreamResult`. The driver raises `ConnectionFailedError` when the stream
    cannot be opened or is cut.
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
    """Send a request whose answer is a stream, for the driver to read; the answer is its own.

    The driver raises `MastraError` when the server refuses it or the connection fails.
    """

    request: Request


@dataclass(frozen=True, slots=True)
class StreamResult:
    """What `Listen` heard.

    Attributes:
        response: status and headers; the body is there only if it was no stream of events.
        last: the last event that was not passed over; None if there was none.
        ended: whether the server ended the stream.
    """

    response: Response
    last: Event | None
    ended: bool


@dataclass(frozen=True, slots=True)
class Parse:
    """Make a value of a response; the answer is that value.

    The asyncio driver does it in another thread where the response is large. What ``parse`` raises
    is raised.
    """

    response: Response
    parse: Callable[[Response], Any]


Effect = Send | Sleep | Listen | Open | Parse
Procedure = Generator[Effect, Any, T]


LEAST_SECONDS = 5.0
"""What each request is given, however little time is left: the last poll of a wait is sent when
its time is over."""

PROCESS_GONE = " If its process has ended, the runs that it was executing are lost."

MOST_UNDER_WAY = 10_000

UNDER_WAY_SECONDS = 5.0
"""For how long the first look at a run that a stream has shown to execute can be saved. It may well
be over since."""


@dataclass(slots=True, weakref_slot=True)
class ServerState:
    """What has been learnt of a server.

    Attributes:
        generation: found out at the first call that needs it, and anew when the server does not
            know the way in which it is asked for a run.
        version: of ``@mastra/core``, where the server tells.
        features: what a server that does not tell its version was found to have, with the time of
            the answer; None where the answer showed nothing.
        starts_once: whether it was found to execute a run once that is started several times.
        details: workflows by key, with the time they were read at.
        under_way: when a stream has shown a run, by workflow and id, to execute that nobody has
            waited for since: the first look at it can be saved.
        bytes_left: how much may be heard of runs now; with the time at which that was so.
        looks_since: since when one of those whose streams are mute looks at its run, which shows
            whether the server is only slow; minus infinity if nobody does.
        has_looked_since: since when the last of these looked that was answered.
        has_answered: whether it has answered as only a Mastra server does, so that address and
            token were right at that time.
        gone_at: when its process was last seen to be gone, and with it what it executed.
    """

    generation: ServerGeneration | None = None
    version: tuple[int, ...] | None = None
    features: dict[Feature, tuple[bool | None, float]] = field(default_factory=dict)
    starts_once: bool = False
    details: dict[str, tuple[float, WorkflowDetails]] = field(default_factory=dict)
    under_way: dict[tuple[str, str], float] = field(default_factory=dict)
    bytes_left: tuple[float, float] = (0.0, -inf)
    looks_since: float = -inf
    has_looked_since: float = -inf
    has_answered: bool = False
    gone_at: float = -inf

    def note_under_way(self, workflow_id: str, run_id: str, now: float) -> None:
        """Note that a stream has just shown that a run executes."""
        if len(self.under_way) >= MOST_UNDER_WAY:
            self.under_way.clear()  # each saves one look, that is all
        self.under_way[workflow_id, run_id] = now

    def take_under_way(self, workflow_id: str, run_id: str, now: float) -> bool:
        """Whether a stream has just shown that a run executes; the note of it is gone then."""
        noted = self.under_way.pop((workflow_id, run_id), -inf)
        return now - noted <= UNDER_WAY_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A client's view of its server, and how patiently it asks.

    Attributes:
        retry: how transient failures are retried.
        check_data: whether data is checked against the workflow's schemas before it is sent.
        start_timeout: seconds that a server may take to show that a run executes, or continues.
        timeout: seconds that one answer may take until it begins; see `Settings`.
        clock: seconds from any start; virtual in tests.
        known: what has been learnt so far; shared by every view of the same server.
        deadline: the time on the clock after which no request is repeated, and by which each is
            given up.
        is_lasting: whether answers that are not Mastra's count as an outage, like no answer, once
            the server is known to be a Mastra server.
        is_run_known: whether the run that is asked about is known to have been started.
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
        """The server that a client with these settings talks to."""
        return cls(
            known=known,
            retry=settings.retry or RetryPolicy(),
            check_data=settings.check_data,
            start_timeout=settings.start_timeout,
            timeout=settings.timeout,
        )

    def patient(self, seconds: float) -> Server:
        """The same server, asked for longer."""
        return replace(self, retry=replace(self.retry, seconds=seconds))

    def until(self, deadline: float) -> Server:
        """The same server, asked until a time on its clock."""
        return replace(self, deadline=deadline)

    def lasting(self, *, is_run_known: bool = False) -> Server:
        """The same server, asked about a run in the middle of something.

        A wrong answer (401, a page, half a document, a 500) is retried like no answer.

        Args:
            is_run_known: whether the run is known to have been started. Then the very first
                answer may be a wrong one.
        """
        return replace(self, is_lasting=True, is_run_known=self.is_run_known or is_run_known)

    def may_pass(self, error: BaseException) -> bool:
        """Whether a request that failed like this is repeated."""
        if is_transient(error):
            return True
        if not self.is_lasting:
            return False
        if isinstance(error, UnknownWorkflowError):
            return self.is_run_known
        return (self.is_run_known or self.known.has_answered) and is_outage(error)

    def heed(self, error: BaseException) -> bool:
        """Note what a failure says of the server's process; whether that may have ended."""
        is_gone = is_process_gone(error)
        if is_gone:
            self.known.gone_at = self.clock()
        return is_gone

    def read(self, response: Response, parse: Callable[[Response], T]) -> Procedure[T]:
        """Parse an answer, and note that the server has given one."""
        try:
            parsed: T = yield Parse(response, parse)
        except (UnknownRunError, UnknownWorkflowError):  # words of Mastra's own
            self.known.has_answered = True
            raise
        self.known.has_answered = True
        return parsed

    def ask(self, request: Request) -> Send:
        """The effect that sends a request, limited by the deadline."""
        return Send(request, max(LEAST_SECONDS, self.deadline - self.clock()))


def sleep(seconds: float) -> Procedure[None]:
    """Do nothing for so many seconds."""
    yield Sleep(seconds)


def repeat(
    server: Server,
    retrying: Retrying,
    attempt: Callable[[], Procedure[T]],
    rest: Callable[[float], Procedure[None]] = sleep,
) -> Procedure[T]:
    """Run a procedure under a tenacity object: again, after its waits, for as long as it says.

    This is tenacity's own loop with the sleeping left to the driver and the time to the server's
    clock.

    Args:
        rest: what is done in a wait of so many seconds.
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
                    # The time to try again in begins now: what failed slowly is tried again, too.
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
    """Run a procedure that is safe to repeat, again after failures that may pass, and say so."""
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
        log.warning("The Mastra server answers again.")
    return result


def send(server: Server, request: Request) -> Procedure[Response]:
    """As `fetch`, for an answer of which only the success matters.

    Returns:
        The answer of a success.

    Raises:
        MastraError: as `api.check` says.
    """
    return (yield from fetch(server, request, check))


def fetch(server: Server, request: Request, parse: Callable[[Response], T]) -> Procedure[T]:
    """Send a request and parse its answer, again after failures that may pass if that is safe.

    Args:
        parse: makes a value of the answer; an answer that it refuses is a failure, too.

    Raises:
        MastraError: as `api.check` and ``parse`` say.
    """

    def once() -> Procedure[T]:
        response: Response = yield server.ask(request)
        return (yield from server.read(response, parse))

    if not request.repeatable:
        return (yield from once())
    return (yield from through_outage(server, once))
