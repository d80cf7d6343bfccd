"""Parse the records of runs, and the steps of events, into models.

The default engine and the event-driven one (``@mastra/core/workflows/evented``, and every workflow
with a ``schedule``) write records in two formats. Each place is recognised by its shape.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from mastra_workflows._api._names import StepNames, check_name
from mastra_workflows._api._requests import Response
from mastra_workflows._api._responses import mapping, parse_object, text_or
from mastra_workflows._models import (
    FINISHED,
    JSON,
    MAX_NAME,
    Event,
    RunFailure,
    RunStatus,
    Step,
    StepPath,
    Suspension,
    WorkflowRun,
    from_millis,
)
from mastra_workflows._text import decode, safe_text, storable
from mastra_workflows.errors import ForeignRunError, NotMastraError

MAX_STEPS = 50_000
"""The maximum number of steps in a record: far more than any workflow has, and few enough to
process on an event loop."""

MAX_SUSPENSIONS = 10_000
"""The maximum number of suspensions to read. The further items of a larger foreach follow once
these are resumed."""

META = "__workflow_meta"
NEVER = datetime.max.replace(tzinfo=UTC)

INPUT = "input"
"""The key of a run's input among its steps, on the server."""

STEP_WORDS = frozenset(
    {
        "status",
        "payload",
        "output",
        "error",
        "startedAt",
        "endedAt",
        "suspendPayload",
        "suspendOutput",
        "suspendedAt",
        "resumePayload",
        "resumedAt",
        "metadata",
    }
)
"""The possible keys of a step's record."""


def parse_run(
    workflow_id: str, run_id: str, response: Response, *, workflow_name: str | None = None
) -> WorkflowRun:
    """Parse the response to `run_execution_result`, of 0.x or 1.x.

    Args:
        workflow_id: the workflow's registry key or id.
        run_id: the run.
        response: the response. A 0.x response does not contain the run id.
        workflow_name: the workflow's id, which 1.x records contain; None if it is unknown.

    Raises:
        ForeignRunError: the record is that of another run.
    """
    row = parse_object(response)
    its_run, its_workflow = row.get("runId"), row.get("workflowName")
    if its_run not in (run_id, storable(run_id), None):
        raise _foreign(workflow_id, run_id, f"run {safe_text(its_run, MAX_NAME)!r}")
    if workflow_name and its_workflow not in (workflow_id, workflow_name, None):
        raise _foreign(workflow_id, run_id, f"workflow {safe_text(its_workflow, MAX_NAME)!r}")
    return _run(workflow_id, run_id, row)


def _foreign(workflow_id: str, run_id: str, found: str) -> ForeignRunError:
    return ForeignRunError(
        f"The server was asked for run {run_id!r} of workflow {workflow_id!r} and responded with "
        f"the record of {found}. Check for a cache or proxy in between that mixes up responses."
    )


def parse_runs(workflow_id: str, response: Response) -> tuple[WorkflowRun, ...]:
    """Parse one page of `list_runs`. Its rows hold snapshots, on 0.x and 1.x."""
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
            raise NotMastraError(f"The snapshot of run {run_id!r} is not valid JSON.") from error
    if isinstance(snapshot, dict):  # a raw row: `context` holds the steps and the input
        context = dict(mapping(snapshot.get("context")))
        state: Mapping[str, Any] = {"payload": context.pop(INPUT, None), **snapshot}
        steps: Mapping[str, Any] = context
    else:
        state = row
        steps = mapping(row.get("steps"))
    status = state.get("status")
    if not isinstance(status, str):
        raise NotMastraError("The response is not a workflow run: it has no status.")
    if len(steps) > MAX_STEPS:
        raise NotMastraError(
            f"The record of run {run_id!r} has {len(steps):,} steps, over the limit of "
            f"{MAX_STEPS:,}."
        )
    graph = state.get("serializedStepGraph")
    names = StepNames(graph)
    payload, steps = _input_and_steps(state.get("payload"), steps, names, graph)
    records = {check_name(name): data for name, data in steps.items() if _is_step(data)}
    if status == RunStatus.SUCCESS and _is_cancellation(state.get("result"), records):
        status, state = RunStatus.CANCELED.value, {**state, "result": None}
    paths = names.paths(records)
    waiting = () if status in FINISHED else _suspensions(records, paths, names)
    suspensions = tuple(islice(waiting, MAX_SUSPENSIONS))
    is_suspended = status == RunStatus.SUSPENDED
    return WorkflowRun(
        workflow_id=workflow_id,
        run_id=run_id,
        status=status,
        result=_result(state.get("result"), records, graph) if status in FINISHED else None,
        error=_failure(state.get("error")),
        payload=payload,
        steps=_in_order(_step(path, records[name]) for name, path in paths.items()),
        suspensions=suspensions if is_suspended else (),
        unmoved=() if is_suspended else suspensions,
        resource_id=text_or(row.get("resourceId"), None),
        created_at=from_millis(row.get("createdAt")),
        updated_at=from_millis(row.get("updatedAt")),
    )


def _in_order(steps: Iterable[Step]) -> tuple[Step, ...]:
    """Sort steps by their start; PostgreSQL does not keep the order of a record."""
    return tuple(sorted(steps, key=lambda step: step.started_at or NEVER))


def _is_step(data: JSON) -> bool:
    return isinstance(data, dict) and isinstance(data.get("status"), str)


def _input_and_steps(
    payload: JSON, steps: Mapping[str, Any], names: StepNames, graph: JSON
) -> tuple[JSON, Mapping[str, Any]]:
    """Separate a run's input from its steps, even if a step is called ``input``.

    Servers store both in one object. When such a step begins, its record is merged into the input.
    """
    has_begun = (
        names.is_known(INPUT)
        and INPUT not in steps
        and _is_step(payload)
        and isinstance(payload.get("startedAt"), int | float)
    )
    if not has_begun:
        return payload, steps
    is_first = isinstance(graph, list) and StepNames(graph[:1]).is_known(INPUT)
    rest = {key: value for key, value in payload.items() if key not in STEP_WORDS}
    return payload.get("payload") if is_first else rest, {INPUT: payload, **steps}


def _is_cancellation(result: JSON, records: Mapping[str, Mapping[str, Any]]) -> bool:
    """Return whether a result is a cancellation, as the event-driven engine before 1.0 writes it.

    If a workflow returns the same value, that value is also the output of a step.
    """
    return result == {"status": "canceled"} and all(
        data.get("output") != result for data in records.values()
    )


def _result(result: JSON, records: Mapping[str, Mapping[str, Any]], graph: JSON) -> JSON:
    """Return a run's result; if the event-driven engine sends a step's record, its output."""
    if not (_is_step(result) and "output" in result and result.keys() <= STEP_WORDS):
        return result
    output = result["output"]
    if "startedAt" in result:
        words = ("status", "startedAt", "endedAt")
        wanted = [result.get(word) for word in words]
        is_record = any([data.get(word) for word in words] == wanted for data in records.values())
    else:  # several parallel steps with a combined output
        last = graph[-1] if isinstance(graph, list) and graph else None
        ends = StepNames(last)
        outputs = {
            name: data.get("output") for name, data in records.items() if ends.is_known(name)
        }
        is_record = (
            mapping(last).get("type") in ("parallel", "conditional")
            and isinstance(output, dict)
            and output.items() <= outputs.items()
        )
    return output if is_record else result


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
    """Return the step that an event is about, with the known fields; None if there is none.

    The id of a nested workflow's step includes the names of the enclosing workflows.
    """
    data = event.current_step
    if data is None or not isinstance(data.get("id"), str):
        return None
    status = data.get("status") or _STATUS_BY_EVENT.get(str(event.type))
    if not isinstance(status, str):
        return None
    return _step((data["id"],), {**data, "status": status})


_STATUS_BY_EVENT = {
    "workflow-step-start": "running",
    "workflow-step-suspended": "suspended",
    "workflow-step-waiting": "waiting",
}


def _suspensions(
    records: Mapping[str, Mapping[str, Any]], paths: Mapping[str, StepPath], names: StepNames
) -> Iterator[Suspension]:
    """Yield the innermost suspended steps.

    The step of a nested workflow refers to the inner step by ``__workflow_meta.path``, and its own
    status is ``suspended`` or ``running``, depending on the version. A foreach step lists its items
    there.
    """
    seen: set[StepPath] = set()
    for name, path in paths.items():
        data = records[name]
        inner = _path_inside(name, data, records, names)
        if inner and data["status"] in ("suspended", "running"):
            path = (*path, *inner)
            data = records.get(check_name(".".join(path)), data)
        elif data["status"] != "suspended":
            continue
        if path not in seen:
            seen.add(path)
            yield from _suspended_items(path, data)


def _path_inside(
    name: str,
    data: Mapping[str, Any],
    records: Mapping[str, Mapping[str, Any]],
    names: StepNames,
) -> StepPath:
    """Return the path from a nested workflow to its suspended inner step."""
    inner = _meta(data).get("path")
    if not isinstance(inner, list) or not all(isinstance(part, str) for part in inner):
        return ()
    if names.is_known(name) and not names.is_workflow(name):
        return ()
    # The event-driven engine writes the step's own id here; before 1.57, the path begins with it.
    below = ".".join([name, *inner])
    is_below = names.is_known(below) or below in records
    begins_with_own_id = inner and f".{name}".endswith(f".{inner[0]}") and not is_below
    return tuple(inner[1:] if begins_with_own_id else inner)


def _meta(data: Mapping[str, Any]) -> Mapping[str, Any]:
    return mapping(mapping(data.get("suspendPayload")).get(META))


def _suspended_items(path: StepPath, data: Mapping[str, Any]) -> Iterator[Suspension]:
    payload = data.get("suspendPayload")
    meta = _meta(data)
    since = from_millis(data.get("suspendedAt"))
    items = meta.get("foreachOutput")
    if not isinstance(items, list):
        items = _evented_items(data)
    if items is None:
        yield Suspension(step=path, payload=_without_meta(payload), suspended_at=since)
        return
    for index, item in enumerate(items):
        if not isinstance(item, dict) or item.get("status") != "suspended":
            continue
        asked = _without_meta(item.get("suspendPayload"))
        if not asked and index == meta.get("foreachIndex"):
            asked = _without_meta(payload)  # 0.x keeps only the payload of the first item
        yield Suspension(
            step=path,
            payload=asked,
            for_each_index=index,
            suspended_at=from_millis(item.get("suspendedAt")) or since,
        )


def _evented_items(data: Mapping[str, Any]) -> list[JSON] | None:
    """Return the items of a foreach of the event-driven engine; None if it is not a foreach."""
    items = data.get("output")
    if not isinstance(items, list):
        return None
    waits = any(
        isinstance(item, dict)
        and item.get("status") == "suspended"
        and _meta(item).get("foreachIndex") == index
        for index, item in enumerate(items)
    )
    return items if waits else None


def _without_meta(payload: JSON) -> JSON:
    if isinstance(payload, dict) and META in payload:
        return {key: value for key, value in payload.items() if key != META}
    return payload


def _failure(error: JSON) -> RunFailure | None:
    if error is None or error == {}:
        return None
    if isinstance(error, dict):
        message = error.get("message")
        if not isinstance(message, str) or not message:
            message = json.dumps(message or error, ensure_ascii=False)
        return RunFailure(
            message=message,
            name=text_or(error.get("name"), "Error"),
            code=text_or(error.get("code"), None) or text_or(error.get("id"), None),
            stack=text_or(error.get("stack"), None),
        )
    # 0.x: "Error: disk full\n    at Object.execute (...)"
    head, _, stack = str(error).partition("\n    at ")
    name, colon, message = head.partition(": ")
    if not colon or not name.isidentifier():
        name, message = "Error", head
    return RunFailure(message=message, name=name, stack=f"    at {stack}" if stack else None)
