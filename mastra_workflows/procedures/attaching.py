"""One execution for one piece of work, however often it is tried.

A scheduler tries again after a crash, a timeout, a failure. What a try has to do follows from the
server's own record of the run that the tries before have begun; nothing is stored anywhere else.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from mastra_workflows import api
from mastra_workflows.api import StartOptions
from mastra_workflows.errors import (
    ConnectionFailedError,
    NotSuspendedError,
    RunNotStartedError,
    UnavailableError,
    UnknownRunError,
)
from mastra_workflows.models import JSON, Step, WorkflowRun
from mastra_workflows.policy import is_lost, require_choice
from mastra_workflows.procedures._effects import Procedure, Server, send
from mastra_workflows.procedures.acting import Cancellation, cancel
from mastra_workflows.procedures.reading import find_run, read_run, until
from mastra_workflows.procedures.resuming import Answer, resume
from mastra_workflows.procedures.starting import ensure_started

log = logging.getLogger(__name__)

OnFailedRun = Literal["new_run", "from_failed_step", "fail"]
"""What a try does about a run that an earlier try has left failed or cancelled."""

MOST_RUNS = 1000
MAX_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Attachment:
    """The run that does a piece of work.

    Attributes:
        run_id: the id that was asked for, or one in line after it.
        found: the record of the run as it was found; None if it was started now.
        travelled: whether it was sent back to the step that had failed.
    """

    run_id: str
    found: WorkflowRun | None = None
    travelled: bool = False

    @property
    def record(self) -> WorkflowRun | None:
        """The record as it was found, if it still tells how the run stands."""
        return None if self.travelled else self.found


def ids_in_line(run_id: str) -> Iterator[str]:
    """The ids that the runs of one piece of work have, one after the other."""
    yield run_id
    for number in range(2, MOST_RUNS + 1):
        yield f"{run_id}-{number}"


def attach_or_start(
    server: Server,
    workflow_id: str,
    run_id: str,
    options: StartOptions,
    on_failed_run: OnFailedRun,
) -> Procedure[Attachment]:
    """Find the run of a piece of work, or start it.

    A run that is under way, suspended or successful is taken as it is; one that was never started
    is started. After a failed or cancelled one comes, by choice, the next id in line
    (``<run_id>-2``, ``-3``, found by asking), the same run from the failed step on, or an error.

    Raises:
        RunFailedError, RunCanceledError: with ``on_failed_run="fail"``.
        InvalidInputError, RunNotStartedError: as `ensure_started`.
    """
    require_choice("on_failed_run", on_failed_run, get_args(OnFailedRun))
    for candidate in ids_in_line(run_id):
        found = yield from find_run(server, workflow_id, candidate)
        if found is None or found.is_pending:
            log.info("Starting run %r of workflow %r.", candidate, workflow_id)
            receipt = yield from ensure_started(server, workflow_id, candidate, options)
            return Attachment(candidate, receipt.found)
        _warn_of_changed_input(found, options)
        if found.is_success:
            log.info("%s: an earlier try has done the work; taking its result.", found)
            return Attachment(candidate, found)
        if not found.is_finished:
            log.info("%s: an earlier try has started it; attaching to it.", found)
            return Attachment(candidate, found)
        if on_failed_run == "fail":
            found.raise_for_status()
        if on_failed_run == "from_failed_step" and (step := _where_it_broke(found)) is not None:
            log.info("%s: going on from step %r; what was done before is kept.", found, step.name)
            return (yield from _travel(server, found, step))
        log.info("%s: an earlier try has left it so; the next run in line does the work.", found)
    raise RunNotStartedError(f"{MOST_RUNS} runs from {run_id!r} on have failed; giving up.")


def cancel_work(
    server: Server, workflow_id: str, run_id: str, *, look_for: float
) -> Procedure[Cancellation]:
    """Cancel what goes on of a piece of work: its run, or the one in line that took its place.

    Args:
        look_for: for how many seconds to look for the run's end.

    Returns:
        What became of the last run in line.

    Raises:
        UnknownRunError: there is no run of this work.
    """
    last: Cancellation | None = None
    for candidate in ids_in_line(run_id):
        try:
            last = yield from cancel(server, workflow_id, candidate, look_for=look_for)
        except UnknownRunError:
            if last is None:
                raise
            break
        if last.requested or last.run.is_success:
            break  # the line goes on after a run that has failed or was cancelled, only
    assert last is not None
    return last


def attach_or_resume(
    server: Server, workflow_id: str, run_id: str, answer: Answer, *, is_retry: bool
) -> Procedure[WorkflowRun]:
    """Resume a step, unless an earlier try or somebody else has given it the same answer.

    Args:
        is_retry: whether an earlier try may have resumed the step. Only then is a step that waits
            again, after this very answer, left alone: it asks something new.

    Returns:
        The record, as `resume` gives it.

    Raises:
        NotSuspendedError: the step does not wait, and was not given this answer either.
    """
    run = yield from read_run(server, workflow_id, run_id)
    if _is_answered(run, answer, is_retry):
        return run
    try:
        return (yield from resume(server, workflow_id, run_id, answer))
    except NotSuspendedError as error:  # perhaps by another try of the same work, just now
        if _is_answered(error.run, answer, is_retry):
            return error.run
        raise


def _is_answered(run: WorkflowRun, answer: Answer, is_retry: bool) -> bool:
    if (step := _answered(run, answer, is_retry)) is None:
        return False
    log.info("Step %r was given this answer before; it is not resumed again. %s.", step, run)
    return True


def _answered(run: WorkflowRun, answer: Answer, is_retry: bool) -> str | None:
    """The step that the answer was given to before; None if there is none."""
    waits = any(answer.fits(item) for item in run.suspensions)
    if waits and (answer.asked_at is not None or not is_retry):
        return None
    for step in run.steps:
        if (
            answer.names(step.path)
            and step.resumed_at is not None
            and step.resume_payload == answer.resume_data
        ):
            return step.name
    return None


def _travel(server: Server, found: WorkflowRun, step: Step) -> Procedure[Attachment]:
    request = api.time_travel(found.workflow_id, found.run_id, step.path)
    try:
        yield from send(server, request)
    except (ConnectionFailedError, UnavailableError) as error:
        if not is_lost(error):
            raise
        log.warning(
            "The answer to the time travel was lost (%s); looking what became of it.", error
        )

    def moved(run: WorkflowRun | None) -> bool:
        return run is None or not run.is_finished or run.step(step.path) != step

    run = yield from until(server, found.workflow_id, found.run_id, moved)
    if not moved(run):
        raise RunNotStartedError(
            f"{found}. It was sent back to step {step.name!r}, but its record has not moved in "
            f"{server.start_timeout:g} s."
        )
    return Attachment(found.run_id, found, travelled=True)


def _where_it_broke(run: WorkflowRun) -> Step | None:
    """The step of the outermost workflow that did not end well."""
    broken = [
        step
        for step in run.steps
        if len(step.path) == 1 and step.status in ("failed", "running", "canceled", "waiting")
    ]
    return broken[-1] if broken else None


def _warn_of_changed_input(found: WorkflowRun, options: StartOptions) -> None:
    before, now = found.payload, {} if options.input_data is None else options.input_data
    if _is_same(now, {} if before is None else before):
        return
    log.warning(
        "The input has changed since run %r was started with %s; it is now %s. The run keeps the "
        "input that it has.",
        found.run_id,
        _short(before),
        _short(now),
    )


def _is_same(now: JSON, before: JSON) -> bool:
    """Whether an input is what a run has; the server may have filled in defaults."""
    if isinstance(now, Mapping) and isinstance(before, Mapping):
        return all(key in before and _is_same(value, before[key]) for key, value in now.items())
    if isinstance(now, list | tuple) and isinstance(before, list):
        return len(now) == len(before) and all(map(_is_same, now, before))
    return bool(now == before)


def _short(value: JSON) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…"
