"""Show the measurements of docs/data in docs/reference/fault-matrix.md: `make generate`.

`make reliability` and `make soak` write the data. `make lint` runs this with ``--check``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from testkit.measurements import FaultRow, SoakRow, read_rows

ROOT = Path(__file__).parent.parent
DATA = ROOT / "docs" / "data"
PAGE = ROOT / "docs" / "reference" / "fault-matrix.md"
ORCHESTRATORS = {"airflow": "Airflow", "prefect": "Prefect"}

INTRODUCTION = """# Measured faults

What the test suite has broken in a whole Airflow and a whole Prefect, and the outcome. `make
reliability` and `make soak` measure it and write [fault-matrix.csv](../data/fault-matrix.csv), with
one row for each fault, mode and Mastra version, and [soak.csv](../data/soak.csv). `make generate`
writes this page from them. [Failure handling and guarantees](../reliability.md#how-it-is-tested)
describes the method, and summarises the behaviour.

*Executions* is how often the work was executed, as counted by the Mastra server; `-` where the work
was cancelled. A server that is restarted loses the step that it was executing. The tests set
`on_stall="restart"`, which repeats that step, hence its 2.
"""

SOAK = """## Random faults

A soak injects random faults into many concurrent runs. A *duplicate* was executed more than once.
A *lost* one was not executed, or its right result did not arrive. A *leaked* one was still running
when the orchestrator reported its end.
"""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def joined(values: Iterable[str]) -> str:
    """Return the distinct values in order, separated by commas."""
    return ", ".join(sorted({value for value in values if value}))


def provenance(rows: Sequence[FaultRow | SoakRow], name: str = "") -> str:
    """Return a sentence on when the rows were measured, and with which versions."""
    facts = [f"{len(rows)} rows"]
    faults = [row for row in rows if isinstance(row, FaultRow)]
    if versions := joined(row.version for row in faults):
        facts.append(f"{name} {versions}")
    if versions := joined(row.mastra for row in faults):
        facts.append(f"Mastra {versions}")
    dates = sorted({row.measured for row in rows if row.measured})
    if dates:
        facts.append("measured " + " to ".join(dict.fromkeys([dates[0], dates[-1]])))
    if undated := sum(not row.measured for row in rows):
        facts.append(f"{undated} without a recorded date")
    return "; ".join(facts) + "."


def faults_of(orchestrator: str, rows: Sequence[FaultRow]) -> str:
    """Return the section of an orchestrator, with modes and versions merged where they agree."""
    merged: dict[tuple[str, str, str], list[FaultRow]] = {}
    for row in rows:
        merged.setdefault((row.fault, row.executions, row.outcome), []).append(row)
    cells = [
        (
            fault,
            joined(row.mode for row in same),
            joined(row.mastra for row in same),
            executions,
            outcome,
        )
        for (fault, executions, outcome), same in merged.items()
    ]
    name = ORCHESTRATORS[orchestrator]
    head = ("fault", "modes", "Mastra", "executions", "outcome")
    return f"## {name}\n\n{provenance(rows, name)}\n\n{table(head, cells)}"


def soak(rows: Sequence[SoakRow]) -> str:
    """Return the section of the soak."""
    head = (
        "mode",
        "runs",
        "processes ended",
        "requests broken",
        "duplicates",
        "lost",
        "leaked",
        "seed",
    )
    cells = [
        (
            row.mode,
            row.runs,
            row.processes_ended,
            row.requests_broken,
            row.duplicates,
            row.lost,
            row.leaked,
            row.seed,
        )
        for row in rows
    ]
    return f"{SOAK}\n{provenance(rows)}\n\n{table(head, cells)}"


def page(data: Path = DATA) -> str:
    """Return the text of the page."""
    rows = read_rows(data, FaultRow)
    sections = [
        faults_of(orchestrator, [row for row in rows if row.orchestrator == orchestrator])
        for orchestrator in ORCHESTRATORS
    ]
    return "\n".join([INTRODUCTION, *sections, soak(read_rows(data, SoakRow))])


def main() -> int:
    """Write the page, or check it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if it differs")
    text = page()
    if not parser.parse_args().check:
        PAGE.write_text(text, encoding="utf-8")
        return 0
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == text:
        return 0
    print(f"{PAGE.relative_to(ROOT)} differs from {DATA.relative_to(ROOT)}: run `make generate`")
    return 1


if __name__ == "__main__":
    sys.exit(main())
