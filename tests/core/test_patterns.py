"""Test a server's regular expressions: JavaScript semantics, linear time, and none in a form."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastra_workflows._schemas import check, parse_schema, validation_errors
from mastra_workflows.hitl._forms import Form
from tests.support.bounds import at_most

LONGEST_TRIED = 1_000

ZOD_DATE = (
    r"^(?:(?:\d\d[2468][048]|\d\d[13579][26]|\d\d0[48]|[02468][048]00|[13579][26]00)-02-29|\d{4}-(?:"
    r"(?:0[13578]|1[02])-(?:0[1-9]|[12]\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\d|30)|(?:02)-(?:0[1-9]"
    r"|1\d|2[0-8])))$"
)
ZOD_UUID = (
    "^([0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[1-8][0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}|"
    "00000000-0000-0000-0000-000000000000|ffffffff-ffff-ffff-ffff-ffffffffffff)$"
)


@pytest.mark.parametrize(
    ("pattern", "fitting", "other"),
    [
        ("^[0-9]{5}$", "12345", "1234"),
        ("^[^@]+@[^@]+$", "a@b", "a"),
        (ZOD_DATE, "2024-02-29", "2023-02-29"),
        (ZOD_UUID, "0b0e2a4c-5f0e-4d3a-8a51-0f7f6b3d2c11", "0b0e2a4c"),
        ("^(a+)+$", "aa", "aab"),
        ("^a$", "a", "a\n"),
        (r"^\w+$", "a1", "é"),
        (r"^\d$", "5", "٥"),
        (r"^[\u00c0-\u017f]+$", "Żółć"[:2], "abc"),
        (r"^\/[\w\-\.]+$", "/a-b.c", "a"),
        ("^(?<year>[0-9]{4})$", "2026", "x"),
        ("^a{,2}$", "a{,2}", "aa"),
        (r"^[\s\S]{2}$", "\n\u00a0", "a"),
        (r"^\\A$", "\\A", "A"),
        ("[a||b]", "|", "c"),
    ],
)
def test_pattern_has_javascript_semantics(pattern: str, fitting: str, other: str) -> None:
    schema = {"type": "string", "pattern": pattern}
    assert validation_errors(schema, fitting) == []
    (problem,) = validation_errors(schema, other)
    assert problem.startswith("$: violates pattern")


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"^(?=.*[0-9]).+$", "x"),
        (r"(\w+)\1+$", "x"),
        (r"^\p{L}+$", "5"),
        (r"^\u{1F600}$", "x"),
        (r"\A", "x"),
        (r"^\x{2}$", "xx"),
        ("^[]$", "x"),
        ("^[^]$", "\n"),
        ("^[[:alpha:]]$", "5"),
        ("(", "x"),
        ("a{99999999999}", "x"),
        ("a" * 5_000_000, "x"),
        ("^..$", "😀"),  # two units of UTF-16
        ("^.$", "\ud800"),
        (r"^\s$", "\u00a0"),  # a space of JavaScript alone
        ("^a$", "b" * (LONGEST_TRIED + 1)),
        ("\ud800", "x"),
    ],
)
def test_a_pattern_that_may_mean_something_else_is_left_to_the_server(
    pattern: str, text: str
) -> None:
    assert validation_errors({"pattern": pattern}, text) == []


EMPTY = [r"\b", "^", "", "(?=a)", "(?!b)", "$", "a*", "(?:)"]


@pytest.mark.parametrize(
    "pattern",
    [
        *(f"^(?:(?:(?:{part}){{1000}}){{1000}}){{1000}}x" for part in EMPTY),
        *(f"(?:(?:(?:(?:(?:{part}){{99}}){{99}}){{99}}){{99}}){{99}}x" for part in EMPTY),
        "^(a+)+$",
        "^(.*a){20}$",
        "(?:.{1,30}){1,30}x",
        "(?:a|.*){300}q",
        "^" + "a?" * 40 + "a" * 40 + "$",
        r"(?:\b|^|$|a){1000}",
    ],
)
def test_pattern_matching_is_bounded(pattern: str) -> None:
    for text in ("a", "a" * (LONGEST_TRIED - 1) + "!", "é" * LONGEST_TRIED):
        with at_most(2):
            validation_errors({"pattern": pattern}, text)


@given(st.text("ab(|)*+?{1,}^$[].\\b", max_size=20))
def test_any_string_as_a_pattern_is_bounded(pattern: str) -> None:
    for text in ("a" * (LONGEST_TRIED - 1) + "!", "ab" * (LONGEST_TRIED // 2), "a" * 99_999):
        with at_most(2):
            validation_errors({"pattern": pattern}, text)


def test_many_patterns_are_bounded_together() -> None:
    slow = r"(?:a?){600}[^a]{300}"
    many = {"allOf": [{"pattern": f"{slow}{number}"} for number in range(2_000)]}
    again = {
        "allOf": [{"$ref": "#/$defs/r"}] * 40,
        "$defs": {
            "p": {"pattern": slow},
            "q": {"allOf": [{"$ref": "#/$defs/p"}] * 40},
            "r": {"allOf": [{"$ref": "#/$defs/q"}] * 40},
        },
    }
    unread = {"allOf": [{"pattern": f"(?=a){slow}{number}"} for number in range(2_000)]}
    for schema in (many, again, unread):
        assert parse_schema(json.dumps(schema)) is not None
        with at_most(10):
            check(schema, "a" * LONGEST_TRIED)


def test_many_small_strings_are_checked() -> None:
    schema = {"type": "array", "items": {"type": "string", "pattern": ZOD_UUID}}
    good = "0b0e2a4c-5f0e-4d3a-8a51-0f7f6b3d2c11"
    assert validation_errors(schema, [good] * 2_000) == []
    assert validation_errors(schema, [*[good] * 2_000, "x"])


def patterns_in(value: Any) -> list[str]:
    if isinstance(value, dict):
        here = [rule for name, rule in value.items() if name in ("pattern", "patternProperties")]
        return here + [found for part in value.values() for found in patterns_in(part)]
    return (
        [found for part in value for found in patterns_in(part)] if isinstance(value, list) else []
    )


@pytest.mark.parametrize(
    "field",
    [
        {"type": "string", "pattern": "^(a+)+$"},
        {"type": "string", "pattern": "^a$"},
        {"type": "string", "allOf": [{"pattern": "^a$"}, {"pattern": "^(a+)+$"}]},
        {"type": "array", "items": {"type": "string", "pattern": "^(a+)+$"}},
        {"type": "array", "items": {"type": "string", "allOf": [{"pattern": "^(a+)+$"}, {}]}},
        {"type": "array", "items": {"type": "string", "not": {"pattern": "^(a+)+$"}}},
        {"type": "object", "patternProperties": {"^(a+)+$": {}}},
        {"type": "number", "minimum": 1, "pattern": "^(a+)+$"},
    ],
)
def test_no_pattern_of_a_server_is_in_a_form(field: dict[str, Any]) -> None:
    form = Form({"type": "object", "properties": {"a": field}, "required": ["a"]})
    assert not patterns_in([shown.schema for shown in form.fields])
