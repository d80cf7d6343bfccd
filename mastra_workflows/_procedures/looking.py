"""Looking for questions: what the suspended runs of a workflow ask that was not given out yet."""

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
from mastra_workflows.hitl._inbox import Look, LookOptions, Memory
from mastra_workflows.hitl._questions import Question, first_of_each_step, questions

PAGE_SIZE = 20


def new_questions(
    server: Server, workflow_id: str, memory: Memory, options: LookOptions, now: datetime
) -> Procedure[Look]:
    """The questions of a workflow's runs that the memory does not know.

    The list of runs only shows which runs are suspended. The questions come from each run's record,
    since the two differ in the time of a nested step's suspension.

    Args:
        now: the time, aware; that of `Memory`.
    """
    require_instance("memory", memory, Memory, "the memory of a look")
    server = server.lasting()
    rows, memory = yield from _suspended_runs(server, workflow_id, memory, options, now)
    by_row = [questions(row) for row in rows]
    has_items = any(item.suspension.for_each_index is not None for row in by_row for item in row)
    if has_items and not (yield from supports_for_each_index(server)):
        by_row = [tuple(first_of_each_step(row)) for row in by_row]
    listed = {item.key: item for row in by_row for item in row}
    memory = memory.keep(listed, now)
    again = None if options.repeat_after is None else timedelta(seconds=options.repeat_after)
    by_run: dict[str, list[Question]] = {}
    for item in sorted(listed.values(), key=_since):
        if memory.is_due(item.key, now, again):
            by_run.setdefault(item.run_id, []).append(item)
    found: list[Question] = []
    most = math.inf if options.most is None else options.most
    while by_run and len(found) < most:
        run_id = next(iter(by_run))
        record = yield from find_run(server, workflow_id, run_id)
        asked = {_place(item): item for item in (questions(record) if record else ())}
        for item in by_run.pop(run_id):
            question = asked.get(_place(item))
            if question is None:
                continue  # answered since the list was made
            if memory.is_due(question.key, now, again):
                found.append(question)
                memory = memory.note((item.key, question.key), now, now)
            else:  # the list was behind the record at an earlier look
                memory = memory.note((item.key,), memory.noted[question.key].asked, now)
    return Look(tuple(sorted(found, key=_since)), memory, has_more=bool(by_run))


def _suspended_runs(
    server: Server, workflow_id: str, memory: Memory, options: LookOptions, now: datetime
) -> Procedure[tuple[list[WorkflowRun], Memory]]:
    """The rows of a workflow's suspended runs, and the memory with how far they were read."""
    which = yield from generation(server)
    if which is ServerGeneration.V1:
        filters = RunFilter(status=RunStatus.SUSPENDED)
    else:
        lookback = timedelta(seconds=options.lookback)
        filters = RunFilter(from_date=memory.look_back(now, lookback))
    rows: list[WorkflowRun] = []
    for number in count():
        page = yield from runs_page(server, workflow_id, page=number, per_page=PAGE_SIZE, **filters)
        rows += page.runs
        if page.is_last:
            break
    if which is ServerGeneration.V0:
        memory = memory.advance(rows)
    return [row for row in rows if row.status == RunStatus.SUSPENDED], memory


def _since(question: Question) -> datetime:
    return question.suspension.suspended_at or datetime.min.replace(tzinfo=UTC)


def _place(question: Question) -> tuple[StepPath, int | None]:
    return question.suspension.step, question.suspension.for_each_index
