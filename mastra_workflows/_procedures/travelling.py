"""Time travel: repeat a run from a step on, keeping the outputs of earlier steps (from 0.24.8).

`/time-travel` responds before it validates, and an error such as an unknown step ends the process
of a 0.24 server. So `/time-travel-stream` is used, which reports errors. The stream is dropped as
soon as it shows that the run executes; the run continues without a reader.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from mastra_workflows import _api as api
from mastra_workflows._arguments import require_step
from mastra_workflows._models import JSON, StepPath, WorkflowDetails, WorkflowRun
from mastra_workflows._policy import is_lost
from mastra_workflows._procedures._effects import Listen, Procedure, Server, StreamResult
from mastra_workflows._procedures.acting import check_supported
from mastra_workflows._procedures.reading import DETAILS_AGE, details, read_run, until
from mastra_workflows._procedures.starting import error_text, shows_execution
from mastra_workflows._text import safe_text
from mastra_workflows.errors import (
    ConnectionFailedError,
    MastraError,
    NotActiveError,
    RunNotStartedError,
    UnavailableError,
    UnknownStepError,
)

log = logging.getLogger(__name__)


def time_travel(
    server: Server, workflow_id: str, run_id: str, step: str | Sequence[str], input_data: JSON
) -> Procedure[WorkflowRun]:
    """Repeat a run from a step on.

    Raises:
        NotActiveError: the run is still active.
        UnknownStepError, RunNotStartedError: see `send_back`.
    """
    require_step(step)
    run = yield from read_run(server, workflow_id, run_id)
    if run.is_active:
        raise NotActiveError(
            f"{run}. Time travel would execute it twice at the same time: wait for its end, or "
            "cancel it. Nothing was sent.",
            run,
        )
    return (yield from send_back(server, run, step, input_data))


def send_back(
    server: Server, run: WorkflowRun, step: str | Sequence[str], input_data: JSON = None
) -> Procedure[WorkflowRun]:
    """Send a run back to a step, and confirm the change in its record.

    Returns:
        The first record that shows the change.

    Raises:
        UnknownStepError: the workflow has no such step, or no longer has it.
        RunNotStartedError: the server refused, or the record did not change.
        UnsupportedError: the server is older than 0.24.8.
    """
    path = yield from _path(server, run, step)
    request = api.time_travel_stream(run.workflow_id, run.run_id, path, input_data)
    said = ""
    try:
        heard: StreamResult = yield Listen(request, shows_execution, server.start_timeout)
        check_supported(heard.response, "time travel")
        if heard.last is not None and heard.last.is_end:
            said = error_text(heard.last)
    except (ConnectionFailedError, UnavailableError) as error:
        if not is_lost(error):
            raise
        log.warning(
            "Time travel of run %r: no response, polling its record instead. %s", run.run_id, error
        )

    def has_moved(now: WorkflowRun | None) -> bool:
        return now is not None and (
            now.status != run.status
            or now.step(path) != run.step(path)
            or now.updated_at != run.updated_at
        )

    now = yield from until(
        server, run.workflow_id, run.run_id, lambda now: bool(said) or has_moved(now)
    )
    if now is not None and has_moved(now):
        return now
    if said:  # the step may have been renamed after the details were cached
        known = yield from details(server, run.workflow_id)
        if known.steps and _find(tuple(known.steps), step) is None:
            raise _unknown(run, step, known)
    reason = safe_text(said) if said else f"no effect within {server.start_timeout:g} s"
    raise RunNotStartedError(
        f"{run}. Time travel to step {_name(path)!r} failed: {reason}. The run is unchanged."
    )


def _path(server: Server, run: WorkflowRun, step: str | Sequence[str]) -> Procedure[StepPath]:
    """Return the path of an existing step; names are looked up, since ids may contain dots."""
    known = yield from details(server, run.workflow_id, max_age=DETAILS_AGE)
    found = _find(tuple(known.steps), step)
    if found is None and known.steps:  # the workflow may have changed since
        known = yield from details(server, run.workflow_id)
        found = _find(tuple(known.steps), step)
    if found is not None:
        return found
    if not known.steps:  # the server does not list its steps
        recorded = _find(tuple(item.path for item in run.steps), step)
        return recorded or ((step,) if isinstance(step, str) else tuple(step))
    raise _unknown(run, step, known)


def _find(paths: Sequence[StepPath], step: str | Sequence[str]) -> StepPath | None:
    """Find the path that a step's name or path refers to."""
    wanted = step if isinstance(step, str) else tuple(step)
    return next((path for path in paths if wanted in (path, _name(path))), None)


def _unknown(run: WorkflowRun, step: str | Sequence[str], known: WorkflowDetails) -> MastraError:
    shown = safe_text(step if isinstance(step, str) else _name(tuple(step)))
    names = safe_text(", ".join(repr(_name(path)) for path in known.steps))
    return UnknownStepError(
        f"Workflow {run.workflow_id!r} has no step {shown!r}; it has: {names}. {run}. A deploy may "
        "have renamed the step. The run is unchanged.",
        run,
    )


def _name(path: StepPath) -> str:
    return ".".join(path)
