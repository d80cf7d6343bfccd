"""What was broken on purpose and what came of it, as a table in docs/reliability.md."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "RELIABILITY"
"""The environment variable that names the file to write; without it nothing is written."""

HEAD = "| what is broken | mode | Mastra | executions | outcome |\n|---|---|---|---|---|\n"


class ReliabilityTable:
    """The rows of one suite; each suite has a section of its own in the file.

    Args:
        section: its name in the marks around it, ``<!-- name: begin -->`` and
            ``<!-- name: end -->``.
    """

    def __init__(self, section: str) -> None:
        self._section = section
        self._versions: dict[tuple[str, str, str, str], set[str]] = {}

    def add(self, fault: str, mode: str, version: str, executions: str, outcome: str) -> None:
        """Add what a test has seen; rows that differ by the server's version only become one.

        Args:
            fault: what was broken.
            mode: how the run was waited for.
            version: the Mastra server's.
            executions: how often the work was done, as its server counted.
            outcome: what became of the task.
        """
        self._versions.setdefault((fault, mode, executions, outcome), set()).add(version)

    def write(self) -> None:
        """Write the rows into their section of the file, if one is asked for."""
        if not (target := os.environ.get(VARIABLE)):
            return
        rows = [
            f"| {fault} | {mode} | {', '.join(sorted(versions))} | {executions} | {outcome} |\n"
            for (fault, mode, executions, outcome), versions in sorted(self._versions.items())
        ]
        begin, end = (f"<!-- {self._section}: {edge} -->" for edge in ("begin", "end"))
        path = Path(target)
        before, _, rest = path.read_text().partition(begin)
        _, found, after = rest.partition(end)
        assert found, f"{path} has no marks {begin} and {end}"
        path.write_text(f"{before}{begin}\n{HEAD}{''.join(rows)}{end}{after}")
