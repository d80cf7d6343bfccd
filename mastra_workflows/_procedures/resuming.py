"""Resume a suspended step, idempotently.

`/resume` responds at once and, on many servers, ends the Node process if the run is not suspended.
`/resume-stream` refuses such a resume without harm and reports progress. So the record is read
first, then `/resume-stream` is sent and dropped as soon as it shows that the run continues.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TypedDict

from mastra_workflows import _api as api
from mastra_workflows._api import Feature, Request, Response, ResumeCommand
from mastra_workflows._arguments import require_count, require_step
from mastra_workflows._failures import ReadTimeoutError
from mastra_workflows._inputs import differences
from mastra_workflows._models import JSON, StepPath, Suspension, WorkflowRun, named
from mastra_workflows._options import WaitOptions
from mastra_workflows._policy import is_lost, quoted
from mastra_workflows._procedures import comparing, resumptions
from mastra_workflows._procedures._effects import (
    Procedure,
    Send,
    Server,
    Sleep,
    StreamResult,
    send,
    through_outage,
)
from mastra_workflows._procedures.features import supports
from mastra_workflows._procedures.reading import details, read_run, until
from mastra_workflows._procedures.resumptions import executing
from mastra_workflows._procedures.starting import (
    SILENT_SECONDS,
    error_text,
    hear_execution,
    reasons,
)
from mastra_workflows._procedures.waiting import wait
from mastra_workflows._schemas import check
from mastra_workflows._text import safe_text
from mastra_workflows.errors import (
    ApiError,
    ConfigurationError,
    ConnectionFailedError,
    InvalidResumeDataError,
    MastraError,
    NotSuspendedError,
    ResponseLostError,
    ResumeRefusedError,
    UnavailableError,
    UnsupportedError,
)

log = logging.getLogger(__name__)

_TOO_LATE = ("not suspended", "already resumed")
"""Parts of a server's message if somebody else has resumed the step since the record was read. The
second one occurs if two requests, possibly on two replicas, read the suspension at the same moment
(seen on 1.71)."""

FRESH_SECONDS = 0.02
"""How old the record of a suspension may be when the resume is sent. Servers address a resume to a
step, not to a suspension: in a loop, a late one would respond to the next round's request."""

FEATURE_AGE = 60.0
"""How many seconds the support of ``forEachIndex`` is cached. An older server that replaces a newer
one ignores ``forEachIndex`` and gives the response to every suspended item."""


class ResumeArguments(TypedDict, total=False):
    """The keyword arguments of `Run.resume`."""

    step: str | Sequence[str] | None
    resume_data: JSON
    for_each_index: int | None
    suspended_at: datetime | str | None
    request_context: Mapping[str, JSON] | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ResumeOptions:
    """The suspension to resume, and the data to resume it with; see `Run.resume`.

    Raises:
        ConfigurationError: an argument has the wrong type.
    """

    step: str | Sequence[str] | None = None
    resume_data: JSON = None
    for_each_index: int | None = None
    suspended_at: datetime | str | None = None
    request_context: Mapping[str, JSON] | None = None

    def __post_init__(self) -> None:
        if self.step is not None:
            require_step(self.step)
        if self.for_each_index is not None:
            require_count("for_each_index", self.for_each_index, least=0)
        _ = self.asked_at

    @property
    def asked_at(self) -> datetime | None:
        """``suspended_at`` as a datetime."""
        if isinstance(self.suspended_at, datetime | None):
            return self.suspended_at
        try:
            return datetime.fromisoformat(self.suspended_at)
        except (TypeError, ValueError):
            raise ConfigurationError(
                f"suspended_at: expected a datetime or an ISO 8601 string, got "
                f"{quoted(self.suspended_at)}. Nothing was sent."
            ) from None

    def names(self, path: StepPath) -> bool:
        """Return whether a step matches these options' ``step``."""
        if self.step is None:
            return True
        return ".".join(path) == self.step if isinstance(self.step, str) else path == (*self.step,)

    def fits(self, item: Suspension) -> bool:
        """Return whether a suspension matches the step, item and time of these options."""
        return (
            self.names(item.step)
            and self.for_each_index in (None, item.for_each_index)
            and self.asked_at in (None, item.suspended_at)
        )


def resume_suspended(
    server: Server, workflow_id: str, run_id: str, options: ResumeOptions
) -> Procedure[WorkflowRun]:
    """Resume a step and confirm that the run continues, without waiting for its end.

    Returns:
        The first record without the suspension.

    Raises:
        NotSuspendedError: the step is not suspended, somebody else has resumed it, or it is
            ambiguous which step is meant.
        InvalidResumeDataError: the data does not match the step's resume schema.
        ResumeRefusedError: the server refused the resume.
    """
    before = yield from read_run(server.lasting(), workflow_id, run_id)
    meant, command = yield from _prepare(server, before, options)
    is_one_of_several = sum(item.step == meant.step for item in before.suspensions) > 1
    by_item = is_one_of_several and command.for_each_index is not None

    first = True
    was_sent = False

    def attempt() -> Procedure[WorkflowRun | ApiError]:
        nonlocal first, was_sent
        if not first:
            # A resume whose response was lost may have succeeded: read the record before retrying.
            run = yield from read_run(server, workflow_id, run_id)
            if not waits_at(run, meant):
                return run
            began = server.clock()
            if (yield from executing(server, workflow_id, run_id, meant)) is not None:
                return (yield from confirm(server, workflow_id, run_id, meant))
            if server.clock() - began > FRESH_SECONDS:
                run = yield from read_run(server, workflow_id, run_id)
                if not waits_at(run, meant):
                    return run
        first = False
        try:
            if by_item:
                heard = yield from _resume_item(server, workflow_id, run_id, command)
            else:
                request = api.resume_stream(workflow_id, run_id, command)
                heard = yield from hear_execution(server, request)
        except ConnectionFailedError as error:
            was_sent = was_sent or error.request_sent
            raise
        try:
            api.check(heard.response)
        except ApiError as error:
            if type(error) is not ApiError:
                was_sent = was_sent or (isinstance(error, UnavailableError) and is_lost(error))
                raise
            if by_item and _is_too_late(error.server_message):
                return (
                    yield from confirm(server, workflow_id, run_id, meant, error.server_message)
                )
            return error  # Mastra refused the resume: not retried
        was_sent = True
        run = yield from confirm(server, workflow_id, run_id, meant, error_text(heard.last))
        _warn_of_other_data(run, meant, command.resume_data)
        if run.is_active:
            server.known.note_executing(workflow_id, run_id, server.clock())
        return run

    try:
        result = yield from through_outage(server, attempt)
    except MastraError as error:
        if was_sent and server.is_run_known and server.may_pass(error):
            raise ResponseLostError(
                f"Step {meant.name!r} of run {run_id!r} of workflow {workflow_id!r} was resumed, "
                f"but the server has not shown whether that worked: {error} Trying again reads the "
                "record first, and does not resume the step twice."
            ) from error
        raise
    if isinstance(result, ApiError):
        raise result
    return result


def _resume_item(
    server: Server, workflow_id: str, run_id: str, command: ResumeCommand
) -> Procedure[StreamResult]:
    """Resume one of several items of a ``foreach``.

    For a run of the event-driven engine, ``/resume-stream`` ignores ``forEachIndex`` and gives the
    response to every item; ``/resume-async`` does not (seen on 1.71). It responds when the run has
    finished or is suspended again. Dropping the request does not stop the run.
    """
    try:
        response = yield Send(api.resume_async(workflow_id, run_id, command), SILENT_SECONDS)
    except ReadTimeoutError:
        response = Response(200, {}, b"")
    return StreamResult(response, None, ended=False)


def resume_async(
    server: Server, workflow_id: str, run_id: str, options: ResumeOptions
) -> Procedure[WorkflowRun]:
    """Resume a step by `POST .../resume-async`; fall back to polling if the response is lost."""
    before = yield from read_run(server, workflow_id, run_id)
    meant, command = yield from _prepare(server, before, options)
    try:
        yield from send(server, api.resume_async(workflow_id, run_id, command))
    except (ConnectionFailedError, UnavailableError) as error:
        if not is_lost(error):
            raise
        log.info("Run %r: /resume-async was cut (%s); polling instead.", run_id, error)
    except ApiError as error:
        run = yield from read_run(server, workflow_id, run_id)
        raise _refusal(run, meant, error.server_message) from error
    yield from confirm(server, workflow_id, run_id, meant)
    return (yield from wait(server, workflow_id, run_id, WaitOptions(on_suspend="return")))


def resume_request(
    server: Server, workflow_id: str, run_id: str, options: ResumeOptions
) -> Procedure[tuple[Request, datetime | None]]:
    """Return the request that resumes a step and streams, after the checks of every resume.

    Returns:
        The request, and the latest time in the record before it, for the `Follower`.
    """
    run = yield from read_run(server, workflow_id, run_id)
    _, command = yield from _prepare(server, run, options)
    moments = (step.last_moment for step in run.steps)
    before = max((moment for moment in moments if moment is not None), default=None)
    return api.resume_stream(workflow_id, run_id, command), before


def _prepare(
    server: Server, run: WorkflowRun, options: ResumeOptions
) -> Procedure[tuple[Suspension, ResumeCommand]]:
    began = server.clock()
    has_items = any(item.for_each_index is not None for item in run.suspensions)
    chooses = has_items and (yield from supports_for_each_index(server))
    meant = pick(run, options, supports_for_each_index=chooses)
    if server.check_data:
        yield from _check_data(server, run, meant, options.resume_data)
    if (yield from executing(server, run.workflow_id, run.run_id, meant)) is not None:
        raise NotSuspendedError(
            f"Step {meant.name!r} of run {run.run_id!r} of workflow {run.workflow_id!r} is being "
            "resumed by another caller; the record does not show it yet. Nothing was sent.",
            run,
        )
    if server.clock() - began > FRESH_SECONDS:
        now = yield from read_run(server, run.workflow_id, run.run_id)
        if not waits_at(now, meant):
            raise NotSuspendedError(
                f"Step {meant.name!r} is no longer suspended; another caller resumed it. {now}. "
                "Nothing was sent.",
                now,
            )
    return meant, ResumeCommand(
        step=meant.step,
        resume_data=options.resume_data,
        for_each_index=meant.for_each_index if chooses else None,
        request_context=options.request_context,
    )


def supports_for_each_index(server: Server) -> Procedure[bool]:
    """Return whether the server can resume one of several items of a ``foreach``."""
    return (yield from supports(server, Feature.FOREACH_INDEX, max_age=FEATURE_AGE))


def pick(run: WorkflowRun, options: ResumeOptions, *, supports_for_each_index: bool) -> Suspension:
    """Select the suspension of a run to resume.

    Args:
        run: the record of the run.
        options: the caller's selection.
        supports_for_each_index: whether the server can resume one of several items of a
            ``foreach``; others resume all of them with the same data.

    Raises:
        NotSuspendedError: no suspension matches, or several do; the message names the suspended
            steps.
        UnsupportedError: a single item was selected, which the server does not support.
    """
    if not run.is_suspended:
        raise NotSuspendedError(
            f"{run}. Only a suspended run can be resumed. Nothing was sent.", run
        )
    any_item = dataclasses.replace(options, for_each_index=None, suspended_at=None)
    at_step = tuple(item for item in run.suspensions if any_item.fits(item))
    meant = tuple(item for item in at_step if options.fits(item))
    one_step = len({item.step for item in at_step}) == 1
    if len(at_step) > 1 and one_step and meant and not supports_for_each_index:
        return _all_items(at_step, options)
    if len(meant) == 1:
        return meant[0]
    names = named(run.suspensions) or "unknown"
    if meant:
        raise NotSuspendedError(
            f"Run {run.run_id!r} of workflow {run.workflow_id!r} has several suspensions: {names}. "
            f"Select one with {'for_each_index' if one_step else 'step'}. Nothing was sent.",
            run,
        )
    if options.asked_at is not None:
        any_time = dataclasses.replace(options, suspended_at=None)
        again = next((item for item in at_step if any_time.fits(item)), None)
        if again is not None and again.suspended_at is not None:
            raise NotSuspendedError(
                f"Step {again.name!r} of run {run.run_id!r} of workflow {run.workflow_id!r} is "
                f"suspended since {again.suspended_at.isoformat()}, with another request than at "
                f"{options.asked_at.isoformat()}. Nothing was sent.",
                run,
            )
    wanted = options.step if isinstance(options.step, str) else ".".join(options.step or ())
    if options.for_each_index is not None:
        wanted += f"[{options.for_each_index}]"
    raise NotSuspendedError(
        f"Step {wanted!r} of run {run.run_id!r} of workflow {run.workflow_id!r} "
        f"is not suspended. Suspended steps: {names}. Nothing was sent.",
        run,
    )


def _all_items(items: tuple[Suspension, ...], options: ResumeOptions) -> Suspension:
    names = named(items)
    if options.for_each_index is not None:
        raise UnsupportedError(
            f"This server cannot resume a single item of a foreach. It resumes all suspended items "
            f"with the same data: {names}. Omit for_each_index to do that, set the concurrency of "
            "the foreach to 1, or use Mastra 1.26 or later. Nothing was sent."
        )
    log.warning("This server resumes all suspended items with the same data: %s.", names)
    return items[0]


def waits_at(run: WorkflowRun, suspension: Suspension) -> bool:
    """Return whether a run still has this suspension, not just one of a later round."""
    return any(item.identity == suspension.identity for item in run.suspensions)


def _check_data(server: Server, run: WorkflowRun, meant: Suspension, data: JSON) -> Procedure[None]:
    if meant.resume_schema is None:
        return
    value = {} if data is None else data
    found = check(meant.resume_schema, value)
    if found.refused:  # the workflow may have changed since the details were cached
        known = (yield from details(server, run.workflow_id)).steps.get(meant.step)
        found = check((known and known.resume_schema) or {}, value)
    for line in found.doubtful:
        log.warning(
            "Resume data for step %r of run %r: %s; the server refuses it unless it converts it.",
            meant.name,
            run.run_id,
            line,
        )
    if found.refused:
        wrong = [*found.refused, *found.doubtful]
        raise InvalidResumeDataError(
            f"The resume data for step {meant.name!r} of run {run.run_id!r} is invalid: "
            f"{'; '.join(wrong)}. Nothing was sent; the step is still suspended.",
            validation_errors=wrong,
        )


def confirm(
    server: Server, workflow_id: str, run_id: str, meant: Suspension, said: str = ""
) -> Procedure[WorkflowRun]:
    """Confirm in the record that the suspension is gone.

    Some versions show that only when the resumed part has finished. This waits for as long as the
    event stream shows that it executes.

    Args:
        said: the error that the server reported.

    Raises:
        ResumeRefusedError: the step is still suspended.
    """

    _, known = server.known.details.get(workflow_id, (0.0, None))
    is_step_gone = known is not None and bool(known.steps) and meant.step not in known.steps

    def settled(run: WorkflowRun | None) -> bool:
        if run is None or said or not waits_at(run, meant):
            return True
        # The step that replaced a removed one is executed, and may suspend the run again.
        return is_step_gone and len(run.suspensions) > 1 and not run.is_active

    run = yield from until(server, workflow_id, run_id, settled)
    while run is not None and not settled(run):
        if (yield from executing(server, workflow_id, run_id, meant)) is None:
            # It may have finished just now.
            run = yield from read_run(server.lasting(), workflow_id, run_id)
            break
        log.info(
            "Step %r of run %r executes, although its record does not show it.", meant.name, run_id
        )
        yield Sleep(resumptions.FOLLOW_SECONDS)
        run = yield from read_run(server.lasting(), workflow_id, run_id)
    if run is None:
        run = yield from read_run(server, workflow_id, run_id)  # raises if the run is unknown
    if waits_at(run, meant) and is_step_gone and not said:
        raise ResumeRefusedError(
            f"Workflow {workflow_id!r} has no step {meant.name!r} any more; a deploy may have "
            "renamed it. The server cannot resume the step, and may have executed the one in its "
            f"place. {run}. Resume another suspended step, or cancel the run and start it again.",
            run,
        )
    if waits_at(run, meant) or _is_too_late(said):
        raise _refusal(run, meant, said)
    return run


def _warn_of_other_data(run: WorkflowRun, meant: Suspension, data: JSON) -> None:
    """Warn if the step was resumed with other data, as can happen with several replicas.

    A late resume may receive the stream of the one that won. This is no error, since a resume
    schema may rewrite the data (``.transform``).
    """
    step = run.step(meant.step)
    if step is None or meant.for_each_index is not None:
        return
    if places := differences(comparing.as_stored(data), step.resume_payload, meant.resume_schema):
        log.warning(
            "Step %r of run %r was resumed with other data than that of this call; they differ at "
            "%s. Either another caller resumed it at the same time, or its resume schema converted "
            "the data.",
            meant.name,
            run.run_id,
            comparing.named(places),
        )


def _is_too_late(said: str) -> bool:
    return any(words in said for words in _TOO_LATE)


def _refusal(
    run: WorkflowRun, meant: Suspension, said: str
) -> InvalidResumeDataError | ResumeRefusedError | NotSuspendedError:
    if said.startswith("Invalid resume data"):
        lines = reasons(said)
        return InvalidResumeDataError(
            f"The server refused the resume data for step {meant.name!r}: "
            f"{'; '.join(lines) or safe_text(said)}. {run}; the step is still suspended.",
            validation_errors=lines,
        )
    if _is_too_late(said) and not waits_at(run, meant):
        return NotSuspendedError(
            f"Step {meant.name!r} is no longer suspended; another caller resumed it. {run}.", run
        )
    reason = (
        f": {safe_text(said)}" if said else "; its record has not changed since the resume was sent"
    )
    return ResumeRefusedError(
        f"The server did not resume step {meant.name!r}{reason}. {run}. It can be resumed again.",
        run,
    )
