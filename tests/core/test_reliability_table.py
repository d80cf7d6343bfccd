"""Test the reliability table: a partial run of a suite keeps the other rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.reliability import VARIABLE, ReliabilityTable

MARKED = """Before.
<!-- airflow: begin -->
| what is broken | mode | Mastra | executions | outcome |
|---|---|---|---|---|
| a cut | sync | 0.24.9, 1.71.0 | 1 | succeeds |
| a kill | sync | 0.24.9, 1.71.0 | 1 | succeeds |
<!-- airflow: end -->
After.
"""


@pytest.fixture
def document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "reliability.md"
    path.write_text(MARKED)
    monkeypatch.setenv(VARIABLE, str(path))
    return path


def rows(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("| a ")]


def test_the_cells_of_a_part_leave_the_other_rows_alone(document: Path) -> None:
    table = ReliabilityTable("airflow")
    table.add("a kill", "sync", "1.72.0", "2", "succeeds")
    table.add("a delay", "sync", "1.72.0", "1", "succeeds")
    table.add("a delay", "sync", "0.24.9", "1", "succeeds")
    table.write()
    assert rows(document.read_text()) == [
        "| a cut | sync | 0.24.9, 1.71.0 | 1 | succeeds |",
        "| a delay | sync | 0.24.9, 1.72.0 | 1 | succeeds |",
        "| a kill | sync | 0.24.9 | 1 | succeeds |",
        "| a kill | sync | 1.72.0 | 2 | succeeds |",
    ]
    assert document.read_text().startswith("Before.\n")
    assert document.read_text().endswith("<!-- airflow: end -->\nAfter.\n")


def test_a_run_that_saw_nothing_changes_nothing(document: Path) -> None:
    ReliabilityTable("airflow").write()
    assert rows(document.read_text()) == rows(MARKED)
