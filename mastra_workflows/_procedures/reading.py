"""Read workflows, runs and the server version. Nothing here changes anything on the server."""

from __future__ import annotations

import dataclasses
import difflib
import json
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import NamedTuple, TypeVar, Unpack

from mastra_workflows import _api as api
from mastra_workflows._api import Request, Response, RunFilter, ServerGeneration
from mastra_workflows._models import (
    MAX_NAME,
    StepPath,
    Suspension,
    WorkflowDetails,
    WorkflowRun,
)
from mastra_workflows._policy import PollPolicy
from mastra_workflows._procedures._effects import (
    Parse,
    Procedure,
    Server,
    fetch,
    repeat,
    through_outage,
)
from mastra_workflows._text import safe_text
from mastra_workflows.errors import (
    ApiError,
    ForeignRunError,
    NotActiveError,
    UnknownRunError,
    UnknownWorkflowError,
)

T = TypeVar("T")

MAX_WORKFLOWS = 5
"""The maximum number of workflows that an error names."""

MAX_DESCRIBED = 10_000_000
"""The maximum total size of the descriptions and schemas of a run's suspensions, in characters.
Every item of a foreach repeats those of its step wherever it is stored."""

MAX_COMPARED = 1000
"""The maximum number of workflow keys to compare with a misspelt one."""

DETAILS_AGE = 60.0
"""How many seconds a workflow's details are cached."""


def generation(server: Server) -> Procedure[ServerGeneration]:
    """Return whether the server is 0.x or 1.x; detected once, by a GET without side effects."""
    which = server.known.generation
    return (yield from _generation_now(server)) if which is None else which


def _generation_now(server: Server) -> Procedure[ServerGeneration]:
    return (yield from through_outage(server, lambda: _ask_generation(server)))


def _ask_generation(server: Server) -> Procedure[ServerGeneration]:
    response: Response = yield server.ask(api.system_packages())
    which: ServerGeneration
    which, server.known.version = yield Parse(response, api.parse_server)
    server.known.generation = which
    server.known.features.clear()
    server.known.starts_once = which is ServerGeneration.V1
    return which


def about_workflow(
    server: Server, workflow_id: str, request: Request, parse: Callable[[Response], T]
) -> Procedure[T]:
    """Send a request about a workflow; if it does not exist, name the existing ones.

    Args:
        parse: parses the response.

    Raises:
        UnknownWorkflowError: there is no such workflow; the message names existing ones.
    """
    return (yield from _naming_workflows(server, workflow_id, fetch(server, request, parse)))


def _naming_workflows(server: Server, workflow_id: str, asking: Procedure[T]) -> Procedure[T]:
    try:
        return (yield from asking)
    except UnknownWorkflowError as error:
        message = yield from _which_instead(server, workflow_id)
        raise UnknownWorkflowError(
            message, status_code=error.status_code, server_message=error.server_message
        ) from error


def _which_instead(server: Server, workflow_id: str) -> Procedure[str]:
    text = f"The server has no workflow {workflow_id!r}."
    known = yield from list_workflows(server)
    for workflow in known:
        if workflow.name == workflow_id:
            return (
                f"{text} This server identifies workflows by registry key only. The workflow with "
                f"the id {workflow_id!r} has the key {workflow.key!r}: use the key."
            )
    if not known:
        return f"{text} It has no workflows."
    keys = [safe_text(workflow.key, MAX_NAME) for workflow in known[:MAX_COMPARED]]
    if len(known) <= MAX_WORKFLOWS:
        return f"{text} It has: {', '.join(map(repr, keys))}."
    wanted = safe_text(workflow_id, MAX_NAME)
    closest = difflib.get_close_matches(wanted, keys, MAX_WORKFLOWS, cutoff=0.0)
    return f"{text} It has {len(known):,}; the closest are {', '.join(map(repr, closest))}."


def list_workflows(server: Server) -> Procedure[tuple[WorkflowDetails, ...]]:
    """Return every workflow of the server."""
    return (yield from fetch(server, api.list_workflows(), api.parse_workflows))


def details(
    server: Server, workflow_id: str, *, max_age: float = 0.0, required: bool = True
) -> Procedure[WorkflowDetails]:
    """Return the definition of a workflow.

    Args:
        max_age: the maximum age of a cached definition, in seconds.
        required: False to fail at once on a plain HTTP error such as a 500, since a server that
            fails to describe a workflow may always fail.
    """
    read_at, known = server.known.details.get(workflow_id, (0.0, None))
    if known is not None and server.clock() - read_at < max_age:
        return known
    request = api.workflow_details(workflow_id)

    def parse(response: Response) -> WorkflowDetails | ApiError:
        try:
            return api.parse_details(workflow_id, response)
        except ApiError as error:
            if required or type(error) is not ApiError:
                raise
            return error

    found = yield from about_workflow(server, workflow_id, request, parse)
    if isinstance(found, ApiError):
        raise found
    server.known.details[workflow_id] = (server.clock(), found)
    return found


def read_run(server: Server, workflow_id: str, run_id: str) -> Procedure[WorkflowRun]:
    """Return the record of a run, with the resume schemas of suspended steps.

    Raises:
        UnknownRunError: the server has no such run.
        UnknownWorkflowError: the server has no such workflow.
        ForeignRunError: the response is the record of another run.
    """
    try:
        run = yield from _naming_workflows(
            server, workflow_id, _record(server, workflow_id, run_id)
        )
    except UnknownRunError as error:
        raise UnknownRunError(
            f"The server has no run {run_id!r} of workflow {workflow_id!r}. A server without "
            "storage forgets a run when it finishes, and a workflow with shouldPersistSnapshot may "
            "store none. A run id is only valid within its workflow.",
            status_code=error.status_code,
            server_message=error.server_message,
        ) from error
    return (yield from with_schemas(server, run))


def _record(server: Server, workflow_id: str, run_id: str) -> Procedure[WorkflowRun]:
    """Return the record of a run, without schemas.

    A client in a triggerer may outlive an upgrade of the server from one version to the other. The
    new server does not have the endpoint of the old one, so the version is detected again after a
    404.
    """

    def ask(which: ServerGeneration) -> Procedure[WorkflowRun]:
        request = api.run_execution_result(workflow_id, run_id, which)
        response: Response = yield server.ask(request)
        _, known = server.known.details.get(workflow_id, (0.0, None))
        name = None if known is None else known.name
        try:
            return (yield from server.read(response, lambda received: parsed(received, name)))
        except ForeignRunError:
            if name is None:
                raise
        # The workflow may have been renamed since.
        details_response: Response = yield server.ask(api.workflow_details(workflow_id))
        now: WorkflowDetails = yield Parse(
            details_response, partial(api.parse_details, workflow_id)
        )
        server.known.details[workflow_id] = (server.clock(), now)
        return (yield Parse(response, lambda received: parsed(received, now.name)))  # type: ignore[no-any-return]

    def parsed(response: Response, name: str | None) -> WorkflowRun:
        return api.parse_run(workflow_id, run_id, response, workflow_name=name)

    def attempt() -> Procedure[WorkflowRun]:
        which = server.known.generation or (yield from _ask_generation(server))
        try:
            return (yield from ask(which))
        except ApiError as error:
            if type(error) is not ApiError or error.status_code != 404:
                raise
            now = yield from _ask_generation(server)
            if now is which:
                raise
        return (yield from ask(now))

    return (yield from through_outage(server, attempt))


def created_at(server: Server, run: WorkflowRun) -> Procedure[datetime | None]:
    """Return when a record was first written (0.x: last written); None if unknown.

    The execution result of 0.x (`api.run_execution_result`) does not contain it.
    """
    if run.created_at is not None:
        return run.created_at
    request = api.run_execution_result(run.workflow_id, run.run_id, ServerGeneration.V1)
    try:
        row = yield from fetch(
            server, request, lambda response: api.parse_run(run.workflow_id, run.run_id, response)
        )
    except ApiError:
        return None
    return row.created_at


def find_run(server: Server, workflow_id: str, run_id: str) -> Procedure[WorkflowRun | None]:
    """Return the record of a run as `read_run` does; None if there is no such run."""
    try:
        return (yield from read_run(server, workflow_id, run_id))
    except UnknownRunError:
        return None


def with_schemas(server: Server, run: WorkflowRun) -> Procedure[WorkflowRun]:
    """Add the descriptions and schemas of the suspended steps to a run."""
    if not run.suspensions:
        return run
    try:
        known = yield from details(server, run.workflow_id, max_age=DETAILS_AGE, required=False)
    except ApiError:
        return run  # the record is useful without them
    return described(run, known)


def described(run: WorkflowRun, known: WorkflowDetails) -> WorkflowRun:
    """Add descriptions and schemas to the suspensions of a run, up to `MAX_DESCRIBED`."""
    left = MAX_DESCRIBED
    sizes: dict[StepPath, int] = {}

    def with_details(item: Suspension) -> Suspension:
        nonlocal left
        step = known.steps.get(item.step)
        if step is None:
            return item
        if item.step not in sizes:
            sizes[item.step] = len(json.dumps([step.description, step.resume_schema]))
        left -= sizes[item.step]
        if left < 0:
            return item
        return dataclasses.replace(
            item, description=step.description, resume_schema=step.resume_schema
        )

    return dataclasses.replace(run, suspensions=tuple(map(with_details, run.suspensions)))


def until(
    server: Server,
    workflow_id: str,
    run_id: str,
    settled: Callable[[WorkflowRun | None], bool],
) -> Procedure[WorkflowRun | None]:
    """Poll a run with backoff until its record shows the expected change.

    Returns:
        The last record, after at most ``server.start_timeout`` seconds; None if there is no run.
    """
    server = server.lasting()
    policy = PollPolicy(first_wait=0.05, longest_wait=2.0, timeout=server.start_timeout)
    retrying = policy.retrying(
        lambda state: (
            state.outcome is not None
            and not state.outcome.failed
            and not settled(state.outcome.result())
        )
    )
    return (yield from repeat(server, retrying, lambda: find_run(server, workflow_id, run_id)))


class RunsPage(NamedTuple):
    """A page of a workflow's runs.

    Attributes:
        runs: the selected runs, newest first as the server sorts them.
        is_last: whether this is the last page.
    """

    runs: tuple[WorkflowRun, ...]
    is_last: bool


def runs_page(
    server: Server, workflow_id: str, *, page: int, per_page: int, **which: Unpack[RunFilter]
) -> Procedure[RunsPage]:
    """Return one page of a workflow's runs (``GET .../runs``)."""
    request = api.list_runs(workflow_id, page=page, per_page=per_page, **which)
    rows = yield from about_workflow(
        server, workflow_id, request, lambda response: api.parse_runs(workflow_id, response)
    )
    status = which.get("status")
    # 0.x has no status filter and sends all runs.
    runs = tuple(row for row in rows if status in (None, row.status))
    return RunsPage(runs, is_last=len(rows) < per_page)


def watchable(server: Server, workflow_id: str, run_id: str) -> Procedure[Request]:
    """Return the request that watches an existing run.

    Raises:
        UnknownRunError: there is no such run; 0.x would respond with an empty stream.
        NotActiveError: the run has finished, on a 0.x server, whose stream would stay open forever
            without an event.
    """
    run = yield from read_run(server, workflow_id, run_id)
    which = yield from generation(server)
    if which is ServerGeneration.V0:
        check_watchable(run)
    return api.watch(workflow_id, run_id, which)


def check_watchable(run: WorkflowRun) -> None:
    """Refuse to watch a finished run on a 0.x server; see `watchable`."""
    if run.is_finished:
        raise NotActiveError(
            f"{run}. Servers before 1.0 send no past events: there is nothing to watch.",
            run,
        )
