"""Test the comparison of inputs: a server's defaults and coercions are no difference."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastra_workflows._inputs import MAX_DIFFERENCES, differences
from tests.core import strategies

SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "note": {"type": "string"},
        "limit": {"type": "number", "default": 10},
        "day": {"type": "string", "format": "date-time", "x-date": False},
        "some_day": {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]},
        "big": {},
        "days": {"type": "array", "items": {"type": "object", "properties": {"n": {}}}},
    },
}


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ({"city": "Oslo"}, {"limit": 10, "city": "Oslo"}),  # a default, and another order
        ({"city": "Oslo"}, {"city": "Oslo", "limit": 7}),  # a default that is computed
        ({"city": "Oslo", "extra": 1}, {"city": "Oslo"}),  # dropped
        ({"city": "Oslo", "note": None}, {"city": "Oslo"}),
        ({"city": " Oslo\n"}, {"city": "oslo"}),  # trim, toLowerCase
        ({"limit": "12"}, {"limit": 12}),  # z.coerce.number
        ({"limit": 12}, {"limit": 12.0}),
        ({"limit": 12}, {"limit": "12"}),  # z.coerce.string
        ({"limit": 9007199254740993}, {"limit": 9007199254740992}),
        ({"limit": "yes"}, {"limit": True}),  # z.coerce.boolean
        ({"city": "2026-01-31"}, {"city": "2026-01-31T00:00:00.000Z"}),  # z.coerce.date
        ({"day": "2026-01-31T10:00:00.123456+01:00"}, {"day": "2026-01-31T09:00:00.123Z"}),
        ({"day": "2026-01-31T10:00:00"}, {"day": "2026-01-31T15:00:00.000Z"}),  # the server's zone
        ({"day": "2026"}, {"day": "2026-01-01T00:00:00.000Z"}),
        ({"day": "2026-1-2"}, {"day": "2026-01-02T00:00:00.000Z"}),
        ({"day": "Sat, 31 Jan 2026 00:00:00 GMT"}, {"day": "2026-01-31T00:00:00.000Z"}),
        ({"day": "+012026-01-01T00:00:00Z"}, {"day": "+012026-01-01T00:00:00.000Z"}),
        ({"some_day": "Jan 1 2026"}, {"some_day": "2026-01-01T00:00:00.000Z"}),
        ({"big": ""}, {"big": "0"}),  # z.coerce.bigint
        ({"big": "0x1F"}, {"big": "31"}),
        ({"city": "\ufeffOslo \ufeff"}, {"city": "Oslo"}),  # trim
        ({"city": "[1]"}, {"city": [1]}),  # z.preprocess(JSON.parse)
        ({"city": "Oslo"}, None),  # the server does not tell
    ],
)
def test_conversions_by_the_schema_are_not_differences(given: Any, stored: Any) -> None:
    assert differences(given, stored, SCHEMA) == []


@pytest.mark.parametrize(
    ("given", "stored", "places"),
    [
        ({"city": "Oslo"}, {"city": "Bergen"}, ["$.city"]),
        ({"city": "Oslo"}, {"city": "Oslo", "note": "x"}, ["$.note"]),
        ({"city": "Oslo", "note": "x"}, {"city": "Oslo"}, ["$.note"]),
        ({"limit": "13"}, {"limit": 12}, ["$.limit"]),
        ({"limit": 13}, {"limit": 12}, ["$.limit"]),
        ({"limit": True}, {"limit": False}, ["$.limit"]),
        ({"city": "2026-01-31"}, {"city": "2026-02-01"}, ["$.city"]),
        ({"day": "2026-01-31"}, {"day": "2026-02-01T00:00:00.000Z"}, ["$.day"]),
        ({"day": "2026-01-31T10:00:00"}, {"day": "2026-02-01T00:30:00.000Z"}, ["$.day"]),
        ({"day": "2026-01-31T10:00:00.124Z"}, {"day": "2026-01-31T10:00:00.123Z"}, ["$.day"]),
        ({"day": "2026"}, {"day": "soon"}, ["$.day"]),
        ({"city": "soon"}, {"city": "2026-01-31T00:00:00.000Z"}, ["$.city"]),
        ({"city": "0x1F"}, {"city": "31"}, ["$.city"]),
        ({"big": "0x1F"}, {"big": "32"}, ["$.big"]),
        ({"days": [{"n": 1}, {"n": 2}]}, {"days": [{"n": 1}, {"n": 3}]}, ["$.days[1].n"]),
        ({"days": []}, {"days": [{}]}, ["$.days"]),
    ],
)
def test_differences(given: Any, stored: Any, places: list[str]) -> None:
    assert differences(given, stored, SCHEMA) == places


@pytest.mark.parametrize(
    ("given", "stored"),
    [("12", 12), ("a", "A"), ({"a": 1}, {}), ("x", True), ([1], "1"), (1, False)],
)
def test_without_a_schema_nothing_is_coerced(given: Any, stored: Any) -> None:
    assert differences(given, stored, None)
    assert not differences({"a": 1}, {"a": 1, "b": 2}, None)


def test_number_of_named_places_is_bounded() -> None:
    many = {str(number): number for number in range(10_000)}
    assert len(differences(many, dict.fromkeys(many, -1), None)) == MAX_DIFFERENCES
    assert len(differences(many, {}, None)) == MAX_DIFFERENCES


@given(strategies.JSON_VALUES, st.one_of(st.none(), strategies.JSON_VALUES))
def test_any_input_equals_itself(value: Any, schema: Any) -> None:
    rule = schema if isinstance(schema, dict) or schema is None else {}
    assert differences(value, value, rule) == []


@given(strategies.JSON_VALUES, strategies.JSON_VALUES, strategies.JSON_VALUES)
def test_any_input_can_be_compared(now: Any, before: Any, schema: Any) -> None:
    rule = {"properties": schema, "items": schema}
    assert len(differences(now, before, rule)) <= MAX_DIFFERENCES
