"""Write the results of the conformance suite to tables in docs/servers.md.

Only the test of a cell writes it. The cells of tests that did not run stay unchanged. A footnote
explains each failed or unsupported cell.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

VARIABLE = "CONFORMANCE"
"""The environment variable that names the file to write; without it nothing is written."""

PASSES, FAILS, UNSUPPORTED = "✓", "✗", "–"
CORNER = "feature"
_FOOTNOTE = re.compile(r"\[\^([\w-]+)\]")

Cells = dict[tuple[str, str], str]
"""Marks by feature and server."""


def rewrite(path: Path, table: str, cells: Cells, features: list[str], servers: list[str]) -> None:
    """Put cells into one table of a file.

    Args:
        path: the file, with the marks ``<!-- table: begin -->`` and ``<!-- table: end -->`` in it.
        table: the table's name in these marks.
        cells: those that were seen.
        features: every row there is, in order; rows of others go.
        servers: every column there is, in order; columns of others go.
    """
    begin, end = (f"<!-- {table}: {edge} -->" for edge in ("begin", "end"))
    before, _, rest = path.read_text().partition(begin)
    inside, found, after = rest.partition(end)
    assert found, f"{path} has no marks {begin} and {end}"
    marks = {**_read(inside), **cells}
    lines = [[CORNER, *servers], ["---", *(":-:" for _ in servers)]]
    lines += [[row, *(marks.get((row, server), "") for server in servers)] for row in features]
    text = "".join("| " + " | ".join(line) + " |\n" for line in lines)
    path.write_text(f"{before}{begin}\n{text}{end}{after}")


def rewrite_footnotes(path: Path, footnotes: dict[str, str]) -> None:
    """Write the footnotes that the file's cells name, at their marks."""
    begin, end = "<!-- footnotes: begin -->", "<!-- footnotes: end -->"
    before, _, rest = path.read_text().partition(begin)
    _, found, after = rest.partition(end)
    assert found, f"{path} has no marks {begin} and {end}"
    used = set(_FOOTNOTE.findall(before + after))
    text = "".join(f"[^{key}]: {footnotes[key]}\n" for key in footnotes if key in used)
    path.write_text(f"{before}{begin}\n{text}{end}{after}")


def target_file() -> Path | None:
    """The file to write, if one is named."""
    name = os.environ.get(VARIABLE)
    return Path(name) if name else None


def _read(table: str) -> Cells:
    rows = [
        [cell.strip() for cell in line.strip().strip("|").split("|")]
        for line in table.strip().splitlines()
    ]
    if not rows:
        return {}
    servers = rows[0][1:]
    return {
        (row[0], server): mark
        for row in rows[2:]
        for server, mark in zip(servers, row[1:], strict=False)
        if mark
    }
