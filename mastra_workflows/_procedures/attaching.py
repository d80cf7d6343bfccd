"""Execute a piece of work once, however many attempts are made.

A scheduler retries after a crash, a timeout or a failure. Each attempt derives the next action from
the server's record of the run that earlier attempts have started; nothing is stored elsewhere.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from typing import Any, get_args

from mastra_workflows import _api as api
from mastra_workflows._api import ServerGeneration, StartOptions
from mastra_workflows._models import (
    JSON,
    RunStatus,
    Step,
    StepPath,
    Suspension,
    WorkflowDetails,
    WorkflowRun,
)
from mastra_workflows._options import OnFailedRun, OnOtherInput, OnUnexpectedSuspend, WaitOptions
from mastra_workflows._policy import Duration, as_seconds, require_choice, require_flags
from mastra_workflows._procedures._effects import Procedure, Server, send
from mastra_workflows._procedures.acting import Cancellation, cancel, reserved_id
from mastra_workflows._procedures.comparing import (
    as_stored,
    check_choices,
    check_input_matches,
    check_started_after,
    different_places,
)
from mastra_workflows._procedures.reading import created_at, find_run, generation, read_run
from mastra_workflows._procedures.resuming import ResumeOptions, confirm, resume_suspended
from mastra_workflows._procedures.resumptions import Resumption, find_resumption, shown_at_once
from mastra_workflows._procedures.starting import start
from mastra_workflows._procedures.travelling import send_back
from mastra_workflows._procedures.waiting import wait
from mastra_workflows.errors import (
    NotSuspendedError,
    RunCanceledError,
    RunNotStartedError,
    UnknownRunError,
)

log = logging.getLogger(__name__)

MOST_RUNS = 1000


@dataclass(frozen=True, slots=True)
class Attachment:
    """The run that does a piece of work.

    Attributes:
        run_id: the requested id, or one in line after it.
        found: the record of the existing run; None if this call started the run.
        travelled: whether the run was sent back to the failed step.
    """

    run_id: str
    found: WorkflowRun | None = None
    travelled: bool = False

    @property
    def record(self) -> WorkflowRun | None:
        """The record of the existing run, if it is still current."""
        return None if self.travelled else self.found


def ids_in_line(run_id: str) -> Iterator[str]:
    """Yield the ids of the successive runs of one piece of work."""
    yield run_id
    yield reserved_id(run_id)
    for number in range(3, MOST_RUNS + 1):
        yield f"{run_id}-{number}"


def attach_or_start(
    server: Server,
    workflow_id: str,
    run_id: str,
    options: StartOptions,
    *,
    on_failed_run: OnFailedRun = "new_run",
    on_other_input: OnOtherInput = "fail",
    started_after: datetime | None = None,
) -> Procedure[Attachment]:
    """Attach to the run of a piece of work, or start it.

    A run that is active, suspended or successful is reused; one that was never started is started.
    A failed run is followed, as ``on_failed_run`` selects, by a run with the next id in line
    (``<run_id>-2``, ``-3``, found by reading), by the same run from the failed step on, or by an
    error. A cancelled run counts as failed if `cancel_work` has reserved the next id in line;
    otherwise the cancellation is final.

    Raises:
        RunCanceledError: the run was cancelled for good, or with ``on_failed_run="fail"``.
        RunFailedError: the run failed, with ``on_failed_run="fail"``.
        RunMismatchError: the id belongs to the run of other work; see `Workflow.attach_or_start`.
        InvalidInputError, RunNotStartedError: see `start`.
    """
    require_choice("on_failed_run", on_failed_run, get_args(OnFailedRun))
    check_choices(on_other_input, started_after)
    api.require_id(run_id)
    for candidate, following in pairwise(ids_in_line(run_id)):
        found = yield from find_run(server, workflow_id, candidate)
        if found is None or found.is_pending:
            log.info("Starting run %r of workflow %r.", candidate, workflow_id)
            receipt = yield from start(server, workflow_id, candidate, options, on_other_input)
            return Attachment(candidate, receipt.found)
        check_started_after(found, started_after)
        if on_failed_run != "fail" and (yield from _is_given_up(server, found, following)):
            log.warning(
                "%s. An earlier attempt cancelled it, but it still executes. Continuing with the "
                "next run.",
                found,
            )
            continue
        if found.is_success or not found.is_finished:
            yield from check_input_matches(server, found, options, on_other_input)
            what = "Reusing its result" if found.is_success else "Attaching to it"
            log.info("%s. An earlier attempt started it. %s.", found, what)
            return Attachment(candidate, found)
        if on_failed_run == "fail":
            found.raise_for_status()
        step = _where_it_broke(found) if on_failed_run == "from_failed_step" else None
        if found.status == RunStatus.CANCELED or step is not None:
            upcoming, marks = yield from _after(server, found, following)
            if found.status == RunStatus.CANCELED and not marks:
                raise _canceled_for_good(found)
            if step is not None and (upcoming is None or upcoming.is_pending):
                yield from check_input_matches(server, found, options, on_other_input)
                log.info("%s. Repeating it from step %r.", found, step.name)
                yield from send_back(server, found, step.path)
                yield from _unreserve(server, marks)
                return Attachment(candidate, found, travelled=True)
        log.info("%s. Continuing with the next run.", found)
    raise RunNotStartedError(
        f"{MOST_RUNS} runs from {run_id!r} on have failed. Nothing was started. Use another run id."
    )


def find_work(server: Server, workflow_id: str, run_id: str) -> Procedure[WorkflowRun | None]:
    """Find the run of a piece of work that has succeeded or can still succeed.

    Returns:
        The first run in line that succeeded, is active or is suspended; None if there is none.
    """
    api.require_id(run_id)
    for candidate, following in pairwise(ids_in_line(run_id)):
        found = yield from find_run(server, workflow_id, candidate)
        if found is None or found.is_pending:
            return None
        if found.is_success:
            return found
        if not found.is_finished and not (yield from _is_given_up(server, found, following)):
            return found
    return None


def _is_given_up(server: Server, found: WorkflowRun, following: str) -> Procedure[bool]:
    """Return whether an earlier attempt cancelled a run that a server before 1.0 still executes.

    Such a server records a cancellation only when the executing step has ended. Until then, only
    the next run in line, or its reservation, shows the cancellation. A reservation from before the
    run went back to a failed step does not count (such a server cannot delete it).
    """
    if found.is_finished or (yield from generation(server)) is not ServerGeneration.V0:
        return False
    upcoming, marks = yield from _after(server, found, following)
    if upcoming is not None and not upcoming.is_pending:
        return _took_its_place(found, upcoming)
    moments = [moment for step in found.steps for moment in (step.started_at, step.resumed_at)]
    last = max((moment for moment in moments if moment is not None), default=None)
    if last is None:
        return False
    for mark in marks:
        reserved_at = yield from created_at(server, mark)
        if reserved_at is not None and reserved_at >= last:
            return True
    return False


def _took_its_place(found: WorkflowRun, upcoming: WorkflowRun | None) -> bool:
    """Return whether the next run in line was started for the same work.

    Other work may have an id of the same form, so the inputs are compared.
    """
    if upcoming is None or upcoming.is_pending:
        return False
    return bool(upcoming.payload == found.payload)


def execute(
    server: Server,
    workflow_id: str,
    run_id: str,
    options: StartOptions,
    waiting: WaitOptions,
    *,
    on_failed_run: OnFailedRun,
    on_other_input: OnOtherInput,
    started_after: datetime | None,
) -> Procedure[JSON]:
    """Attach to the run of a piece of work or start it, wait for it, and return its result.

    Raises:
        RunFailedError, RunCanceledError: the run failed or was cancelled.
        RunSuspendedError: the run is suspended, with ``on_suspend="fail"``.
        Also the errors of `attach_or_start` and `wait`.
    """
    require_choice("on_suspend", waiting.on_suspend, get_args(OnUnexpectedSuspend))
    attachment = yield from attach_or_start(
        server,
        workflow_id,
        run_id,
        options,
        on_failed_run=on_failed_run,
        on_other_input=on_other_input,
        started_after=started_after,
    )
    run = attachment.record
    if run is None or not run.is_finished:
        run = yield from wait(server, workflow_id, attachment.run_id, waiting)
    return run.raise_for_status().result


def _canceled_for_good(found: WorkflowRun) -> RunCanceledError:
    return RunCanceledError(
        f"{found}. The cancellation is final: no other run is started in its place. Use another "
        "run id to do the work again.",
        found,
    )


def _after(
    server: Server, found: WorkflowRun, following: str
) -> Procedure[tuple[WorkflowRun | None, list[WorkflowRun]]]:
    """Return the next run in line, and all records that allow one; see `reserved_id`."""
    upcoming = yield from find_run(server, found.workflow_id, following)
    reserved = upcoming
    if following != reserved_id(found.run_id):
        reserved = yield from find_run(server, found.workflow_id, reserved_id(found.run_id))
    marks = {run.run_id: run for run in (upcoming, reserved) if run is not None}
    return upcoming, list(marks.values())


def _unreserve(server: Server, marks: Iterable[WorkflowRun]) -> Procedure[None]:
    """Delete reservations, so that a later cancellation is final unless it makes a new one."""
    if (yield from generation(server)) is ServerGeneration.V0:
        return  # cannot delete a run
    for run in marks:
        if run.is_pending:
            with contextlib.suppress(UnknownRunError):
                yield from send(server, api.delete(run.workflow_id, run.run_id))


def cancel_work(
    server: Server,
    workflow_id: str,
    run_id: str,
    *,
    confirm_timeout: Duration,
    allow_retry: bool = False,
) -> Procedure[Cancellation]:
    """Cancel the active run of a piece of work: the first run, or the one in line that replaced it.

    Args:
        confirm_timeout: how many seconds to poll for the end of the run.
        allow_retry: whether a later `attach_or_start` may start the next run in line; see
            `reserved_id`.

    Returns:
        The effect on the last run in line.

    Raises:
        UnknownRunError: there is no run of this work.
    """
    api.require_id(run_id)
    as_seconds("confirm_timeout", confirm_timeout)
    require_flags(allow_retry=allow_retry)
    last: Cancellation | None = None
    is_legacy = (yield from generation(server)) is ServerGeneration.V0
    for candidate, following in pairwise(ids_in_line(run_id)):
        if is_legacy:
            # A previously cancelled run may still execute: it must not hide the active one.
            found = yield from find_run(server, workflow_id, candidate)
            if found is not None and not found.is_finished:
                upcoming = yield from find_run(server, workflow_id, following)
                if _took_its_place(found, upcoming):
                    continue
        if last is not None:
            found = yield from find_run(server, workflow_id, candidate)
            if found is None or (found.is_pending and allow_retry):
                break
        last = yield from cancel(
            server, workflow_id, candidate, confirm_timeout=confirm_timeout, allow_retry=allow_retry
        )
        if last.requested or last.run.is_success:
            break  # the line continues only after a run that failed or was cancelled
    assert last is not None
    return last


def resume(
    server: Server,
    workflow_id: str,
    run_id: str,
    options: ResumeOptions,
    *,
    is_retry: bool,
    waiting: WaitOptions | None = None,
) -> Procedure[WorkflowRun]:
    """Resume a step, unless an earlier attempt or somebody else resumed it with the same data.

    Args:
        is_retry: whether an earlier attempt may have resumed the step. Only then is a step that was
            suspended again after this very response not resumed: the new suspension is another
            request.
        waiting: how to wait if only the end of the current execution shows whether the step was
            resumed.

    Returns:
        The record, as returned by `resume_suspended`.

    Raises:
        NotSuspendedError: the step is not suspended, and was not resumed with this data either.
    """
    waiting = waiting or WaitOptions(on_suspend="return", is_known=True)
    run = yield from read_run(server, workflow_id, run_id)
    attached = yield from _attached(server, run, options, is_retry, waiting)
    if attached is not None:
        return attached
    try:
        return (yield from resume_suspended(server, workflow_id, run_id, options))
    except NotSuspendedError as error:  # another attempt may have resumed it just now
        attached = yield from _attached(server, error.run, options, is_retry, waiting)
        if attached is None:
            raise
        return attached


def _attached(
    server: Server, run: WorkflowRun, options: ResumeOptions, is_retry: bool, waiting: WaitOptions
) -> Procedure[WorkflowRun | None]:
    """Return the run if a step was, or is being, resumed with this response; None if not."""
    if (name := (yield from _step_resumed_before(server, run, options, is_retry))) is not None:
        log.info(
            "Step %r was already resumed with this response; not resuming it again. %s.", name, run
        )
        return run
    any_item = replace(options, for_each_index=None)
    meant = [item for item in run.suspensions or run.unmoved if any_item.fits(item)]
    if not meant or (run.is_suspended and (yield from shown_at_once(server))):
        return None
    is_one = len(meant) == 1
    found = None
    if is_one:
        found = yield from find_resumption(
            server, run.workflow_id, run.run_id, meant[0], must_live=run.is_suspended
        )
    if found is not None:
        if not (yield from _is_ours(server, run, found, options, is_retry)):
            return None
        log.info("Step %r is executing with this response; attaching. %s.", meant[0].name, run)
        if run.is_active:
            return run
        return (yield from confirm(server, run.workflow_id, run.run_id, meant[0]))
    if run.is_suspended or not is_retry:
        return None
    if is_one and len(run.unmoved) == 1 and not _works_elsewhere(run, meant[0]):
        log.warning(
            "Step %r is being resumed; attaching, although the server does not show with which "
            "response. %s.",
            meant[0].name,
            run,
        )
        return run
    log.info(
        "%s; waiting until it is suspended or finished, which shows if the step was resumed.", run
    )
    run = yield from wait(server, run.workflow_id, run.run_id, waiting)
    return (yield from _attached(server, run, options, is_retry, waiting))


def _works_elsewhere(run: WorkflowRun, meant: Suspension) -> bool:
    """Return whether a record shows an executing step that does not contain the suspended one."""
    return any(
        step.status in ("running", "waiting") and step.path != meant.step[: len(step.path)]
        for step in run.steps
    )


def _is_ours(
    server: Server, run: WorkflowRun, found: Resumption, options: ResumeOptions, is_retry: bool
) -> Procedure[bool]:
    """Return whether a step is being resumed with this response, as far as is known."""
    if found.payload is None:
        return is_retry
    path = found.suspension.step
    return (yield from _is_same(server, run, path, found.payload, options))


def _step_resumed_before(
    server: Server, run: WorkflowRun, options: ResumeOptions, is_retry: bool
) -> Procedure[str | None]:
    """Return the name of the step that was resumed with this response before, if any."""
    waits = [item for item in run.suspensions if options.fits(item)]
    if waits and (options.asked_at is not None or not is_retry):
        return None
    for step in run.steps:
        if (
            options.names(step.path)
            and step.resumed_at is not None
            and not _waits_since_before(step.resumed_at, waits, options)
            and (yield from _is_same(server, run, step.path, step.resume_payload, options))
        ):
            return step.name
    return None


def _waits_since_before(
    resumed_at: datetime, waits: Sequence[Suspension], options: ResumeOptions
) -> bool:
    """Return whether the item was suspended before the resume, which was then for another item."""
    return options.for_each_index is not None and any(
        item.suspended_at is not None and item.suspended_at < resumed_at for item in waits
    )


def _is_same(
    server: Server, run: WorkflowRun, path: StepPath, payload: JSON, options: ResumeOptions
) -> Procedure[bool]:
    """Return whether the payload equals the response, or what the resume schema made of it."""
    if options.resume_data is None or payload is None:
        return options.resume_data is payload

    def schema_of(known: WorkflowDetails) -> Mapping[str, Any] | None:
        step = known.steps.get(path)
        return {} if step is None else step.resume_schema

    places = yield from different_places(
        server, run.workflow_id, as_stored(options.resume_data), payload, schema_of
    )
    return not places


def _where_it_broke(run: WorkflowRun) -> Step | None:
    """Return the last step of the outermost workflow that did not succeed."""
    broken = [
        step
        for step in run.steps
        if len(step.path) == 1 and step.status in ("failed", "running", "canceled", "waiting")
    ]
    return broken[-1] if broken else None
