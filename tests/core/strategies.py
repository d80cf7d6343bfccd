"""What hypothesis makes up."""

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


def cut_up(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """Bytes in chunks, cut anywhere."""
    places = draw(st.lists(st.integers(0, len(data)), max_size=12))
    edges = [0, *sorted(places), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]
