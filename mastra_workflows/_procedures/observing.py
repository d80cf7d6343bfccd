"""Wait for a run's events in place of sleeping between two polls.

Mastra's streams report the end of a step or a run within milliseconds. They are not authoritative,
and often there is none: for a run that was started without a stream, on another replica, after a
restart, or behind a buffering proxy. So a stream only ever shortens a wait. A poll that is due
still happens on time, unless the stream has shown that it is alive.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from math import inf

from mastra_workflows import _api as api
from mastra_workflows._api import Feature, ServerGeneration
from mastra_workflows._models import Event
from mastra_workflows._procedures._effects import Listen, Procedure, Server, Sleep, StreamResult
from mastra_workflows._procedures.features import supports
from mastra_workflows._procedures.reading import generation
from mastra_workflows._stream import OUTPUT, EventDeduplicator
from mastra_workflows.errors import BodyTooLargeError, ConnectionFailedError, NotMastraError

log = logging.getLogger(__name__)

NEARLY = 0.99
"""A timer may fire slightly before its time."""

LONGEST_PAUSE = 64
"""The maximum number of waits that only poll before a stream without events is tried again."""

AGAIN = 0.1
"""The share of its age so far by which the first-event deadline of a silent stream is extended."""

LOOK_SECONDS = 5.0
"""After this many seconds, the poll of one silent stream no longer replaces those of the others."""

BYTES_AT_ONCE = 8 * 1024 * 1024
BYTES_PER_SECOND = 1024 * 1024
"""The receive budget of one client for the events of all its runs: the burst and the rate. At this
rate, skipping events costs a few per cent of a core."""

BYTES_ALWAYS = 256 * 1024
"""What every wait may receive regardless of the budget: more than any run sends that streams no
text."""


def _ignore(_is_live: bool) -> None:
    pass


class Observer:
    """Subscribes to the events of one run on behalf of a wait.

    Args:
        server: the server.
        workflow_id: the workflow.
        run_id: the run.
        on_event: called once with each event, in order; outputs of steps are omitted.
        on_liveness: called with whether a stream has shown that the server executes the run; not
            called if it showed neither.
        enabled: False to poll only.
    """

    def __init__(
        self,
        server: Server,
        workflow_id: str,
        run_id: str,
        on_event: Callable[[Event], None] | None = None,
        *,
        on_liveness: Callable[[bool], None] = _ignore,
        enabled: bool = True,
    ) -> None:
        self._server = server
        self._workflow_id = workflow_id
        self._run_id = run_id
        self._on_event = on_event
        self._on_liveness = on_liveness
        self._once = EventDeduplicator()
        self._fruitless = 0
        self._pause = 0
        self._heard_bytes = 0
        self._is_too_dear = not enabled
        self._listens_since = -inf
        self._looks_since: float | None = None
        self._overdue = 0.0
        self._mode = ""

    def rest(self, seconds: float, within: float, silent_within: float) -> Procedure[None]:
        """Wait until the next poll of the run is due.

        It is due when the stream reports an end or a suspension, when the stream ends, after
        ``within`` seconds of a live stream or ``silent_within`` seconds of its silence, or after
        ``seconds`` if there is no live stream.

        Args:
            seconds: the poll interval.
            within: the maximum time to wait.
            silent_within: the maximum silence of a live stream, if longer than ``seconds``. A
                hanging server, and one that does not notice that another replica has finished the
                run, are as silent as one whose step is slow.
        """
        began = self._server.clock()
        overdue, self._overdue = self._overdue, max(0.0, self._overdue - seconds)
        if overdue >= seconds:
            return
        seconds -= overdue
        if self._pause > 0 or self._is_too_dear:
            self._pause -= 1
        elif (yield from self._listen(seconds, within, max(seconds, silent_within))):
            return
        left = min(seconds, within) - (self._server.clock() - began)
        if left > 0:
            yield Sleep(left)

    def _listen(self, seconds: float, within: float, silent_within: float) -> Procedure[bool]:
        """Receive events; return whether a poll is due."""
        began = self._server.clock()
        spent = self._heard_bytes
        stops = False

        def enough(event: Event) -> bool:
            nonlocal stops
            for new in self._once.feed(event):
                self._say("Run %r: receiving events.")
                if self._on_event is not None:
                    self._on_event(new)
                stops = stops or new.is_end or new.type in ("workflow-canceled", "workflow-paused")
            return stops

        which = yield from generation(self._server)
        # Verified on 1.71; `/observe` has its present form since 1.30. A stream of 0.24 never
        # reports a cancellation. A stream that may not report the end is read for one poll interval
        # at most.
        if not (yield from supports(self._server, Feature.OBSERVE_OFFSET)):
            within = min(seconds, within)
        request = api.watch(self._workflow_id, self._run_id, which, offset=api.NO_HISTORY)
        self._listens_since = self._server.clock()
        effect = Listen(
            request,
            enough,
            seconds=within,
            first_within=min(seconds, within),
            more_for_first=self._more_patience,
            silent_within=silent_within,
            affords=self._affords,
            passes_over=OUTPUT,
        )
        ended = broke = False
        try:
            heard: StreamResult = yield effect
            ended = heard.ended and api.is_success(
                heard.response.status_code, heard.response.headers
            )
        except (ConnectionFailedError, NotMastraError, BodyTooLargeError) as error:
            log.debug("Run %r: event stream failed: %s", self._run_id, error)
            broke = True
            self._server.heed(error)
        has_begun = self._heard_bytes > spent
        if which is ServerGeneration.V1 and not stops and (ended or has_begun):
            self._on_liveness(not ended)
        if stops:
            self._fruitless = 0
            self._overdue = 0.0
            return True
        if self._is_too_dear:
            self._say("Run %r: event stream too large, falling back to polling.")
            return False
        lasted = self._server.clock() - began >= min(seconds, within) * NEARLY
        # A stream of 1.x begins with past events. One of 0.x begins with new events, so its silence
        # proves nothing.
        if lasted and (which is ServerGeneration.V0 or has_begun):
            self._fruitless = 0
            self._overdue = 0.0
            return True
        self._fruitless += 1
        self._pause = min(2 ** (self._fruitless - 1) - 1, LONGEST_PAUSE)
        if self._fruitless > 1:
            self._say("Run %r: no events from the server, falling back to polling.")
        # The run, or the server's process, may have ended since the last poll.
        return (ended or broke) and self._fruitless == 1

    def _more_patience(self) -> float:
        """Return how many more seconds the stream may stay silent, when a poll is due.

        A burst of hundreds of streams takes the server seconds, and a poll behind them takes as
        long. So one of the waiting observers polls on behalf of all. After a response to that poll,
        a stream that is still silent is not delayed by a burst.
        """
        known, now = self._server.known, self._server.clock()
        if known.has_looked_since >= self._listens_since:
            return 0.0
        if now - known.looks_since < LOOK_SECONDS:
            more = (now - self._listens_since) * AGAIN
            self._overdue += more
            return more
        known.looks_since = self._looks_since = now
        return 0.0

    def looked(self, *, failed: bool) -> None:
        """Record that the run was polled after `rest`.

        Args:
            failed: whether the poll got no response.
        """
        known = self._server.known
        if self._looks_since is None:
            return
        if not failed:
            known.has_looked_since = max(known.has_looked_since, self._looks_since)
        if known.looks_since == self._looks_since:
            known.looks_since = -inf
        self._looks_since = None

    def _affords(self, size: int) -> bool:
        """Count received bytes; return whether more may be received."""
        self._heard_bytes += size
        known, now = self._server.known, self._server.clock()
        left, at = known.bytes_left
        left = min(BYTES_AT_ONCE, left + (now - at) * BYTES_PER_SECOND) - size
        known.bytes_left = (left, now)
        self._is_too_dear = left < 0 and self._heard_bytes > BYTES_ALWAYS
        return not self._is_too_dear

    def _say(self, text: str) -> None:
        """Log the current way of waiting, once for each change."""
        if text != self._mode:
            self._mode = text
            log.info(text, self._run_id)
