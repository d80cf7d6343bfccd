"""Test that the time and memory spent on a server's response are bounded by its size."""

from __future__ import annotations

import dataclasses
import json
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from mastra_workflows import _api as api
from mastra_workflows._api import Response
from mastra_workflows._models import Event
from mastra_workflows._procedures.acting import Cancellation
from mastra_workflows._procedures.reading import described
from mastra_workflows._progress import StepProgress
from mastra_workflows._schemas import check, parse_schema, unknown_fields, validation_errors
from mastra_workflows._stream import EventDeduplicator
from mastra_workflows.errors import NotMastraError
from mastra_workflows.hitl._forms import Form
from mastra_workflows.hitl._markdown import shown
from tests.support.bounds import at_most


@pytest.mark.parametrize(
    "name",
    [
        lambda number: f"step-{number}",
        lambda number: f"a.{number}",
        lambda number: f"inner.{'x.' * (number % 60)}{number}",
    ],
    ids=["flat", "below", "deep"],
)
def test_a_run_of_many_steps(name: Callable[[int], str]) -> None:
    step = {"status": "suspended", "startedAt": 1, "suspendPayload": {"a": 1}}
    steps = {"inner": step, "a": step} | {name(number): step for number in range(20_000)}
    graph = [{"type": "step", "step": {"id": known}} for known in steps]
    for more in ({}, {"serializedStepGraph": graph}):
        record = {"status": "suspended", "steps": steps, **more}
        response = Response(200, {}, json.dumps(record).encode())
        with at_most(10):
            run = api.parse_run("w", "r", response)
        assert len(run.steps) == len(steps)
        assert len(str(run)) < 10_000
    details = {"allSteps": steps, "stepGraph": graph}
    with at_most(10):
        api.parse_details("w", Response(200, {}, json.dumps(details).encode()))


def test_a_name_of_many_dots() -> None:
    with at_most(5):
        api.step_paths(["." * length for length in range(5_000)])
        api.step_paths(["." * 5_000_000, "a"])


def test_deeply_nested_step_graph() -> None:
    graph: Any = []
    for _ in range(5_000):
        graph = [{"id": "a", "serializedStepFlow": graph}]
    with at_most(20):
        assert len(api.step_paths(["a", "a.a"], graph)[1]) == 2


def test_a_stream_of_many_events() -> None:
    once = EventDeduplicator()
    with at_most(10):
        for number in range(50_000):
            kind = "workflow-finish" if number % 2 else "workflow-paused"
            list(once.feed(Event(kind, "r", {}, None, None, None)))


def test_properties_with_equal_form_keys() -> None:
    names = [f"{'.' * dots}a" for dots in range(150)]
    form = Form({"properties": {name: {"type": "string"} for name in names}})
    assert len({field.key for field in form.fields}) == 150
    large = Form({"properties": {f"p{number}": {} for number in range(4_000)}})
    with at_most(10):
        assert [field.kind for field in large.fields] == ["json"]


DOUBLING = {
    "allOf": [{"$ref": "#/$defs/d0"}],
    "$defs": {
        **{f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(50)},
        "d50": {"type": "string"},
    },
}
GROWING = {
    "properties": {"a": {"$ref": "#"}},
    "allOf": [{"properties": {"a": {"$ref": "#"}}}],
}
NESTED: Any = {}
for _ in range(50):
    NESTED = {"a": NESTED}


@pytest.mark.parametrize(
    ("schema", "data"),
    [
        (DOUBLING, 5),
        (GROWING, NESTED),
        ({**GROWING, "unevaluatedProperties": False}, NESTED),
        ({"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}, 5),
        ({"pattern": "^(a+)+$"}, "a" * 60 + "!"),
        ({"patternProperties": {"^(a+)+$": False}, "additionalProperties": False}, {"a" * 60: 1}),
        ({"propertyNames": {"pattern": "(a|a)*$"}}, {"a" * 60 + "!": 1}),
        ({"pattern": "a" * 5_000_000}, "a"),
        ({"pattern": "a{99999999999}"}, "a"),
        ({"properties": {f"p{n}": {"type": "string"} for n in range(100_000)}}, {"p1": 1}),
        ({"items": {"enum": list(range(4_000))}}, ["x"] * 20_000),
        ({"items": {"required": ["x"] * 4_000}}, [{}] * 20_000),
        ({"uniqueItems": True}, [{"a": n} for n in range(50_000)]),
    ],
)
def test_expensive_schema_is_bounded(schema: Any, data: Any) -> None:
    with at_most(20):
        check(schema, data)
        unknown_fields(schema, data)
        Form(parse_schema(json.dumps(schema))).values(data)


def test_schema_over_the_limit_is_ignored_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    small = {"properties": {f"p{n}": {"type": "string"} for n in range(2_000)}}
    assert parse_schema(json.dumps(small)) == small
    large = {"properties": {f"q{n}": {"type": "string"} for n in range(7_777)}}
    assert parse_schema(large) is None
    assert parse_schema(json.dumps(large)) is None
    assert parse_schema('{"not":' * 3_000 + "{}" + "}" * 3_000) is None
    said = [record for record in caplog.records if "over 5,000 values" in record.message]
    assert len(said) <= 1
    assert validation_errors(large, {"q1": 5}) == []


LONG_ID = "o" * 500_000


def response_of(value: Any) -> Response:
    return Response(200, {}, json.dumps(value).encode())


def inside(step_id: str, count: int) -> list[Any]:
    steps = [{"type": "step", "step": {"id": f"i{number}"}} for number in range(count)]
    return [{"type": "step", "step": {"id": step_id, "serializedStepFlow": steps}}]


@contextmanager
def memory_at_most(size: int) -> Iterator[None]:
    """InboxState that Python allocates in this block, in bytes."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < size
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("step_id", [LONG_ID, "o" * 900], ids=["one-long", "many-medium"])
def test_memory_of_a_graph_is_bounded_by_the_response_size(step_id: str) -> None:
    graph = inside(step_id, 3_000)
    record = {"status": "running", "steps": {"a": {"status": "running"}}}
    details = {"steps": {"a": {}}, "stepGraph": graph}
    with memory_at_most(30_000_000):
        api.parse_run("w", "r", response_of(record | {"serializedStepGraph": graph}))
        api.parse_details("w", response_of(details))


def test_the_names_of_a_large_graph_are_bounded_together() -> None:
    graph = inside("o" * 900, 20_000)
    with memory_at_most(12_000_000):
        assert api.step_paths(["a.b"], graph) == [("a.b",)]


def test_overlong_step_names_are_rejected() -> None:
    record = {"status": "suspended", "steps": {LONG_ID: {"status": "suspended"}}}
    with pytest.raises(NotMastraError, match="500,000 characters"):
        api.parse_run("w", "r", response_of(record))
    path = {"status": "suspended", "suspendPayload": {"__workflow_meta": {"path": [LONG_ID]}}}
    record = {"status": "suspended", "steps": {"a": path}}
    with pytest.raises(NotMastraError, match="500,002 characters"):
        api.parse_run("w", "r", response_of(record))
    with pytest.raises(NotMastraError, match="500,000 characters"):
        api.parse_details("w", response_of({"steps": {LONG_ID: {}}}))


def test_items_of_a_foreach_repeat_no_large_schema_without_bound() -> None:
    schema = {"properties": {f"p{number}": {"type": "string"} for number in range(1_000)}}
    items = [{"status": "suspended", "suspendPayload": {}}] * 5_000
    waiting = {"__workflow_meta": {"foreachOutput": items}}
    step = {"status": "suspended", "suspendPayload": waiting}
    run = api.parse_run("w", "r", response_of({"status": "suspended", "steps": {"a": step}}))
    details = {"a": {"resumeSchema": json.dumps(schema), "description": "d" * 1_000}}
    known = api.parse_details("w", response_of({"steps": details}))
    asked = described(run, known).suspensions
    assert len(asked) == 5_000
    assert (asked[0].resume_schema, asked[0].description) == (schema, "d" * 1_000)
    assert len(json.dumps([item.to_dict() for item in asked])) < 12_000_000
    few = dataclasses.replace(run, suspensions=run.suspensions[:100])
    assert all(item.resume_schema == schema for item in described(few, known).suspensions)


def test_deeply_nested_payload_is_rendered_in_bounded_memory() -> None:
    payload: Any = list(range(20_000))
    for _ in range(140):
        payload = [payload]
    with memory_at_most(3_000_000):
        assert len(shown(payload)) < 20_000


def test_message_names_only_some_of_many_steps() -> None:
    steps = {f"step-{number}": {"status": "running"} for number in range(5_000)}
    run = api.parse_run("w", "r", response_of({"status": "canceled", "steps": steps}))
    text = str(Cancellation(run, requested=True))
    assert "'step-0'" in text
    assert "4,980 more" in text
    assert len(text) < 2_000


def test_record_with_too_many_steps_is_rejected() -> None:
    record = {"status": "running", "steps": {f"s{n}": {"status": "success"} for n in range(50_001)}}
    with pytest.raises(NotMastraError, match="50,001 steps"):
        api.parse_run("w", "r", response_of(record))


def test_number_of_suspended_foreach_items_is_bounded() -> None:
    items = [{"status": "suspended", "suspendPayload": {"n": n}} for n in range(12_000)]
    step = {"status": "suspended", "suspendPayload": {"__workflow_meta": {"foreachOutput": items}}}
    run = api.parse_run("w", "r", response_of({"status": "suspended", "steps": {"a": step}}))
    assert [item.for_each_index for item in run.suspensions] == list(range(10_000))


def test_record_of_many_steps_logs_few_lines() -> None:
    steps = {f"s{n}": {"status": "success", "startedAt": n, "endedAt": n} for n in range(20_000)}
    run = api.parse_run("w", "r", response_of({"status": "success", "steps": steps}))
    lines: list[str] = []
    progress = StepProgress(lines.append)
    progress.on_record(run)
    assert len(lines) == 201
    assert lines[0].startswith("Step 's0'")
    assert lines[-1] == "… and 19,900 more steps changed"
    progress.on_record(run)
    assert len(lines) == 201
