"""Define Hypothesis strategies for text, JSON, JSON Schemas and chunked bytes."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import strategies as st

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
JSON_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
JSON_OBJECTS = st.dictionaries(TEXT, JSON_VALUES, max_size=5)

RULES: st.SearchStrategy[Any] = st.recursive(
    st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(["string", "number", "integer", "boolean", "array", "null"])
            | st.lists(st.sampled_from(["string", "number", "boolean", "null"]), unique=True),
            "enum": st.lists(JSON_VALUES, max_size=3),
            "const": JSON_VALUES,
            "default": JSON_VALUES,
            "format": st.sampled_from(["date", "time", "date-time", "multiline"]),
            "pattern": st.sampled_from([r"^\p{L}+$", "^a"]),
            "maxLength": st.none() | st.integers(0, 300),
            "multipleOf": st.sampled_from([0.01, 5]),
            "title": TEXT,
            "$ref": st.sampled_from(["#", "#/properties/a", "http://example.com"]),
        },
    ),
    lambda inner: st.fixed_dictionaries(
        {"type": st.sampled_from(["object", "array"])},
        optional={
            "properties": st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
            "required": st.lists(st.sampled_from("abc"), unique=True) | st.booleans(),
            "additionalProperties": st.booleans() | inner,
            "items": inner,
            "anyOf": st.lists(inner, max_size=3),
            "allOf": st.lists(inner | st.booleans(), max_size=2),
        },
    ),
    max_leaves=8,
)
"""JSON Schemas of the keywords that forms know, some of them not quite valid."""


def cut_up(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """Bytes in chunks, cut anywhere."""
    places = draw(st.lists(st.integers(0, len(data)), max_size=12))
    edges = [0, *sorted(places), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]
