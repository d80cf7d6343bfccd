"""What a small answer of a server can cost here: time that grows with its size, and no more."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from mastra_workflows import api
from mastra_workflows.api import Response
from mastra_workflows.forms import Form
from mastra_workflows.models import Event
from mastra_workflows.schemas import check, parse_schema, problems, unknown_fields
from mastra_workflows.stream import Once
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
        answer = Response(200, {}, json.dumps(record).encode())
        with at_most(10):
            run = api.parse_run("w", "r", answer)
        assert len(run.steps) == len(steps)
        assert len(str(run)) < 10_000
    details = {"allSteps": steps, "stepGraph": graph}
    with at_most(10):
        api.parse_details("w", Response(200, {}, json.dumps(details).encode()))


def test_a_name_of_many_dots() -> None:
    with at_most(5):
        api.step_paths(["." * length for length in range(5_000)])
        api.step_paths(["." * 5_000_000, "a"])


def test_a_graph_that_is_nested_deep() -> None:
    graph: Any = []
    for _ in range(5_000):
        graph = [{"id": "a", "serializedStepFlow": graph}]
    with at_most(20):
        assert len(api.step_paths(["a", "a.a"], graph)[1]) == 2


def test_a_stream_of_many_events() -> None:
    once = Once()
    with at_most(10):
        for number in range(50_000):
            kind = "workflow-finish" if number % 2 else "workflow-paused"
            list(once.feed(Event(kind, "r", {}, None, None, None)))


def test_properties_whose_keys_are_the_same() -> None:
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
def test_a_schema_that_is_dear_to_check(schema: Any, data: Any) -> None:
    with at_most(20):
        check(schema, data)
        unknown_fields(schema, data)
        Form(parse_schema(json.dumps(schema))).values(data)


def test_a_schema_over_the_bound_is_none_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    small = {"properties": {f"p{n}": {"type": "string"} for n in range(2_000)}}
    assert parse_schema(json.dumps(small)) == small
    large = {"properties": {f"q{n}": {"type": "string"} for n in range(7_777)}}
    assert parse_schema(large) is None
    assert parse_schema(json.dumps(large)) is None
    assert parse_schema('{"not":' * 3_000 + "{}" + "}" * 3_000) is None
    said = [record for record in caplog.records if "over 5,000 values" in record.message]
    assert len(said) <= 1
    assert problems(large, {"q1": 5}) == []
