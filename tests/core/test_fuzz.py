"""Test that no response and no stored data raises an exception other than this project's."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mastra_workflows import _api as api
from mastra_workflows._api import Response, StartOptions
from mastra_workflows._models import Event, RunFailure, Step, Suspension, WorkflowRun
from mastra_workflows._procedures.starting import error_text, reasons
from mastra_workflows._progress import StepProgress, summary
from mastra_workflows._schemas import (
    check,
    is_readable,
    parse_schema,
    unknown_fields,
    validation_errors,
)
from mastra_workflows._stream import Decoder, EventDeduplicator, parse_record
from mastra_workflows.errors import ConfigurationError, MastraError, NotMastraError
from mastra_workflows.hitl._forms import Form
from mastra_workflows.hitl._inbox import InboxState
from mastra_workflows.hitl._pending_requests import PendingRequest, pending_requests

TEXTS = st.sampled_from(
    ["a", "input", "suspended", "running", "success", "a.b", "object", "string", "#", "#/allOf/x",
     "#/default", "http://[", "1.²", "2026-01-01", "0001-01-01T00:00:00+14:00", "\0", ""]
) | st.text(max_size=4)  # fmt: skip
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**400, -1, 253402300800000, 9e99])
    | st.floats()
    | TEXTS
)
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


def objects(*words: str, **shapes: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Objects of some words, with the right or any other value under each."""
    each = dict.fromkeys(words, ANYTHING) | {k: v | ANYTHING for k, v in shapes.items()}
    return st.fixed_dictionaries({}, optional=each)


def named(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.dictionaries(TEXTS, inner | ANYTHING, max_size=4)


META = objects("runId", "foreachIndex", path=st.lists(TEXTS), foreachOutput=st.lists(ANYTHING))
STATUS = st.sampled_from(["suspended", "running", "success", "failed", "pending"])
ERRORS = objects("message", "name", "code", "id", "stack")
STEPS = objects(
    "payload", "output", "startedAt", "endedAt", "suspendedAt", "resumedAt", "resumePayload",
    status=STATUS, suspendPayload=objects("x", __workflow_meta=META), error=ERRORS,
)  # fmt: skip
GRAPH = st.lists(
    objects(
        type=st.sampled_from(["parallel", "step"]),
        id=TEXTS,
        step=objects("id"),
        steps=st.lists(objects("id", step=objects("id"))),
        serializedStepFlow=st.lists(objects("id", step=objects("id"))),
    ),
    max_size=3,
)
STATES = objects(
    "result", "payload", "resourceId", "createdAt", "updatedAt",
    status=STATUS, error=ERRORS, steps=named(STEPS), context=named(STEPS),
    serializedStepGraph=GRAPH,
)  # fmt: skip
RECORDS = STATES | objects("runId", snapshot=STATES | STATES.map(json.dumps))
RULES: st.SearchStrategy[Any] = st.recursive(
    ANYTHING,
    lambda inner: objects(
        "title", "description", "minLength", "maxLength", "format", "multipleOf", "const", "id",
        type=st.sampled_from(["object", "string", "array", "null"]) | st.lists(TEXTS),
        properties=named(inner), required=st.lists(TEXTS), items=inner, default=ANYTHING,
        anyOf=st.lists(inner, max_size=3), allOf=st.lists(inner, max_size=3),
        enum=st.lists(ANYTHING), additionalProperties=inner, patternProperties=named(inner),
        pattern=st.sampled_from(["a{99999999999}", "(", "^(a+)+$", "[[", "^a"]),
        **{"$ref": TEXTS, "$schema": TEXTS, "$id": TEXTS, "$defs": named(inner)},
    ),
    max_leaves=6,
)  # fmt: skip
WORKFLOWS = objects(
    "name", "description", inputSchema=RULES, outputSchema=RULES.map(json.dumps),
    allSteps=named(objects("description", "isWorkflow", "component", resumeSchema=RULES)),
    stepGraph=GRAPH,
)  # fmt: skip
EVENTS = objects(
    "runId", "eventTimestamp",
    type=st.sampled_from(
        ["workflow-finish", "workflow-step-result", "workflow-start", "watch", "workflow-paused"]
    ),
    payload=objects(
        "id", "status", "stepCallId", "startedAt", "workflowStatus", "metadata", "error",
        currentStep=STEPS, workflowState=STATES,
    ),
)  # fmt: skip


def response_of(data: Any, status: int = 200) -> Response:
    return Response(status, {}, json.dumps(data).encode())


def use(run: WorkflowRun) -> None:
    """All that is done with a record."""
    assert WorkflowRun.from_dict(json.loads(json.dumps(run.to_dict()))) == run
    summary(run)
    StepProgress(str).on_record(run)
    for pending_request in pending_requests(run):
        assert pending_request.key
        assert pending_request.body
        assert pending_request.form.fields
        assert PendingRequest.from_dict(pending_request.to_dict()) == pending_request
    with contextlib.suppress(MastraError):
        run.raise_for_status()


@given(RECORDS | ANYTHING)
@example({"status": []})
def test_a_record(data: Any) -> None:
    with contextlib.suppress(NotMastraError):
        use(api.parse_run("w", "r", response_of(data)))


@given(objects(runs=st.lists(RECORDS, max_size=3)) | ANYTHING)
def test_rows(data: Any) -> None:
    with contextlib.suppress(NotMastraError):
        for run in api.parse_runs("w", response_of(data)):
            use(run)


@given(objects(packages=st.lists(objects("version", name=st.just("@mastra/core")))) | ANYTHING)
@example({"packages": [{"name": "@mastra/core", "version": "1.²"}]})
@example({"packages": [{"name": "@mastra/core", "version": "9" * 5_000}]})
def test_a_server(data: Any) -> None:
    with contextlib.suppress(NotMastraError):
        api.parse_server(response_of(data))


@given(WORKFLOWS | ANYTHING)
@example({"allSteps": {"a": {"description": 5}}})
def test_details(data: Any) -> None:
    with contextlib.suppress(NotMastraError):
        details = api.parse_details("w", response_of(data))
        for step in details.steps.values():
            suspension = Suspension(step.path, 5, step.description, step.resume_schema)
            pending_request = PendingRequest("w", "r", suspension)
            assert pending_request.body
            assert pending_request.subject
        use_schema(details.input_schema, 5)


@given(named(WORKFLOWS) | ANYTHING)
def test_workflows(data: Any) -> None:
    with contextlib.suppress(NotMastraError):
        api.parse_workflows(response_of(data))


def use_schema(schema: Any, data: Any) -> None:
    if schema is None:
        return
    is_readable(schema)
    check(schema, data)
    validation_errors(schema, data)
    unknown_fields(schema, data)
    form = Form(schema)
    for field in form.fields:
        assert field.title
        str((field.description, field.default, field.options, field.schema, field.may_be_empty))
    values = form.values(data)
    with contextlib.suppress(MastraError):
        form.to_resume_data(values)
    with contextlib.suppress(MastraError):
        form.to_resume_data({field.key: data for field in form.fields})


@given(RULES, ANYTHING)
@example({"required": [["a"]]}, {})
@example({"$schema": 5}, {})
@example({"$schema": {}}, {})
@example({"$schema": "http://["}, {})
@example({"$id": "http://["}, {})
@example({"$ref": "#/allOf/x", "allOf": [{}]}, {})
@example({"properties": {"a": {"$ref": "#/default"}}, "default": {"type": "foo"}}, {"a": 1})
@example({"pattern": "a{99999999999}"}, "a")
@example(
    {
        "properties": {name: {"$ref": f"#/default/{name}"} for name in "abc"},
        "default": {
            "a": {"type": "string", "maxLength": "x", "format": []},
            "b": {"type": {}, "anyOf": 5, "enum": 5, "required": 5, "title": [], "items": 5},
            "c": {"properties": {"x": 5}, "required": 5, "type": ["object", "null", []]},
        },
    },
    {"a": "x", "b": 1, "c": {}},
)
def test_a_schema(schema: Any, data: Any) -> None:
    for text in (schema, json.dumps(schema), json.dumps({"json": schema})):
        use_schema(parse_schema(text), data)


@pytest.mark.parametrize("text", ['{"not":' * 3_000 + "{}" + "}" * 3_000, "[" * 99_999, "{", "5"])
def test_schema_that_is_none(text: str) -> None:
    assert parse_schema(text) is None


@given(
    objects("error", "message", issues=st.lists(objects("field", "message"))) | ANYTHING,
    st.sampled_from([200, 301, 400, 401, 403, 404, 409, 413, 429, 500, 503]),
)
def test_http_errors(data: Any, status: int) -> None:
    response = response_of(data, status)
    assert api.server_message(response)
    with contextlib.suppress(MastraError):
        api.check(response)


@given(st.binary(max_size=60) | RECORDS.map(lambda data: json.dumps(data).encode()))
def test_any_bytes(content: bytes) -> None:
    response = Response(200, {}, content)
    api.server_message(response)
    for parse in (api.parse_json, api.parse_object, api.parse_server, api.parse_workflows):
        with contextlib.suppress(NotMastraError):
            parse(response)
    with contextlib.suppress(NotMastraError):
        list(Decoder(max_record_bytes=10_000).feed(content + b"\x1e"))


@given(st.lists(EVENTS | ANYTHING, max_size=4))
@example([{"type": "workflow-finish", "payload": {"workflowStatus": []}}])
@example([{"type": "watch", "payload": {"workflowState": {"status": []}}}])
@example([{"type": "watch", "payload": {"currentStep": {"id": "a", "status": []}}}])
def test_events(data: list[Any]) -> None:
    once, progress = EventDeduplicator(), StepProgress(str)
    for item in data:
        try:
            event = parse_record(json.dumps(item).encode())
        except NotMastraError:
            continue
        for new in once.feed(event):
            assert new.is_end in (True, False)
            assert new.run_id is None or isinstance(new.run_id, str)
            reasons(error_text(new))
            api.step_of(new)
            progress.on_event(new)


@given(
    ANYTHING,
    st.none() | named(ANYTHING),
    st.none() | objects("id", "status"),
    st.none() | objects("status"),
)
def test_an_event_of_any_parts(kind: Any, payload: Any, step: Any, state: Any) -> None:
    event = Event(kind, None, payload if isinstance(payload, dict) else {},
                  step if isinstance(step, dict) else None,
                  state if isinstance(state, dict) else None)  # fmt: skip
    assert event.is_end in (True, False)
    api.step_of(event)


STORED: list[Callable[[Any], Any]] = [
    RunFailure.from_dict,
    Step.from_dict,
    Suspension.from_dict,
    WorkflowRun.from_dict,
    PendingRequest.from_dict,
]


STORED_DATA = (
    objects(
        "message", "name", "code", "stack", "payload", "output", "started_at", "suspended_at",
        "for_each_index", "description", "workflow_id", "run_id", "url", "created_at",
        path=st.lists(TEXTS), step=st.lists(TEXTS), status=STATUS, steps=st.lists(ANYTHING),
        error=objects("message", "name"), suspension=objects("step", "payload"),
        suspensions=st.lists(objects("step")), resume_schema=RULES,
    )
    | ANYTHING
)  # fmt: skip


@pytest.mark.parametrize(
    "read", STORED, ids=["RunFailure", "Step", "Suspension", "WorkflowRun", "PendingRequest"]
)
@given(data=STORED_DATA)
def test_stored_data(read: Callable[[Any], Any], data: Any) -> None:
    with contextlib.suppress(MastraError):
        value = read(data)
        assert read(value.to_dict()) == value
        str(value)
        if isinstance(value, WorkflowRun):
            use(value)


@given(
    objects(
        noted=st.dictionaries(TEXTS, st.lists(ANYTHING, max_size=3) | ANYTHING), since=ANYTHING
    )
    | ANYTHING
)  # fmt: skip
@example({"since": "2026-01-01", "noted": {}})
@example({"since": "0001-01-01T00:00:00+00:00", "noted": {}})
@example({"since": None, "noted": {"a": [1e18, 1]}})
def test_an_inbox_memory(data: Any) -> None:
    memory = InboxState.from_dict(data)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    memory.look_back(now, timedelta(days=1))
    assert memory.keep([], now).to_dict()


@pytest.mark.parametrize("name", [5, None, b"run", ["a"], 1.5, "", "..", "\ud800"])
def test_ids_that_are_not_strings(name: Any) -> None:
    requests: list[Callable[[], api.Request]] = [
        lambda: api.workflow_details(name),
        lambda: api.create_run("w", name),
        lambda: api.stream("w", name, StartOptions()),
        lambda: api.stream(name, "r", StartOptions()),
        lambda: api.observe("w", name),
        lambda: api.cancel("w", name),
        lambda: api.run_execution_result(name, "r", api.ServerGeneration.V1),
    ]
    for request in requests:
        with pytest.raises(ConfigurationError, match="Nothing was sent"):
            request()
