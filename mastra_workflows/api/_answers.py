"""Answers as models, and HTTP statuses as errors."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from mastra_workflows.api._requests import Generation, Response
from mastra_workflows.errors import (
    ApiError,
    AuthenticationError,
    BodyTooLargeError,
    NotMastraError,
    UnavailableError,
    UnknownRunError,
    UnknownWorkflowError,
)
from mastra_workflows.models import (
    JSON,
    Event,
    RunFailure,
    Step,
    StepDetails,
    StepPath,
    Suspension,
    WorkflowDetails,
    WorkflowRun,
    from_millis,
)
from mastra_workflows.schemas import parse_schema
from mastra_workflows.text import decode, safe_text

META = "__workflow_meta"
MAX_SHOWN = 300
MAX_ISSUES = 20
UNKNOWN_WORKFLOW = re.compile(r"Workflow (with ID .* )?not found")


def check(response: Response) -> Response:
    """Raise what an HTTP status means; give the answer back if it is a success.

    Raises:
        AuthenticationError: 401 and 403.
        UnknownWorkflowError, UnknownRunError: 404 with Mastra's own words for them.
        BodyTooLargeError: 413.
        UnavailableError: 429, 502, 503 and 504.
        NotMastraError: a redirect, or a page.
        ApiError: any other status from 400 on.
    """
    status = response.status_code
    if is_success(status, response.headers):
        return response
    if 200 <= status < 300:
        raise _not_json(response)
    said = server_message(response)
    if 300 <= status < 400:
        target = safe_text(
            response.headers.get("location", "elsewhere").partition("?")[0], MAX_SHOWN
        )
        raise NotMastraError(
            f"The server answered {status} and points to {target}. Redirects are not followed, "
            "since a POST would arrive as a GET: give the final address as the base URL."
        )
    kind, hint = _meaning(status, said)
    if kind is None:
        raise BodyTooLargeError(f"The server refused the request's size (413): {said}")
    raise kind(
        f"The server answered {status}: {said}{hint}",
        status_code=status,
        server_message=said,
        retry_after=_retry_after(response),
    )


def is_success(status: int, headers: Mapping[str, str]) -> bool:
    """Whether an answer is what was asked for, as far as its head tells; no page ever is."""
    return 200 <= status < 300 and "html" not in headers.get("content-type", "")


def _not_json(response: Response) -> NotMastraError:
    kind = safe_text(response.headers.get("content-type", "no content type"), MAX_SHOWN)
    what = "an HTML page" if "html" in kind else f"{kind}, no whole JSON document"
    return NotMastraError(
        f"The answer is {what}. Is the base URL that of a Mastra server, with the right API "
        "prefix, and is no login page or gateway in between?"
    )


def _meaning(status: int, said: str) -> tuple[type[ApiError] | None, str]:
    if status == 401:
        return AuthenticationError, " Set the token that this server asks for."
    if status == 403:
        return AuthenticationError, " The token is known but may not do this; use another one."
    if status == 404 and UNKNOWN_WORKFLOW.match(said):
        return UnknownWorkflowError, ""
    if status == 404 and said.startswith("Workflow run"):
        return UnknownRunError, ""
    if status == 404:
        return ApiError, " Is this a Mastra server, and is its API prefix the one that is set?"
    if status == 413:
        return None, ""
    if status in (429, 502, 503, 504):
        return UnavailableError, ""
    return ApiError, ""


def server_message(response: Response) -> str:
    """What an error answer says, shortened to one line of plain text."""
    try:
        data = decode(response.content)
    except ValueError:
        data = None
    if isinstance(data, dict):
        message = safe_text(data.get("error") or data.get("message") or "", MAX_SHOWN)
        issues = data.get("issues")
        if isinstance(issues, list):
            message += "".join(
                f"; {safe_text(issue.get('field'), MAX_SHOWN)}: "
                f"{safe_text(issue.get('message'), MAX_SHOWN)}"
                for issue in issues[:MAX_ISSUES]
                if isinstance(issue, dict)
            )
        text = message
    elif "html" in response.headers.get("content-type", ""):
        text = "an HTML page"
    else:
        text = response.content[: 4 * MAX_SHOWN].decode(errors="replace")
    return safe_text(text, MAX_SHOWN) or "(nothing more)"


def _retry_after(response: Response) -> float | None:
    value = response.headers.get("retry-after", "")
    try:
        seconds = float(value)
    except ValueError:
        return None  # a date: rare, and not worth trusting two clocks for
    return max(0.0, seconds) if math.isfinite(seconds) else None


def parse_json(response: Response) -> Any:
    """The JSON of a success.

    Raises:
        NotMastraError: it is something else, or half of it.
    """
    try:
        return decode(check(response).content)
    except ValueError as error:
        raise _not_json(response) from error


def parse_object(response: Response) -> dict[str, Any]:
    """As `parse_json`, for answers that are JSON objects."""
    data = parse_json(response)
    if not isinstance(data, dict):
        raise NotMastraError(f"The answer is a JSON {type(data).__name__} where an object belongs.")
    return data


def parse_server(response: Response) -> tuple[Generation, tuple[int, ...] | None]:
    """Which generation answered `system_packages`, and its version where it tells."""
    if response.status_code == 404:
        return Generation.V0, None
    packages = parse_object(response).get("packages")
    if not isinstance(packages, list):
        raise NotMastraError("The answer is JSON, but not about Mastra: it lists no packages.")
    for package in packages:
        if isinstance(package, dict) and package.get("name") == "@mastra/core":
            numbers = str(package.get("version", "")).partition("-")[0].split(".")
            if all(number.isdigit() for number in numbers):
                return Generation.V1, tuple(map(int, numbers))
    return Generation.V1, None


def parse_workflows(response: Response) -> tuple[WorkflowDetails, ...]:
    """The answer to `list_workflows`."""
    data = parse_object(response)
    if not all(isinstance(value, dict) for value in data.values()):
        raise NotMastraError("The answer is JSON, but no list of Mastra workflows.")
    return tuple(_details(key, value) for key, value in data.items())


def parse_details(key: str, response: Response) -> WorkflowDetails:
    """The answer to `workflow_details`."""
    return _details(key, parse_object(response))


def _details(key: str, data: Mapping[str, Any]) -> WorkflowDetails:
    steps = {
        name: step
        for name, step in _mapping(data.get("allSteps") or data.get("steps")).items()
        if isinstance(step, dict)
    }
    graph = data.get("stepGraph")
    return WorkflowDetails(
        key=key,
        name=str(data.get("name") or key),
        description=data.get("description"),
        input_schema=parse_schema(data.get("inputSchema")),
        output_schema=parse_schema(data.get("outputSchema")),
        steps={path: _step_details(path, steps[".".join(path)]) for path in step_paths(steps)},
        step_graph=tuple(graph) if isinstance(graph, list) else (),
    )


def _step_details(path: StepPath, data: Mapping[str, Any]) -> StepDetails:
    return StepDetails(
        path=path,
        description=data.get("description"),
        input_schema=parse_schema(data.get("inputSchema")),
        output_schema=parse_schema(data.get("outputSchema")),
        resume_schema=parse_schema(data.get("resumeSchema")),
        suspend_schema=parse_schema(data.get("suspendSchema")),
        is_workflow=bool(data.get("isWorkflow")) or data.get("component") == "WORKFLOW",
    )


def parse_run(workflow_id: str, run_id: str, response: Response) -> WorkflowRun:
    """The answer to `run_execution_result`, of either generation."""
    return _run(workflow_id, run_id, parse_object(response))


def parse_runs(workflow_id: str, response: Response) -> tuple[WorkflowRun, ...]:
    """One page of `list_runs`. Its rows hold snapshots, on both generations."""
    rows = parse_object(response).get("runs")
    return tuple(
        _run(workflow_id, str(row.get("runId")), row)
        for row in (rows if isinstance(rows, list) else ())
        if isinstance(row, dict)
    )


def _run(workflow_id: str, run_id: str, row: Mapping[str, Any]) -> WorkflowRun:
    snapshot = row.get("snapshot")
    if isinstance(snapshot, str):
        try:
            snapshot = decode(snapshot)
        except ValueError as error:
            raise NotMastraError(f"The snapshot of run {run_id!r} is no JSON.") from error
    if isinstance(snapshot, dict):  # a raw row: the steps are in `context`, with the input
        context = dict(_mapping(snapshot.get("context")))
        state: Mapping[str, Any] = {"payload": context.pop("input", None), **snapshot}
        steps: Mapping[str, Any] = context
    else:
        state = row
        steps = _mapping(row.get("steps"))
    if not isinstance(state.get("status"), str):
        raise NotMastraError("The answer is JSON, but no workflow run: it has no status.")
    records = {
        name: data
        for name, data in steps.items()
        if isinstance(data, dict) and isinstance(data.get("status"), str)
    }
    return WorkflowRun(
        workflow_id=workflow_id,
        run_id=run_id,
        status=state["status"],
        result=state.get("result"),
        error=_failure(state.get("error")),
        payload=state.get("payload"),
        steps=tuple(_step(path, records[".".join(path)]) for path in step_paths(records)),
        suspensions=tuple(_suspensions(records)) if state["status"] == "suspended" else (),
        resource_id=row.get("resourceId"),
        created_at=from_millis(row.get("createdAt")),
        updated_at=from_millis(row.get("updatedAt")),
    )


def _mapping(value: JSON) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def step_paths(names: Iterable[str]) -> list[StepPath]:
    """Names such as ``inner.approve`` as paths; a dot in a step's own id is no boundary.

    A nested workflow is always listed itself, beside the steps that it holds.
    """
    known = list(names)
    return [_split(name, known) for name in known]


def _split(name: str, known: Sequence[str]) -> StepPath:
    parents = [other for other in known if name.startswith(f"{other}.")]
    if not parents:
        return (name,)
    parent = max(parents, key=len)
    return (*_split(parent, known), name[len(parent) + 1 :])


def _step(path: StepPath, data: Mapping[str, Any]) -> Step:
    return Step(
        path=path,
        status=data["status"],
        payload=data.get("payload"),
        output=data.get("output"),
        error=_failure(data.get("error")),
        suspend_payload=_without_meta(data.get("suspendPayload")),
        resume_payload=data.get("resumePayload"),
        started_at=from_millis(data.get("startedAt")),
        ended_at=from_millis(data.get("endedAt")),
        suspended_at=from_millis(data.get("suspendedAt")),
        resumed_at=from_millis(data.get("resumedAt")),
    )


def step_of(event: Event) -> Step | None:
    """The step that an event tells of, as far as it does; None if it tells of none.

    A nested workflow's steps come with the names of the workflows around them in their ids.
    """
    data = event.current_step
    if data is None or not isinstance(data.get("id"), str):
        return None
    status = data.get("status") or _STATUS_BY_EVENT.get(event.type)
    return _step((data["id"],), {**data, "status": status}) if status else None


_STATUS_BY_EVENT = {
    "workflow-step-start": "running",
    "workflow-step-suspended": "suspended",
    "workflow-step-waiting": "waiting",
}


def _suspensions(records: Mapping[str, Mapping[str, Any]]) -> Iterator[Suspension]:
    """The innermost steps that are suspended.

    A nested workflow's step points to the step inside by ``__workflow_meta.path``, and reads
    ``suspended`` or ``running`` itself, by version; a foreach step holds its items there.
    """
    seen: set[StepPath] = set()
    for path in step_paths(records):
        data = records[".".join(path)]
        meta = _meta(data)
        inner = meta.get("path")
        if isinstance(inner, list) and data["status"] in ("suspended", "running"):
            path = (*path, *map(str, inner))
            data = records.get(".".join(path), data)
        elif data["status"] != "suspended":
            continue
        if path not in seen:
            seen.add(path)
            yield from _suspended_items(path, data)


def _meta(data: Mapping[str, Any]) -> Mapping[str, Any]:
    payload = data.get("suspendPayload")
    meta = payload.get(META) if isinstance(payload, dict) else None
    return meta if isinstance(meta, dict) else {}


def _suspended_items(path: StepPath, data: Mapping[str, Any]) -> Iterator[Suspension]:
    payload = data.get("suspendPayload")
    meta = _meta(data)
    since = from_millis(data.get("suspendedAt"))
    items = meta.get("foreachOutput")
    if not isinstance(items, list):
        yield Suspension(step=path, payload=_without_meta(payload), suspended_at=since)
        return
    for index, item in enumerate(items):
        if not isinstance(item, dict) or item.get("status") != "suspended":
            continue
        asked = _without_meta(item.get("suspendPayload"))
        if not asked and index == meta.get("foreachIndex"):
            asked = _without_meta(payload)  # 0.x keeps only the first item's question
        yield Suspension(
            step=path,
            payload=asked,
            for_each_index=index,
            suspended_at=from_millis(item.get("suspendedAt")) or since,
        )


def _without_meta(payload: JSON) -> JSON:
    if isinstance(payload, dict) and META in payload:
        return {key: value for key, value in payload.items() if key != META}
    return payload


def _failure(error: JSON) -> RunFailure | None:
    if error is None or error == {}:
        return None
    if isinstance(error, dict):
        return RunFailure(
            message=str(error.get("message") or json.dumps(error, ensure_ascii=False)),
            name=str(error.get("name") or "Error"),
            code=error.get("code") or error.get("id"),
            stack=error.get("stack"),
        )
    # 0.x: "Error: disk full\n    at Object.execute (...)"
    head, _, stack = str(error).partition("\n    at ")
    name, colon, message = head.partition(": ")
    if not colon or not name.isidentifier():
        name, message = "Error", head
    return RunFailure(message=message, name=name, stack=f"    at {stack}" if stack else None)
