"""Test that the Python code in README and docs compiles, and that its imports exist."""

from __future__ import annotations

import pytest

from tests.support.documented_code import blocks, missing

BLOCKS = blocks()


def test_there_are_blocks() -> None:
    assert len(BLOCKS) >= 5


@pytest.mark.parametrize("place", BLOCKS)
def test_a_block(place: str) -> None:
    compile(BLOCKS[place], place, "exec")
    assert missing(BLOCKS[place]) == []
