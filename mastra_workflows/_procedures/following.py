"""Follow a run's events for a caller who iterates over them, without gaps or duplicates."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from mastra_workflows import _api as api
from mastra_workflows._api import Request
from mastra_workflows._models import Event, WorkflowRun
from mastra_workflows._procedures._effects import Open, Procedure, Server, Sleep, through_outage
from mastra_workflows._procedures.reading import check_watchable, read_run
from mastra_workflows._stream import EventDeduplicator
from mastra_workflows.errors import ConnectionFailedError

log = logging.getLogger(__name__)

MOST_CUTS = 5
"""How many times in a row a stream may be cut, or end, without a new event."""


class Follower:
    """Keeps a run's stream open: reopens it after a cut, and drops the events that it repeats.

    A reopened `/observe` stream begins with the past events. A reopened `/watch` stream of 0.x does
    not: the events between the cut and the reopening are only in the run's record. A `/watch`
    stream of a finished run neither ends nor sends an event, so the record is read once the stream
    is open.

    Args:
        server: the server.
        workflow_id: the workflow.
        run_id: the run.
        request: the request that opens the first stream: a start, a resume, or a request to watch.
        after: for a resume, the latest time in the record before it; a reopened stream also replays
            earlier rounds, which are dropped up to this time.
    """

    def __init__(
        self,
        server: Server,
        workflow_id: str,
        run_id: str,
        request: Request,
        after: datetime | None = None,
    ) -> None:
        self._server = server
        self._workflow_id = workflow_id
        self.run_id = run_id
        self._request = request
        self._is_watch = request.method == "GET"  # 0.x only: all others are POSTs
        self._once = EventDeduplicator(after)
        self._is_over = False
        self._has_news = False
        self._was_cut = False
        self._cuts = 0

    def open(self) -> Procedure[Any]:
        """Open the stream.

        Raises:
            MastraError: the server refused; see `api.check`.
            NotActiveError: the run finished before the ``/watch`` stream of 0.x was open.
        """
        if not self._is_watch:
            return (yield Open(self._request))
        response, run = yield from self._watch()
        if run.is_finished:
            response.close()
        check_watchable(run)
        return response

    def _watch(self) -> Procedure[tuple[Any, WorkflowRun]]:
        """Open the ``/watch`` stream of 0.x, then read the record: one of them reports the end."""
        response = yield Open(self._request)
        try:
            return response, (yield from self._read())
        except BaseException:
            response.close()
            raise

    def _read(self) -> Procedure[WorkflowRun]:
        return read_run(self._server, self._workflow_id, self.run_id)

    def feed(self, event: Event) -> Iterator[Event]:
        """Yield the events to pass on to the caller after a received event."""
        for new in self._once.feed(event):
            self._has_news = True
            self._is_over = new.is_end
            yield new

    def reopen(self, cut: ConnectionFailedError | None) -> Procedure[Any]:
        """Continue after a stream has ended.

        Args:
            cut: the error that cut the stream; None if the server ended it.

        Returns:
            The next stream; None if there are no more events.

        Raises:
            ConnectionFailedError: the stream is cut repeatedly, the server is unreachable, or it
                sends no more events of a run that continues.
        """
        self._cuts = 0 if self._has_news else self._cuts + 1
        has_news, self._has_news = self._has_news, False
        if self._is_over or (cut is None and not has_news and not self._was_cut):
            return None
        self._was_cut = True
        if cut is not None and self._cuts >= MOST_CUTS:
            raise cut
        if not has_news:
            yield Sleep(self._server.retry.first_wait * 2**self._cuts)
        run = yield from self._read()
        if not run.is_active and (cut is None or self._is_watch):
            return None
        if self._cuts >= MOST_CUTS:
            raise _tells_no_more(run)
        log.info("%s; reopening its event stream (%s).", run, cut or "ended early")
        if not self._is_watch:
            self._once.expect_replay()
            return (yield from through_outage(self._server, self._observe))
        response, run = yield from through_outage(self._server, self._watch)
        if run.is_active:
            return response
        response.close()
        return None

    def _observe(self) -> Procedure[Any]:
        return (yield Open(api.observe(self._workflow_id, self.run_id)))


def _tells_no_more(run: WorkflowRun) -> ConnectionFailedError:
    return ConnectionFailedError(
        f"{run}, but its event stream was cut and the server sends no more events: another replica "
        "executes the run, or the server lost it by restarting. Call `wait`, which polls the "
        "record.",
        request_sent=True,
    )
