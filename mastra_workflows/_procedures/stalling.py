"""Runs that their server has lost.

A Mastra process that restarts leaves what it executed ``running`` or ``waiting`` for ever, and the
record of such a run looks like that of one with a slow step. What tells them apart is the server's
stream: `/observe` of a run that this process executes stays open, of a lost one it ends at once.
It also ends at once for runs begun or restarted without a stream, and on another replica; so a run
has to have stood still for long before it counts, or to have been seen to execute before the
server's process was gone for a moment.
"""

from __future__ import annotations

import hashlib
import logging
from datetime import datetime
from math import inf

from mastra_workflows import _api as api
from mastra_workflows._api import ServerGeneration
from mastra_workflows._models import StepPath, WorkflowRun
from mastra_workflows._options import OnStall
from mastra_workflows._procedures._effects import Listen, Procedure, Server, Sleep, StreamResult
from mastra_workflows._procedures.acting import restart
from mastra_workflows._procedures.reading import read_run
from mastra_workflows.errors import (
    BodyTooLargeError,
    ConnectionFailedError,
    NotMastraError,
    RunStalledError,
)

log = logging.getLogger(__name__)

OBSERVE_SECONDS = 1.0

LOST_CHECKS = 15
LOST_PAUSE = 3.0
"""How often, and with which pause, a server that was gone is asked for a run that it executed
before. Of two replicas that take turns, one executes it: each answer is wrong by one half."""

MOST_CHECKS = 2 * LOST_CHECKS
"""How often it is asked at most, since not every answer tells."""

LIVENESS_AFTER = 10.0
"""After how many seconds of a wait the server is asked for the first time where no stream has shown
whether it executes the run."""

Moments = tuple[datetime | None, ...]
Trace = tuple[str, datetime | None, tuple[tuple[StepPath, str, Moments], ...]]


class StallWatch:
    """Notices that a run's record stands still; one for each wait.

    After ``timeout`` seconds the server is asked whether it executes the run. It is asked at once
    when its process was gone for a moment, if it was seen to execute the run before that; then
    several times, since one of several replicas may be the one that executes it.

    Args:
        server: the server.
        timeout: seconds in which nothing moves; infinite to ask nothing.
        on_stall: what to do then.
        observes: whether the wait subscribes to the run's events.
        until: the time on the server's clock at which the wait ends.
    """

    def __init__(
        self, server: Server, *, timeout: float, on_stall: OnStall, observes: bool, until: float
    ) -> None:
        self._server = server
        self._timeout = timeout
        self._on_stall = on_stall
        self._observes = observes
        self._until = until
        self._began = self._since = server.clock()
        self._trace: Trace | None = None
        self._restarted = False
        self._is_live: bool | None = None
        self._live_at = -inf
        self._resumed_at: datetime | None = None

    def note_liveness(self, is_live: bool) -> None:
        """Take note of what a stream has shown: whether the server executes the run."""
        if is_live:
            self._is_live = True
            self._live_at = self._server.clock()
        elif not self._was_gone:
            self._is_live = False  # begun or resumed without a stream, or on another replica

    def check(self, run: WorkflowRun) -> Procedure[WorkflowRun]:
        """Take note of a record; act if nothing has moved for too long, or the run seems lost.

        Returns:
            The record, or a newer one.

        Raises:
            RunStalledError: with ``on_stall="fail"``, or when a restart did not help.
        """
        now = self._server.clock()
        resumed_at = max((step.resumed_at for step in run.steps if step.resumed_at), default=None)
        if not run.is_active or resumed_at != self._resumed_at:
            self._is_live, self._resumed_at = None, resumed_at  # another process may have it now
        if run.is_active and self._is_live and self._was_gone and self._timeout < inf:
            return (yield from self._check_after_absence(run))
        if not run.is_active or trace(run) != self._trace:
            self._note(run)
            self._restarted = False
        elif now - self._since >= self._timeout:
            if (yield from _is_executing(self._server, run)) is not False:
                self._note(run)
                return run
            # Its stream ends, too, when the run does.
            newer = yield from read_run(self._server, run.workflow_id, run.run_id)
            if newer.is_active and trace(newer) == self._trace:
                yield from self._act(newer, f"nothing has moved for {self._timeout:g} s")
        if run.is_active and self._is_live is None and self._asks(now):
            is_live = yield from _is_executing(self._server, run)
            if is_live is not None:
                self.note_liveness(is_live)
        return run

    def _asks(self, now: float) -> bool:
        """Whether to ask for a run that stands still not yet; 1.x tells those who observe."""
        is_told = self._observes and self._server.known.generation is ServerGeneration.V1
        return not is_told and self._timeout < inf and now - self._began >= LIVENESS_AFTER

    @property
    def _was_gone(self) -> bool:
        return self._server.known.gone_at >= max(self._live_at, self._began)

    def _check_after_absence(self, run: WorkflowRun) -> Procedure[WorkflowRun]:
        """Find out whether a server that was gone still executes the run."""
        before = trace(run)
        refusals = 0
        for _ in range(MOST_CHECKS):
            is_live = yield from _is_executing(self._server, run)
            if is_live:
                self.note_liveness(True)
                self._note(run)
                return run
            refusals += is_live is False
            if refusals == LOST_CHECKS:
                yield from self._act(
                    run,
                    "since its server was unreachable nothing has moved, and the server has said "
                    f"{LOST_CHECKS} times that it does not execute it",
                )
                self._is_live = False
                return run
            left = self._until - self._server.clock()
            if left <= 0:
                return run
            yield Sleep(min(LOST_PAUSE, left))
            run = yield from read_run(self._server, run.workflow_id, run.run_id)
            if not run.is_active or trace(run) != before:
                break
        self._is_live = None
        self._note(run)
        return run

    def _note(self, run: WorkflowRun) -> None:
        self._trace = trace(run)
        self._since = self._server.clock()

    def _act(self, run: WorkflowRun, why: str) -> Procedure[None]:
        stalled = f"{run}, but {why}"
        if self._on_stall == "wait":
            log.warning("%s. Waiting on, since on_stall is 'wait'.", stalled)
            self._note(run)
            return
        if self._on_stall == "fail" or self._restarted:
            tried = " It was restarted before, without effect." if self._restarted else ""
            raise RunStalledError(
                f"{stalled}: was the server restarted? Or can it not store what a step returned, "
                f"such as a BigInt?{tried} A lost run stays like this for ever. "
                "on_stall='restart' continues it (Mastra 0.24.8 and later), a new run repeats it.",
                run,
            )
        log.warning("%s. Restarting it from its last finished step.", stalled)
        self._note((yield from restart(self._server, run.workflow_id, run.run_id)))
        self._restarted = True


def trace(run: WorkflowRun) -> Trace:
    """What changes in a record when a run makes progress."""
    return (
        run.status,
        run.updated_at,
        tuple(
            (
                step.path,
                step.status,
                (step.started_at, step.ended_at, step.suspended_at, step.resumed_at),
            )
            for step in run.steps
        ),
    )


def fingerprint(run: WorkflowRun) -> str:
    """A text that changes when a run makes progress."""
    return hashlib.sha256(repr(trace(run)).encode()).hexdigest()[:16]


def _is_executing(server: Server, run: WorkflowRun) -> Procedure[bool | None]:
    """Whether the server's stream of a run stays open: then it is at work on it.

    Returns:
        None if the answer does not tell: an outage is no stall.
    """
    request = api.observe(run.workflow_id, run.run_id)
    try:
        heard: StreamResult = yield Listen(request, lambda _: False, OBSERVE_SECONDS)
    except (ConnectionFailedError, NotMastraError, BodyTooLargeError) as error:
        server.heed(error)
        return None
    response = heard.response
    if api.is_success(response.status_code, response.headers):
        return not heard.ended
    return False if response.status_code == 404 else None
