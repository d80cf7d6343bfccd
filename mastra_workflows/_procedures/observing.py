"""Being told when to look at a run again, in place of sleeping between two looks.

Mastra's streams tell of a step's or a run's end within milliseconds. They are not the truth, and
often there is none: of a run that was begun without a stream, on another replica, after a restart,
through a proxy that keeps back what it gets. So a stream only ever shortens a wait. What polling
would have done at its time is done at that time, unless the stream has shown that it is alive.
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
"""A timer may go off a little before its time."""

LONGEST_PAUSE = 64
"""How many waits pass by polling, at most, before a stream that gave nothing is tried again."""

AGAIN = 0.1
"""After which part of its time so far a mute stream is thought of again."""

LOOK_SECONDS = 5.0
"""Who looks for longer than this no longer looks for the others as well."""

BYTES_AT_ONCE = 8 * 1024 * 1024
BYTES_PER_SECOND = 1024 * 1024
"""What one client may hear of all its runs. Passing so much over costs a few per cent of a core."""

BYTES_ALWAYS = 256 * 1024
"""What a wait may always hear: more than any run says that does not stream text."""


def _ignore(_is_live: bool) -> None:
    pass


class Observer:
    """Listens to one run for one who waits for it.

    Args:
        server: the server.
        workflow_id: the workflow.
        run_id: the run.
        on_event: given each event once, in its order; outputs of steps are left out.
        on_liveness: told whether a stream has shown that the server executes the run; not where it
            showed neither.
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
        """Let time pass until a look at the run is due.

        That is when its stream tells of an end or a suspension, when the stream ends, after
        ``within`` seconds of a live stream or ``silent_within`` of its silence, or after
        ``seconds`` if there is no live stream.

        Args:
            seconds: how long polling would wait.
            within: how long to wait at most.
            silent_within: how long a stream may say nothing more, if that is more than ``seconds``.
                A server that hangs and one that does not know that another one has ended the run
                are as silent as one whose step takes long.
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
        """Whether a look is due."""
        began = self._server.clock()
        spent = self._heard_bytes
        stops = False

        def enough(event: Event) -> bool:
            nonlocal stops
            for new in self._once.feed(event):
                self._say("Waiting on the server's events of run %r.")
                if self._on_event is not None:
                    self._on_event(new)
                stops = stops or new.is_end or new.type in ("workflow-canceled", "workflow-paused")
            return stops

        which = yield from generation(self._server)
        # Seen so on 1.71; `/observe` has its present form since 1.30. A stream of 0.24 never tells
        # that its run was cancelled. One that may not be relied on to tell of the end is listened
        # to for no longer than polling would wait.
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
            log.debug("The stream of run %r broke: %s", self._run_id, error)
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
            self._say("Run %r says more than waiting for it is worth; looking at it now and then.")
            return False
        lasted = self._server.clock() - began >= min(seconds, within) * NEARLY
        # A stream of 1.x begins with what has happened; one of 0.x with what happens next, so that
        # its silence means nothing.
        if lasted and (which is ServerGeneration.V0 or has_begun):
            self._fruitless = 0
            self._overdue = 0.0
            return True
        self._fruitless += 1
        self._pause = min(2 ** (self._fruitless - 1) - 1, LONGEST_PAUSE)
        if self._fruitless > 1:
            self._say("The server tells nothing of run %r as it happens; looking now and then.")
        # The run may have ended since it was looked at, or the server's process.
        return (ended or broke) and self._fruitless == 1

    def _more_patience(self) -> float:
        """For how many seconds more the stream may say nothing, when polling would look.

        Hundreds of streams that are asked for at once take their server seconds, and so does a
        look that is asked for behind them. So one of those that wait looks for all of them. Once
        that is answered, it is no burst that keeps a stream which has still said nothing.
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

    def looked(self, *, in_vain: bool) -> None:
        """The run has been looked at, as `rest` has let it be.

        Args:
            in_vain: whether there was no answer.
        """
        known = self._server.known
        if self._looks_since is None:
            return
        if not in_vain:
            known.has_looked_since = max(known.has_looked_since, self._looks_since)
        if known.looks_since == self._looks_since:
            known.looks_since = -inf
        self._looks_since = None

    def _affords(self, size: int) -> bool:
        """Take note of what has come; whether more may come."""
        self._heard_bytes += size
        known, now = self._server.known, self._server.clock()
        left, at = known.bytes_left
        left = min(BYTES_AT_ONCE, left + (now - at) * BYTES_PER_SECOND) - size
        known.bytes_left = (left, now)
        self._is_too_dear = left < 0 and self._heard_bytes > BYTES_ALWAYS
        return not self._is_too_dear

    def _say(self, text: str) -> None:
        """Say in the log which way of waiting it is now; once for each change."""
        if text != self._mode:
            self._mode = text
            log.info(text, self._run_id)
