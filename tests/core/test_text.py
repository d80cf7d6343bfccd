"""Test the conversion of remote text to data that every store accepts, and to one safe line."""

from __future__ import annotations

import json
import re
import time
import unicodedata
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mastra_workflows._text import MAX_DEPTH, TOO_DEEP, decode, safe_text, storable
from tests.core.strategies import JSON_VALUES

ANY_TEXT = st.text(st.characters(codec=None))


def test_lone_surrogates_and_nul_become_visible() -> None:
    given = {"a\0": ["cut \ud83d", {"\udc00": "\0"}], "pair": "\U0001f600"}
    assert storable(given) == {"a�": ["cut �", {"�": "�"}], "pair": "😀"}
    assert decode(r'["\ud83d\ude00", "\ud83d", "\u0000"]') == ["😀", "�", "�"]
    assert decode(b'"\xed\xa0\xbd"') == "�"


def test_nan_and_infinity_are_replaced() -> None:
    assert decode("[NaN, Infinity, 1e999, 100000000000000000000, 5]") == [None, None, None, 1e20, 5]
    assert storable(10**400) is None


@given(JSON_VALUES)
def test_storable_data_is_unchanged(value: Any) -> None:
    assert json.dumps(storable(decode(json.dumps(value)))) == json.dumps(decode(json.dumps(value)))


@given(st.recursive(ANY_TEXT | st.floats() | st.integers(), st.lists))
def test_any_data_becomes_storable(value: Any) -> None:
    text = json.dumps(storable(value), ensure_ascii=False, allow_nan=False)
    assert "\\u0000" not in text
    assert text.encode().decode() == text


@given(st.dictionaries(ANY_TEXT, ANY_TEXT))
def test_argument_is_not_modified(value: dict[str, str]) -> None:
    before = dict(value)
    storable([value])
    assert value == before


def test_deep_data_is_cut_with_a_marker() -> None:
    value: Any = "bottom"
    for _ in range(100_000):
        value = [value]
    cut = storable(value)
    for _ in range(MAX_DEPTH + 1):
        (cut,) = cut
    assert cut == TOO_DEEP
    for text in ("[" * 900 + "]" * 900, '{"a":' * 500 + "0" + "}" * 500):
        json.dumps(decode(text))
    with pytest.raises(ValueError, match="deep"):
        decode("[" * 200_000)


@pytest.mark.parametrize(
    "text",
    [
        r'["\ud83d"]',
        r'["\uD83D\uDE00"]',
        r'{"\u0000": 1}',
        "[1e400, 1E+999]",
        "[9223372036854775808]",
        "[-Infinity]",
        '["\ud800"]',
        "[" * 250 + "1e5" + "]" * 250,
        '{"a": [1.5e300, 1e-400, "é 😀", 9223372036854775807]}',
    ],
)
def test_decoded_json_is_storable(text: str) -> None:
    assert decode(text) == storable(json.loads(text))
    raw = text.encode(errors="surrogatepass")
    assert decode(raw) == storable(json.loads(raw))
    for coding in ("utf-16", "utf-32-be"):
        assert decode(text.encode(coding, errors="surrogatepass")) == decode(text)


def test_runtime_is_linear() -> None:
    value = [{"name\0": "text é", "n": number} for number in range(200_000)]
    began = time.process_time()
    storable(value)
    assert time.process_time() - began < 10


HOSTILE = [
    "first\n[2026-01-01] INFO - forged",
    "a\r\nb\x85c\u2028d\u2029e",
    "\x1b[31mred\x1b[0m \x9b31m",
    "::group::hidden",
    "done ::endgroup::",
    "::error file=C:\\a.py,line=1::not an error",
    "::\u200bgroup::",
    "##[group]x ##vso[task.setvariable]y",
    "\u202eabc\u2066\u200f",
    "zero\u200bwidth\u2060\ufeff",
    "\ud83d \0",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_any_text_becomes_a_safe_line(text: str) -> None:
    assert_safe(safe_text(text))
    assert_safe(safe_text([text]))


def assert_safe(line: str, limit: int = 1000) -> None:
    assert len(line) <= limit
    hidden = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert not [mark for mark in line if unicodedata.category(mark) in hidden]
    assert not re.search(r"::(end)?group::|##\[|##vso\[|(?<!\S)::error", line)
    assert safe_text(line, limit) == line


@given(ANY_TEXT | st.text("::#[]group vs\n\u200b a"), st.integers(30, 80))
@example("::a\u200b::a::", 30)
def test_any_line_is_safe(text: str, limit: int) -> None:
    assert_safe(safe_text(text, limit), limit)


@given(
    st.text(st.characters(categories=["L", "N", "P"]), max_size=50).filter(lambda t: ":" not in t)
)
def test_plain_text_is_unchanged(text: str) -> None:
    assert safe_text(text) == text.replace("\u00ad", "") or "#" in text


def test_long_text_is_one_short_line() -> None:
    assert safe_text("x" * 20_000_000, 100) == "x" * 75 + "… (20,000,000 characters)"
    assert len(safe_text({"a": ["x" * 5_000_000]})) <= 1000
    assert safe_text("std::vector and a::b::c()") == "std::vector and a::b::c()"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "null"), (5, "5"), ({"a": "é"}, '{"a": "é"}'), (ValueError("x\ny"), "x y")],
)
def test_other_values_are_shown(value: object, shown: str) -> None:
    assert safe_text(value) == shown


def test_values_with_a_failing_repr() -> None:
    deep: Any = []
    for _ in range(50_000):
        deep = [deep]
    assert safe_text(deep) == "(list)"
    assert safe_text(10**5000) == "(int)"
