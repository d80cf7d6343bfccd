"""Store the results of fault injection and soak tests in CSV files, one row for each case."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar, TypeVar

VARIABLE = "MEASUREMENTS"
"""The environment variable with the folder to write to. Unset, nothing is written."""


def today() -> str:
    """Return today's date in UTC, as ISO 8601."""
    return datetime.now(UTC).date().isoformat()


@dataclass(frozen=True)
class FaultRow:
    """The outcome of one injected fault.

    Attributes:
        orchestrator: ``airflow`` or ``prefect``.
        fault: what was broken, and when.
        mode: how the task or flow waited.
        mastra: the version of the Mastra server.
        executions: how often the work was executed, as counted by the server.
        outcome: the final state of the task or flow.
        version: the version of the orchestrator; empty if it was not recorded.
        measured: the date of the measurement, as ISO 8601; empty if it was not recorded.
    """

    FILE: ClassVar[str] = "fault-matrix.csv"

    orchestrator: str
    fault: str
    mode: str
    mastra: str
    executions: str
    outcome: str
    version: str = ""
    measured: str = field(default_factory=today)

    @property
    def key(self) -> tuple[str, ...]:
        """The case. Patch releases of Mastra replace each other; 0.x and 1.x are two cases."""
        return self.orchestrator, self.fault, self.mode, self.mastra.partition(".")[0]


@dataclass(frozen=True)
class SoakRow:
    """The result of a soak in one mode.

    Attributes:
        mode: the orchestrator, and how its task or flow waits.
        runs: how many pieces of work it executed.
        processes_ended: how many processes it ended.
        requests_broken: how many requests to the server it broke.
        duplicates: how many pieces of work were executed more than once.
        lost: how many were not executed, or without the right result.
        leaked: how many were still running when the orchestrator reported their end.
        seed: the seed that decides on the faults.
        measured: the date of the measurement, as ISO 8601; empty if it was not recorded.
    """

    FILE: ClassVar[str] = "soak.csv"

    mode: str
    runs: str
    processes_ended: str
    requests_broken: str
    duplicates: str
    lost: str
    leaked: str
    seed: str
    measured: str = field(default_factory=today)

    @property
    def key(self) -> tuple[str, ...]:
        """The mode."""
        return (self.mode,)


AnyRow = TypeVar("AnyRow", FaultRow, SoakRow)


def read_rows(folder: Path, kind: type[AnyRow]) -> list[AnyRow]:
    """Return the rows of a kind from the kind's file in a folder."""
    path = folder / kind.FILE
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [kind(**row) for row in csv.DictReader(file)]


def merge_rows(folder: Path, kind: type[AnyRow], rows: Iterable[AnyRow]) -> None:
    """Write rows to the kind's file. Each replaces the row with the same key; other rows stay."""
    merged = {row.key: row for row in (*read_rows(folder, kind), *rows)}
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / kind.FILE).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [one.name for one in fields(kind)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(merged[key]) for key in sorted(merged))


def record(kind: type[AnyRow], rows: Iterable[AnyRow]) -> None:
    """Merge rows into the file in the folder that ``$MEASUREMENTS`` names, if it is set."""
    if target := os.environ.get(VARIABLE):
        merge_rows(Path(target), kind, rows)
