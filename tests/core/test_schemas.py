"""Test validation against a workflow's schema: as lenient as the server, no data in messages."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastra_workflows import _api as api
from mastra_workflows._schemas import parse_schema, unknown_fields, validation_errors
from tests.core import recorded
from tests.core.strategies import JSON_OBJECTS, JSON_VALUES
from tests.support.stand_in import StandIn, http

ITEMS = {
    "type": "object",
    "required": ["items"],
    "properties": {
        "items": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": {"type": "string"}, "amount": {"type": "number"}},
                "additionalProperties": False,
            },
        }
    },
}


def object_of(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


@pytest.fixture(params=recorded.GENERATIONS)
def order_schema(request: pytest.FixtureRequest) -> Any:
    """The input schema of orderReport, as a real server describes it."""
    details = api.parse_details("w", recorded.response(request.param, "details-orderReport"))
    return details.input_schema


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"city": "Oslo"}, []),  # `limit` has a default, `day` is optional
        ({"city": "Oslo", "day": "2026-01-31", "limit": 3}, []),
        ({}, ["$.city: required"]),
        (None, ["$: expected object, got null"]),
        ([], ["$: expected object, got array"]),
        ({"city": 7}, ["$.city: expected string, got integer"]),
        ({"city": ""}, ["$.city: violates minLength 1"]),
        ({"city": "Oslo", "limit": 0}, ["$.limit: violates minimum 1"]),
        ({"city": "Oslo", "limit": 1.5}, ["$.limit: expected integer, got number"]),
        ({"city": None, "day": 3}, [
            "$.city: expected string, got null", "$.day: expected string, got integer"]),
    ],
)  # fmt: skip
def test_the_schema_of_a_real_workflow(order_schema: Any, data: Any, expected: list[str]) -> None:
    assert validation_errors(order_schema, data) == expected


def test_unknown_fields_are_reported(order_schema: Any) -> None:
    data = {"city": "Oslo", "town": "Oslo", "odd name": 1}
    assert validation_errors(order_schema, data) == []
    assert unknown_fields(order_schema, data) == [
        "$.town: not in the schema",
        '$["odd name"]: not in the schema',
    ]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"items": [{"name": "a"}, {"name": "b"}, {}]}, ["$.items[2].name: required"]),
        ({"items": [{"name": 1}]}, ["$.items[0].name: expected string, got integer"]),
        ({"items": {}}, ["$.items: expected array, got object"]),
        ({"items": [{"name": "a", "x": 1}]}, []),
    ],
)
def test_paths_into_lists(data: Any, expected: list[str]) -> None:
    assert validation_errors(ITEMS, data) == expected


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("größe", "$.größe"),
        ("two words", '$["two words"]'),
        ("a.b", '$["a.b"]'),
        ('say "hi"', '$["say \\"hi\\""]'),
        ("", '$[""]'),
        ("1st", '$["1st"]'),
    ],
)
def test_odd_property_names(name: str, place: str) -> None:
    assert validation_errors(object_of(**{name: {"type": "string"}}), {}) == [f"{place}: required"]


def test_a_default_makes_no_field_required_at_any_depth() -> None:
    inner = object_of(limit={"type": "number", "default": 3}, city={"type": "string"})
    schema = object_of(place=inner, places={"type": "array", "items": inner})
    assert validation_errors(schema, {"place": {}, "places": [{}]}) == [
        "$.place.city: required",
        "$.places[0].city: required",
    ]


def test_properties_named_like_keywords() -> None:
    schema = object_of(
        required={"type": "string"}, default={"type": "string"}, properties={"type": "string"}
    )
    assert validation_errors(schema, {"required": "a", "default": "b", "properties": "c"}) == []
    assert validation_errors(schema, {}) == [
        "$.default: required",
        "$.properties: required",
        "$.required: required",
    ]


def test_closest_variant_of_a_union_is_reported() -> None:
    schema = {"anyOf": [object_of(card={"type": "string"}), {"type": "null"}]}
    [line] = validation_errors(schema, {"card": 7})
    assert line.startswith("$: matches no variant; closest: $.card: expected string")


def test_a_reference_inside_the_schema() -> None:
    schema = {
        "$ref": "#/$defs/node",
        "$defs": {"node": object_of(children={"type": "array", "items": {"$ref": "#/$defs/node"}})},
    }
    assert validation_errors(schema, {"children": [{"children": []}]}) == []
    assert validation_errors(schema, {"children": [{}]}) == ["$.children[0].children: required"]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": 7},
        {"$ref": "#/$defs/missing"},
        {"$ref": "#"},
        {"type": "string", "pattern": "^\\p{Emoji}+$"},
    ],
)
def test_unusable_schema_rejects_nothing(schema: Any) -> None:
    assert validation_errors(schema, {"a": "b"}) in ([], ["$: expected string, got object"])
    assert validation_errors(schema, "x") == []
    assert unknown_fields(schema, {"a": "b"}) == []


def test_external_references_are_not_fetched() -> None:
    with StandIn(http(200, b'{"type": "integer"}')) as host:
        assert validation_errors({"$ref": f"{host.url}/schema.json"}, "text") == []
        assert host.requests == []


def test_javascript_only_pattern_is_skipped() -> None:
    schema = object_of(mood={"type": "string", "pattern": "^\\p{Emoji}+$"}, city={"type": "string"})
    assert validation_errors(schema, {"mood": "🎈"}) == ["$.city: required"]


@pytest.mark.parametrize(
    "schema",
    [
        object_of(card={"type": "integer"}),
        object_of(card={"enum": ["visa", "master"]}),
        object_of(card={"const": "visa"}),
        object_of(card={"type": "string", "pattern": "^[a-z]+$"}),
        object_of(card={"type": "string", "maxLength": 3}),
        object_of(card={"anyOf": [{"type": "integer"}, {"const": "x"}]}),
        object_of(card={"not": {"type": "string"}}),
        {"type": "array"},
        {"type": "object", "maxProperties": 0},
    ],
)
def test_errors_do_not_contain_the_data(schema: Any) -> None:
    lines = validation_errors(schema, {"card": "4111-SECRET"})
    assert lines
    assert "SECRET" not in " ".join(lines)


@pytest.mark.parametrize(
    ("text", "schema"),
    [
        ('{"json": {"type": "string"}}', {"type": "string"}),
        ('{"type": "string"}', {"type": "string"}),
        ({"json": {"type": "string"}}, {"type": "string"}),
        ('{"json": {}}', None),
        ("{}", None),
        ("{half", None),
        ("7", None),
        ("", None),
        (None, None),
        (True, None),
    ],
)
def test_schemas_as_servers_send_them(text: object, schema: Any) -> None:
    assert parse_schema(text) == schema


@given(JSON_OBJECTS, JSON_VALUES)
def test_any_schema_and_any_data_give_bounded_lines(schema: dict[str, Any], data: Any) -> None:
    before = copy.deepcopy((schema, data))
    lines = [*validation_errors(schema, data), *unknown_fields(schema, data)]
    assert all(line.startswith("$") for line in lines)
    assert (schema, data) == before


@given(st.data(), JSON_VALUES)
def test_recorded_schema_validates_any_data(data: st.DataObject, value: Any) -> None:
    generation = data.draw(st.sampled_from(recorded.GENERATIONS))
    details = api.parse_details("w", recorded.response(generation, "details-orderReport"))
    assert details.input_schema is not None
    lines = validation_errors(details.input_schema, value)
    assert bool(lines) == (
        not isinstance(value, dict) or not isinstance(value.get("city"), str) or not value["city"]
    ) or {"day", "limit"} & set(value)
    json.dumps(lines)
