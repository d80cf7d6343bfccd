"""Find the pending requests of a workflow's suspended runs that were not returned before."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from itertools import count

from mastra_workflows._api import RunFilter, ServerGeneration
from mastra_workflows._arguments import require_instance
from mastra_workflows._models import RunStatus, StepPath, WorkflowRun
from mastra_workflows._procedures._effects import Procedure, Server
from mastra_workflows._procedures.reading import find_run, generation, runs_page
from mastra_workflows._procedures.resuming import supports_for_each_index
from mastra_workflows.hitl._inbox import InboxOptions, InboxPage, InboxState
from mastra_workflows.hitl._pending_requests import (
    PendingRequest,
    first_of_each_step,
    pending_requests,
)

PAGE_SIZE = 20


def new_pending_requests(
    server: Server, workflow_id: str, state: InboxState, options: InboxOptions, now: datetime
) -> Procedure[InboxPage]:
    """Return the pending requests of a workflow's runs that are not in the state.

    The list of runs only shows which runs are suspended. The requests come from the record of each
    run, since the list and the record differ in the suspension time of a nested step.

    Args:
        now: the current aware time, for `InboxState`.
    """
    require_instance("state", state, InboxState, "the state of an inbox")
    server = server.lasting()
    rows, state = yield from _suspended_runs(server, workflow_id, state, options, now)
    by_row = [pending_requests(row) for row in rows]
    has_items = any(item.suspension.for_each_index is not None for row in by_row for item in row)
    if has_items and not (yield from supports_for_each_index(server)):
        by_row = [tuple(first_of_each_step(row)) for row in by_row]
    listed = {item.key: item for row in by_row for item in row}
    state = state.keep(listed, now)
    again = None if options.repeat_after is None else timedelta(seconds=options.repeat_after)
    by_run: dict[str, list[PendingRequest]] = {}
    for item in sorted(listed.values(), key=_since):
        if state.is_due(item.key, now, again):
            by_run.setdefault(item.run_id, []).append(item)
    found: list[PendingRequest] = []
    most = math.inf if options.most is None else options.most
    while by_run and len(found) < most:
        run_id = next(iter(by_run))
        record = yield from find_run(server, workflow_id, run_id)
        asked = {_place(item): item for item in (pending_requests(record) if record else ())}
        for item in by_run.pop(run_id):
            pending_request = asked.get(_place(item))
            if pending_request is None:
                continue  # responded to since the list was read
            if state.is_due(pending_request.key, now, again):
                found.append(pending_request)
                state = state.note((item.key, pending_request.key), now, now)
            else:  # the list was older than the record at an earlier poll
                state = state.note((item.key,), state.noted[pending_request.key].asked, now)
    return InboxPage(tuple(sorted(found, key=_since)), state, has_more=bool(by_run))


def _suspended_runs(
    server: Server, workflow_id: str, state: InboxState, options: InboxOptions, now: datetime
) -> Procedure[tuple[list[WorkflowRun], InboxState]]:
    """Return the rows of a workflow's suspended runs, and the state after reading them."""
    which = yield from generation(server)
    if which is ServerGeneration.V1:
        filters = RunFilter(status=RunStatus.SUSPENDED)
    else:
        lookback = timedelta(seconds=options.lookback)
        filters = RunFilter(from_date=state.look_back(now, lookback))
    rows: list[WorkflowRun] = []
    for number in count():
        page = yield from runs_page(server, workflow_id, page=number, per_page=PAGE_SIZE, **filters)
        rows += page.runs
        if page.is_last:
            break
    if which is ServerGeneration.V0:
        state = state.advance(rows)
    return [row for row in rows if row.status == RunStatus.SUSPENDED], state


def _since(pending_request: PendingRequest) -> datetime:
    return pending_request.suspension.suspended_at or datetime.min.replace(tzinfo=UTC)


def _place(pending_request: PendingRequest) -> tuple[StepPath, int | None]:
    return pending_request.suspension.step, pending_request.suspension.for_each_index
