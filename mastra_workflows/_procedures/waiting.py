"""Wait until a run has finished or is suspended."""

from __future__ import annotations

import logging
from math import inf

from tenacity import RetryCallState

from mastra_workflows._api import ServerGeneration
from mastra_workflows._models import WorkflowRun
from mastra_workflows._options import WaitOptions
from mastra_workflows._procedures._effects import Procedure, Server, Sleep, repeat
from mastra_workflows._procedures.observing import Observer
from mastra_workflows._procedures.reading import read_run
from mastra_workflows._procedures.stalling import StallWatch
from mastra_workflows.errors import (
    BodyTooLargeError,
    ConnectionFailedError,
    MastraError,
    RunNotStartedError,
    RunNotStoredError,
    RunSuspendedError,
    ServerLostError,
    UnavailableError,
    UnknownRunError,
    WaitTimeoutError,
)

log = logging.getLogger(__name__)

SILENT_SECONDS = 60.0
"""How many seconds a stream may be silent before the run is polled. A connection may be half open,
a server may hang, or another replica may have finished the run."""


def wait(
    server: Server, workflow_id: str, run_id: str, options: WaitOptions
) -> Procedure[WorkflowRun]:
    """Wait for a run, by its event stream and by polling.

    Returns:
        The record: finished with any status, or suspended with ``on_suspend="return"``.

    Raises:
        RunSuspendedError: the run is suspended, with ``on_suspend="fail"``.
        WaitTimeoutError: the wait timed out; the run continues.
        RunNotStartedError: the run stays ``pending``: nobody started it, or the server refused it.
        RunStalledError: see ``on_stall``.
        ServerLostError: the server was unavailable for longer than ``outage_timeout``.
        UnknownRunError: the server has no such run, or has lost it.
        RunNotStoredError: the run was started just now, but the server keeps no record of it.
    """
    began = server.clock()
    # A timeout of 0 polls once, and that poll may retry for as long as `outage_timeout`.
    end = began + options.timeout if options.timeout else inf
    patient = server.patient(options.outage_timeout).until(end)
    patient = patient.lasting(is_run_known=options.is_known)
    patience = options.outage_timeout
    stall = StallWatch(
        patient,
        timeout=options.stall_timeout or inf,
        on_stall=options.on_stall,
        observes=options.observe,
        until=inf if options.timeout is None else began + options.timeout,
    )
    observer = Observer(
        patient,
        workflow_id,
        run_id,
        on_event=options.on_event,
        on_liveness=stall.note_liveness,
        enabled=options.observe,
    )
    asked = patient
    last: WorkflowRun | None = None
    known = server.known
    was_started = known.take_executing(workflow_id, run_id, began)
    executes = saves_a_look = (
        options.observe
        and options.timeout != 0
        and was_started
        and known.generation is ServerGeneration.V1  # 0.x streams do not replay past events
    )

    def rest(seconds: float) -> Procedure[None]:
        if not executes:
            yield Sleep(seconds)
            return
        left = inf if options.timeout is None else began + options.timeout - server.clock()
        within = min(left, options.stall_timeout or inf)
        yield from observer.rest(
            seconds, within, silent_within=min(SILENT_SECONDS, options.outage_timeout)
        )

    def look() -> Procedure[WorkflowRun]:
        nonlocal patience, executes, saves_a_look, asked, last
        if saves_a_look:
            saves_a_look = False
            yield from rest(options.poll_interval)
        now = server.clock()
        patience = min(options.outage_timeout, max(0.0, end - now))
        # The first request may be slow: an outage begins when it has failed.
        deadline = min(end, now + server.timeout + options.outage_timeout)
        run = None
        try:
            run = yield from _read(asked.patient(patience).until(deadline), workflow_id, run_id)
        finally:
            observer.looked(failed=run is None)
        asked, last = asked.lasting(is_run_known=True), run
        if options.on_record is not None:
            options.on_record(run)
        if run.is_pending and server.clock() - began >= server.start_timeout:
            if was_started:
                raise _not_stored(workflow_id, run_id)
            raise RunNotStartedError(
                f"{run} and was not started within {server.start_timeout:g} s. Nothing executes; "
                "starting it with the same run id is safe. A 1.x server leaves a run pending if "
                "/start receives invalid input."
            )
        newer = yield from stall.check(run)
        if newer is not run and options.on_record is not None:
            options.on_record(newer)
        executes = newer.is_active
        return newer

    def should_continue(state: RetryCallState) -> bool:
        if state.outcome is None or state.outcome.failed:
            return False  # transient errors were retried below; any other ends the wait
        return not _is_over(state.outcome.result(), options)

    try:
        run = yield from repeat(server, options.poll.retrying(should_continue), look, rest)
    except MastraError as error:
        never_read = last is None or last.is_pending
        if isinstance(error, UnknownRunError) and was_started and never_read:
            raise _not_stored(workflow_id, run_id) from error
        if isinstance(error, ConnectionFailedError | UnavailableError) or asked.may_pass(error):
            raise _lost(workflow_id, run_id, last, error, patience) from error
        if isinstance(error, BodyTooLargeError) and last is not None:
            raise BodyTooLargeError(f"{error} {_last_known(workflow_id, run_id, last)}") from error
        raise
    if not _is_over(run, options):
        raise WaitTimeoutError(
            f"{run}; the wait timed out after {options.timeout:g} s. {_what_now(run)}",
            run,
        )
    if run.is_suspended and options.on_suspend == "fail":
        raise RunSuspendedError(
            f"{run}. It executes nothing until it is resumed or cancelled. Resume it, or set "
            'on_suspend: "return" returns the suspended run, "wait" waits until it is resumed, '
            '"ask" shows a form to a person (Airflow and Prefect).',
            run,
        )
    return run


def _read(server: Server, workflow_id: str, run_id: str) -> Procedure[WorkflowRun]:
    """Read the record, and retry for a while if a run that existed before is missing.

    Raises:
        UnknownRunError: the run does not exist, or no longer exists.
    """
    began = server.clock()
    within = min(server.retry.seconds, server.start_timeout)
    while True:
        try:
            return (yield from read_run(server, workflow_id, run_id))
        except UnknownRunError as error:
            if not server.is_run_known:
                raise
            now = server.clock()
            if now - began >= within or now >= server.deadline:
                raise UnknownRunError(
                    f"The server has lost the record of run {run_id!r} of workflow {workflow_id!r} "
                    f"(missing for {now - began:.0f} s). It is unknown whether the run has "
                    "finished. Either the server's database was wiped or replaced, or the server "
                    "has no storage and forgets a run when it finishes. Starting the run again "
                    "executes it again.",
                    status_code=error.status_code,
                    server_message=error.server_message,
                ) from error
            if now == began:
                log.warning("Run %r: record missing on the server; retrying.", run_id)
        yield Sleep(min(1.0, within))


def _not_stored(workflow_id: str, run_id: str) -> RunNotStoredError:
    return RunNotStoredError(
        f"Run {run_id!r} of workflow {workflow_id!r} was started and is running or has finished, "
        "but the server stores no record of it, so its result is unknown. Check the workflow's "
        "shouldPersistSnapshot and the server's storage. Starting the run again would execute it "
        "again."
    )


def _lost(
    workflow_id: str, run_id: str, last: WorkflowRun | None, error: MastraError, seconds: float
) -> ServerLostError:
    is_silent = isinstance(error, ConnectionFailedError | UnavailableError)
    return ServerLostError(
        f"The server has {'not responded' if is_silent else 'sent no valid response'} for "
        f"{round(seconds, 1):g} s: {error} {_last_known(workflow_id, run_id, last)} Wait again to "
        "get its result."
    )


def _last_known(workflow_id: str, run_id: str, last: WorkflowRun | None) -> str:
    which = f"Run {run_id!r} of workflow {workflow_id!r}"
    if last is None:
        return f"{which} was not changed and may still be running."
    return f"{which} was {last.status} when it was last read and may still be running."


def _what_now(run: WorkflowRun) -> str:
    if run.is_pending:
        return "It was not started; nothing executes."
    if run.is_suspended:
        return "It executes nothing until it is resumed."
    return "It continues; wait again for its result."


def _is_over(run: WorkflowRun, options: WaitOptions) -> bool:
    return run.is_finished or (run.is_suspended and options.on_suspend != "wait")
