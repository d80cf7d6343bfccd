"""Start a run, idempotently.

`/stream` is the only start that a server process deduplicates: of several concurrent ones, one
executes. `/start` and `/start-async` execute each time. So an idempotent start reads the run first,
then sends `/stream` and drops the stream as soon as it shows that the run executes; the run
continues without a reader.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from mastra_workflows import _api as api
from mastra_workflows._api import Request, Response, StartOptions
from mastra_workflows._failures import ReadTimeoutError
from mastra_workflows._models import Event, WorkflowRun
from mastra_workflows._options import OnOtherInput, WaitOptions
from mastra_workflows._policy import is_lost
from mastra_workflows._procedures._effects import (
    Listen,
    Procedure,
    Server,
    StreamResult,
    send,
    through_outage,
)
from mastra_workflows._procedures.comparing import check_choices, check_input_matches
from mastra_workflows._procedures.features import check_starts_once
from mastra_workflows._procedures.reading import (
    DETAILS_AGE,
    about_workflow,
    details,
    find_run,
    until,
)
from mastra_workflows._procedures.waiting import wait
from mastra_workflows._schemas import check, unknown_fields, validation_errors
from mastra_workflows._text import safe_text
from mastra_workflows.errors import (
    ApiError,
    ConnectionFailedError,
    InvalidInputError,
    MastraError,
    RunAlreadyStartedError,
    RunNotStartedError,
    UnavailableError,
)

log = logging.getLogger(__name__)

_TAKES_NONE = re.compile(r"expected (undefined|void), received object")

SILENT_SECONDS = 1.0
"""The maximum silence of a stream that starts or resumes a run, before the record is read
instead."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """The effect of `start`.

    Attributes:
        run_id: the run.
        found: the record of the existing run; None if this call started the run.
    """

    run_id: str
    found: WorkflowRun | None


def create_run(
    server: Server, workflow_id: str, run_id: str, resource_id: str | None
) -> Procedure[None]:
    """Create the record of a run as ``pending``. Nothing executes."""
    request = api.create_run(workflow_id, run_id, resource_id)
    yield from about_workflow(server, workflow_id, request, api.parse_object)


def start(
    server: Server,
    workflow_id: str,
    run_id: str,
    options: StartOptions,
    on_other_input: OnOtherInput = "fail",
) -> Procedure[Receipt]:
    """Start a run unless it was started before, retrying through failures.

    Raises:
        RunMismatchError: the run was started with other input, with ``on_other_input="fail"``.
        InvalidInputError: the input is invalid.
        UnsupportedError: the server is older than 0.17, and may execute the run twice.
        RunNotStartedError: the server refused the run, or showed no sign that it executes.
    """
    check_choices(on_other_input)
    found = yield from _find_started(server, workflow_id, run_id)
    if found is None:
        yield from check_starts_once(server)
        options = yield from _check_input(server, workflow_id, options)
        receipt = yield from _start(server, workflow_id, run_id, options)
        found = receipt.found
    if found is not None:
        yield from check_input_matches(server, found, options, on_other_input)
    return Receipt(run_id, found)


def _start(
    server: Server, workflow_id: str, run_id: str, options: StartOptions
) -> Procedure[Receipt]:
    first = True

    def attempt() -> Procedure[Receipt]:
        nonlocal first
        # A start whose response was lost may have succeeded: read the record before retrying.
        again = None if first else (yield from _find_started(server, workflow_id, run_id))
        first = False
        if again is not None:
            return Receipt(run_id, None)
        return (yield from _start_by_stream(server, workflow_id, run_id, options))

    return (yield from through_outage(server, attempt))


def _find_started(server: Server, workflow_id: str, run_id: str) -> Procedure[WorkflowRun | None]:
    found = yield from find_run(server, workflow_id, run_id)
    return None if found is None or found.is_pending else found


def _start_by_stream(
    server: Server, workflow_id: str, run_id: str, options: StartOptions
) -> Procedure[Receipt]:
    request = api.stream(workflow_id, run_id, options)
    heard = yield from hear_execution(server, request)
    if heard.response.status_code == 409:  # from 1.57 on: another caller's run has finished
        return Receipt(run_id, (yield from find_run(server, workflow_id, run_id)))
    api.check(heard.response)
    refused = bool(error_text(heard.last))
    # An end without an error is that of a short run, even if no record of it is stored.
    if heard.last is not None and shows_execution(heard.last) and not refused:
        server.known.note_executing(workflow_id, run_id, server.clock())
        return Receipt(run_id, None)
    run = yield from until(server, workflow_id, run_id, lambda run: refused or _left_pending(run))
    if run is None or run.is_pending:
        error = _not_started(workflow_id, run_id, options, heard.last, server.start_timeout)
        if isinstance(error, InvalidInputError):
            yield from _release(server, workflow_id, run_id)
        raise error
    return Receipt(run_id, None)


def _release(server: Server, workflow_id: str, run_id: str) -> Procedure[None]:
    """Delete the record of a run whose input was refused.

    After such a refusal, current servers start nothing by `/stream` under the same id until they
    are restarted or the record is deleted.
    """
    try:
        run = yield from find_run(server, workflow_id, run_id)
        if run is not None and run.is_pending:
            yield from send(server, api.delete(workflow_id, run_id))
    except MastraError as error:
        log.debug("The pending record of run %r was not deleted: %s", run_id, error)


def hear_execution(server: Server, request: Request) -> Procedure[StreamResult]:
    """Start or resume by a stream, and read it until it shows that the run executes.

    A buffering proxy passes nothing on before the run has finished. So a silent stream is dropped
    soon, which does not stop the run, and the record is read instead.
    """
    try:
        heard: StreamResult = yield Listen(
            request,
            shows_execution,
            server.start_timeout,
            first_within=SILENT_SECONDS,
            silent_within=SILENT_SECONDS,
        )
    except ReadTimeoutError:  # not even the headers have arrived
        return StreamResult(Response(200, {}, b""), None, ended=False)
    return heard


def shows_execution(event: Event) -> bool:
    """Return whether an event shows that the run executes, or that no more events will follow.

    ``workflow-start`` (``start`` on old servers) is sent before the input is validated.
    """
    return event.type.removeprefix("workflow-") != "start"


def _left_pending(run: WorkflowRun | None) -> bool:
    return run is not None and not run.is_pending


def _not_started(
    workflow_id: str, run_id: str, options: StartOptions, last: Event | None, seconds: float
) -> InvalidInputError | RunNotStartedError:
    text = error_text(last)
    if text.startswith("Invalid input data"):
        return _invalid_input(workflow_id, run_id, options, text)
    who = f"run {run_id!r} of workflow {workflow_id!r}"
    if text:
        return RunNotStartedError(f"The server did not start {who}: {safe_text(text)}")
    return RunNotStartedError(
        f"The server accepted the start of {who}, but the run is still pending after "
        f"{seconds:g} s; nothing executes. Starting it again with the same run id is safe."
    )


def _invalid_input(
    workflow_id: str, run_id: str, options: StartOptions, said: str
) -> InvalidInputError:
    lines = reasons(said)
    hint = ""
    if options.input_data is None and _TAKES_NONE.search(said):
        hint = " The workflow accepts no input. Set its inputSchema to z.object({}) or z.any()."
    return InvalidInputError(
        f"The server refused the input of run {run_id!r} of workflow {workflow_id!r}: "
        f"{'; '.join(lines) or safe_text(said)}. Nothing was executed.{hint}",
        validation_errors=lines,
    )


def error_text(event: Event | None) -> str:
    """Return the error in the last event of a stream; empty if there is none."""
    error = (event.workflow_state or {}).get("error") if event is not None else None
    if isinstance(error, dict):
        error = error.get("message")
    return str(error or "")


MAX_REASON = 300
MAX_REASONS = 20
"""The maximum number of reasons that an error shows, and the maximum length of each."""


def reasons(said: str) -> list[str]:
    """Return the places in a server's "Invalid ... data" message, one for each further line."""
    lines = [safe_text(line.strip("- "), MAX_REASON) for line in said.splitlines()[1:]]
    # The data as a whole is a place with an empty name.
    return [f"${line}" if line.startswith(":") else line for line in lines if line][:MAX_REASONS]


def _check_input(
    server: Server, workflow_id: str, options: StartOptions
) -> Procedure[StartOptions]:
    """Validate the input against the workflow's schema, which also checks that the workflow exists.

    Returns:
        The options, with the representation of None that the workflow accepts.

    Raises:
        InvalidInputError: the input is invalid; the error names each place.
        UnknownWorkflowError: there is no such workflow.
    """
    if not server.check_data:
        return options
    known = yield from details(server, workflow_id, max_age=DETAILS_AGE)
    if known.input_schema is None:
        return options
    if options.input_data is None and _wants_null(known.input_schema):
        return replace(options, none_is_null=True)
    data = {} if options.input_data is None else options.input_data
    found = check(known.input_schema, data)
    if found.refused:  # the workflow may have changed since the details were cached
        known = yield from details(server, workflow_id)
        found = check(known.input_schema or {}, data)
    if found.refused:
        wrong = [*found.refused, *found.doubtful]
        raise InvalidInputError(
            f"The input of workflow {workflow_id!r} is invalid: {'; '.join(wrong)}. "
            "Nothing was started.",
            validation_errors=wrong,
        )
    for line in found.doubtful:
        log.warning(
            "Input of workflow %r: %s; the server refuses it unless it converts it.",
            workflow_id,
            line,
        )
    for line in unknown_fields(known.input_schema or {}, data):
        log.warning("Input of workflow %r: %s; the server may drop it.", workflow_id, line)
    return options


def _wants_null(schema: Mapping[str, Any]) -> bool:
    """Return whether a schema accepts null and no empty object."""
    return not validation_errors(schema, None) and bool(validation_errors(schema, {}))


def start_async(
    server: Server, workflow_id: str, run_id: str, options: StartOptions
) -> Procedure[WorkflowRun]:
    """Start a run by `POST .../start-async`; fall back to polling if the response is lost."""
    options = yield from _prepare(server, workflow_id, run_id, options)
    try:
        yield from send(server, api.start_async(workflow_id, run_id, options))
    except (ConnectionFailedError, UnavailableError) as error:
        if not is_lost(error):
            raise
        run = yield from until(server, workflow_id, run_id, _left_pending)
        if run is None or run.is_pending:
            raise
        log.info("Run %r: /start-async was cut (%s); polling instead.", run_id, error)
    except ApiError as error:
        if error.server_message.startswith("Invalid input data"):
            yield from _release(server, workflow_id, run_id)
            raise _invalid_input(workflow_id, run_id, options, error.server_message) from error
        run = yield from find_run(server, workflow_id, run_id)
        if run is not None and (run.is_finished or run.is_suspended):
            log.warning("%s. The server responded with an error: %s", run, error)
            return run
        raise
    return (yield from wait(server, workflow_id, run_id, WaitOptions(on_suspend="return")))


def stream_request(
    server: Server, workflow_id: str, run_id: str, options: StartOptions
) -> Procedure[Request]:
    """Return the request that starts and streams a run, after the checks of every start.

    Raises:
        RunAlreadyStartedError: the run was started before; `/stream` could execute it again.
    """
    options = yield from _prepare(server, workflow_id, run_id, options)
    return api.stream(workflow_id, run_id, options)


def _prepare(
    server: Server, workflow_id: str, run_id: str, options: StartOptions
) -> Procedure[StartOptions]:
    found = yield from find_run(server, workflow_id, run_id)
    if found is not None and not found.is_pending:
        raise RunAlreadyStartedError(
            f"{found}. It was started before, and starting it again would execute it again. "
            "start() attaches to it; another run id starts another run.",
            found,
        )
    yield from check_starts_once(server)
    return (yield from _check_input(server, workflow_id, options))
