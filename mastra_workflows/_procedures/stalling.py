"""Detect runs that their server has lost.

A restarted Mastra process leaves its runs ``running`` or ``waiting`` forever, and the record of a
lost run is the same as that of a slow step. The event stream distinguishes them: the `/observe`
stream of a run that the process executes stays open, that of a lost run ends at once. It also ends
at once for runs that were started or restarted without a stream, and on another replica. So a run
counts as lost only after a long time without progress, or if the server was seen to execute it
before the process was gone for a moment.
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
"""How many times, and how many seconds apart, a server that was gone is probed for a run that it
executed before. If two replicas take turns, only one executes the run, and half of the responses
are wrong."""

MOST_CHECKS = 2 * LOST_CHECKS
"""The maximum number of probes, since some responses are inconclusive."""

LIVENESS_AFTER = 10.0
"""How many seconds into a wait the server is probed first, if no stream has shown whether it
executes the run."""

Moments = tuple[datetime | None, ...]
Trace = tuple[str, datetime | None, tuple[tuple[StepPath, str, Moments], ...]]


class StallWatch:
    """Detects that the record of a run has stopped changing; one for each wait.

    After ``timeout`` seconds without progress, it probes whether the server executes the run. If
    the server's process was gone for a moment, and the server was seen to execute the run before,
    it probes at once; then several times, since only one of several replicas may execute the run.

    Args:
        server: the server.
        timeout: seconds without progress before a probe; infinite for no probes.
        on_stall: what to do about a stalled run.
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
        """Record whether a stream has shown that the server executes the run."""
        if is_live:
            self._is_live = True
            self._live_at = self._server.clock()
        elif not self._was_gone:
            self._is_live = False  # started or resumed without a stream, or on another replica

    def check(self, run: WorkflowRun) -> Procedure[WorkflowRun]:
        """Compare a record with the previous one; act if the run has stalled or seems lost.

        Returns:
            The record, or a newer one.

        Raises:
            RunStalledError: the run has stalled, with ``on_stall="fail"``, or after a restart
                without effect.
        """
        now = self._server.clock()
        resumed_at = max((step.resumed_at for step in run.steps if step.resumed_at), default=None)
        if not run.is_active or resumed_at != self._resumed_at:
            self._is_live, self._resumed_at = None, resumed_at  # another process may execute it now
        if run.is_active and self._is_live and self._was_gone and self._timeout < inf:
            return (yield from self._check_after_absence(run))
        if not run.is_active or trace(run) != self._trace:
            self._note(run)
            self._restarted = False
        elif now - self._since >= self._timeout:
            if (yield from _is_executing(self._server, run)) is not False:
                self._note(run)
                return run
            # The stream also ends when the run has finished.
            newer = yield from read_run(self._server, run.workflow_id, run.run_id)
            if newer.is_active and trace(newer) == self._trace:
                yield from self._act(newer, f"has made no progress for {self._timeout:g} s")
        if run.is_active and self._is_live is None and self._asks(now):
            is_live = yield from _is_executing(self._server, run)
            if is_live is not None:
                self.note_liveness(is_live)
        return run

    def _asks(self, now: float) -> bool:
        """Return whether to probe before a stall; 1.x streams show observers the liveness."""
        is_notified = self._observes and self._server.known.generation is ServerGeneration.V1
        return not is_notified and self._timeout < inf and now - self._began >= LIVENESS_AFTER

    @property
    def _was_gone(self) -> bool:
        return self._server.known.gone_at >= max(self._live_at, self._began)

    def _check_after_absence(self, run: WorkflowRun) -> Procedure[WorkflowRun]:
        """Probe whether a server that was gone still executes the run."""
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
                    "has made no progress since an outage of its server, which does not execute it "
                    f"({LOST_CHECKS} probes)",
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
            log.warning("%s. Continuing to wait, since on_stall is 'wait'.", stalled)
            self._note(run)
            return
        if self._on_stall == "fail" or self._restarted:
            tried = " A restart had no effect." if self._restarted else ""
            raise RunStalledError(
                f"{stalled}. The server lost the run by restarting, or cannot store the output of "
                f"a step, such as a BigInt.{tried} A lost run stays in this state: set "
                "on_stall='restart' to continue it (Mastra 0.24.8 and later), or start a new run.",
                run,
            )
        log.warning("%s. Restarting it from its last finished step.", stalled)
        self._note((yield from restart(self._server, run.workflow_id, run.run_id)))
        self._restarted = True


def trace(run: WorkflowRun) -> Trace:
    """Return the parts of a record that change when a run makes progress."""
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
    """Return a text that changes when a run makes progress."""
    return hashlib.sha256(repr(trace(run)).encode()).hexdigest()[:16]


def _is_executing(server: Server, run: WorkflowRun) -> Procedure[bool | None]:
    """Return whether the server executes a run: whether its stream of the run stays open.

    Returns:
        None if the response is inconclusive: an outage is no stall.
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
