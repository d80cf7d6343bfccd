"""Test that the imports of the Python code in README and docs exist, in the Airflow environment."""

from __future__ import annotations

import pytest

from tests.support.documented_code import blocks, imported, missing

BLOCKS = {place: code for place, code in blocks().items() if imported(code)}


@pytest.mark.parametrize("place", BLOCKS)
def test_a_block_imports_what_there_is(place: str) -> None:
    assert missing(BLOCKS[place], "airflow") == []
