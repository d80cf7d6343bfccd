"""Print results and store them in docs/performance/."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import machine

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "performance"
PAGE = FOLDER.with_suffix(".md")


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return the median, the 95th and 99th percentiles, and the maximum."""
    ordered = sorted(values)

    def at(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    return {
        "median": statistics.median(ordered),
        "p95": at(0.95),
        "p99": at(0.99),
        "most": ordered[-1],
    }


def show(title: str, rows: Sequence[dict[str, Any]]) -> None:
    """Print rows with equal keys as a table."""
    print(f"\n{title}")
    texts = [list(rows[0]), *([_text(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    for line in texts:
        first, *rest = (
            text.ljust(w) if n == 0 else text.rjust(w)
            for n, (text, w) in enumerate(zip(line, widths, strict=True))
        )
        print("  " + "  ".join([first, *rest]), flush=True)


def save(name: str, **content: Any) -> Path:
    """Store results in docs/performance/NAME.json, with the machine and the time."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    file = FOLDER / f"{name}.json"
    when = datetime.now(UTC).isoformat(timespec="minutes")
    kept = {"measured_at": when, "machine": machine.describe(), **content}
    file.write_text(json.dumps(kept, indent=1) + "\n")
    return file


def publish(
    name: str,
    what: str,
    comparisons: dict[str, list[dict[str, Any]]],
    measured: Sequence[object],
    **content: Any,
) -> None:
    """Print each comparison, and store all comparisons with the individual measurements.

    Args:
        name: the file's name; see `save`.
        what: the compared quantity, appended to each title.
        comparisons: rows with equal keys, by title.
        measured: the individual measurements behind the rows.
        **content: more values to store.
    """
    for title, rows in comparisons.items():
        show(f"{title}: {what}", rows)
    save(name, comparisons=comparisons, measured=[vars(one) for one in measured], **content)


def write_table(name: str, rows: Sequence[dict[str, Any]], kept: dict[str, Any]) -> None:
    """Write a table to docs/performance.md, between the markers of this name.

    Args:
        name: the name in the markers.
        rows: the table's rows, with equal keys.
        kept: the content that `save` stored: the time and the machine.
    """
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
    before, mark, rest = PAGE.read_text().partition(begin)
    if not mark:
        return
    lines = [list(rows[0]), ["---", *["--:"] * (len(rows[0]) - 1)]]
    lines += [[_text(value) for value in row.values()] for row in rows]
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    where = f"Measured on {kept['measured_at'][:10]}; {kept['machine']['processor']}."
    PAGE.write_text(f"{before}{begin}{table}\n{where}\n{end}{rest.partition(end)[2]}")


def _text(value: object) -> str:
    if not isinstance(value, float):
        return "-" if value is None else str(value)
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
