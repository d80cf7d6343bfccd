"""Runs that their server has lost.

A Mastra process that restarts leaves what it executed ``running`` or ``waiting`` for ever, and the
record of such a run looks like that of one with a slow step. What tells them apart is the server's
stream: `/observe` of a run that this process executes stays open, of a lost one it ends at once.
It also ends at once for runs begun or restarted without a stream, and on another replica; so a run
has to have stood still for long before it is asked at all.
"""

from __future__ import annotations

import hashlib
import logging
from datetime import datetime
from typing import Literal

from mastra_workflows import api
from mastra_workflows.errors import ConnectionFailedError, RunStalledError
from mastra_workflows.models import StepPath, WorkflowRun
from mastra_workflows.procedures._effects import Heard, Listen, Procedure, Server
from mastra_workflows.procedures.acting import restart
from mastra_workflows.procedures.reading import read_run

log = logging.getLogger(__name__)

OnStall = Literal["fail", "restart", "wait"]
"""What to do about a run that its server seems to have lost."""

OBSERVE_SECONDS = 1.0

Moments = tuple[datetime | None, ...]
Trace = tuple[str, datetime | None, tuple[tuple[StepPath, str, Moments], ...]]


class StallWatch:
    """Notices that a run's record stands still; one for each wait."""

    def __init__(self, server: Server, *, timeout: float, on_stall: OnStall) -> None:
        self._server = server
        self._timeout = timeout
        self._on_stall = on_stall
        self._trace: Trace | None = None
        self._since = server.clock()
        self._restarted = False

    def check(self, run: WorkflowRun) -> Procedure[None]:
        """Take note of a record; act if nothing has moved for too long.

        Raises:
            RunStalledError: with ``on_stall="fail"``, or when a restart did not help.
        """
        now = self._server.clock()
        if not run.is_active or trace(run) != self._trace:
            self._note(run)
            self._restarted = False
        elif now - self._since >= self._timeout:
            if (yield from _is_executing(self._server, run)):
                self._note(run)
                return
            # Its stream ends, too, when the run does.
            run = yield from read_run(self._server, run.workflow_id, run.run_id)
            if run.is_active and trace(run) == self._trace:
                yield from self._act(run)

    def _note(self, run: WorkflowRun) -> None:
        self._trace = trace(run)
        self._since = self._server.clock()

    def _act(self, run: WorkflowRun) -> Procedure[None]:
        stalled = (
            f"{run}, but nothing has moved for {self._timeout:g} s "
            "and its server says nothing of it"
        )
        if self._on_stall == "wait":
            log.warning("%s. Waiting on, since on_stall is 'wait'.", stalled)
            self._note(run)
            return
        if self._on_stall == "fail" or self._restarted:
            tried = " It was restarted before, without effect." if self._restarted else ""
            raise RunStalledError(
                f"{stalled}: was the server restarted?{tried} A lost run stays like this for ever. "
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


def _is_executing(server: Server, run: WorkflowRun) -> Procedure[bool]:
    """Whether the server's stream of a run stays open: then it is at work on it."""
    request = api.observe(run.workflow_id, run.run_id)
    try:
        heard: Heard = yield Listen(request, lambda _: False, OBSERVE_SECONDS)
    except ConnectionFailedError:
        return True  # an outage is no stall; the next look tells
    response = heard.response
    return api.is_success(response.status_code, response.headers) and not heard.ended
