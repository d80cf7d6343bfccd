"""Test the data files of fault tests and soaks: a partial run of a suite keeps the other rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from testkit.measurements import VARIABLE, FaultRow, SoakRow, merge_rows, read_rows, record
from tests.support.documented_code import ROOT

RIGHT = "succeeds with the right result"
DATA = ROOT / "docs" / "data"


def row(fault: str, mastra: str, executions: str = "1") -> FaultRow:
    return FaultRow("airflow", fault, "sync", mastra, executions, RIGHT, "3.3.2", "2026-01-31")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    faults = [row("a kill, with commas", version) for version in ("0.24.9", "1.71.0")]
    merge_rows(tmp_path, FaultRow, faults)
    return tmp_path


def test_a_partial_run_replaces_only_its_own_rows(folder: Path) -> None:
    record(FaultRow, [row("a kill, with commas", "1.72.0", "2"), row("a delay", "1.72.0")])
    assert read_rows(folder, FaultRow) == [
        row("a delay", "1.72.0"),
        row("a kill, with commas", "0.24.9"),
        row("a kill, with commas", "1.72.0", "2"),
    ]


def test_a_soak_replaces_the_row_of_its_mode(folder: Path) -> None:
    for runs in ("20", "200"):
        record(SoakRow, [SoakRow("airflow-sync", runs, "70", "109", "0", "0", "0", "1")])
    (soaked,) = read_rows(folder, SoakRow)
    assert soaked.runs == "200"


def test_nothing_is_written_without_the_variable(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = read_rows(folder, FaultRow)
    monkeypatch.delenv(VARIABLE)
    record(FaultRow, [row("a delay", "1.72.0")])
    assert read_rows(folder, FaultRow) == before


def test_only_a_lost_step_or_a_disabled_guard_is_executed_twice() -> None:
    """The guarantee of docs/reliability.md, checked against what was measured."""
    rows = read_rows(DATA, FaultRow)
    assert {row.orchestrator for row in rows} == {"airflow", "prefect"}
    repeated = {row.fault for row in rows if row.executions == "2"}
    assert repeated == {
        "Mastra restarted while the run executes",
        "the server restarts while the run executes",
        "task SIGKILLed while it waits, with the derived run id switched off",
    }


def test_no_soak_found_a_duplicate_or_a_lost_or_leaked_run() -> None:
    rows = read_rows(DATA, SoakRow)
    assert {"airflow-deferrable", "airflow-sensor", "airflow-sync"} < {row.mode for row in rows}
    assert {(row.duplicates, row.lost, row.leaked) for row in rows} == {("0", "0", "0")}
