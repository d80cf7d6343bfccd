"""What was broken on purpose and what came of it, as tables in docs/reliability.md."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

VARIABLE = "RELIABILITY"
"""The environment variable that names the file to write; without it nothing is written."""

HEAD = ("what is broken", "mode", "Mastra", "executions", "outcome")

Row = Sequence[str]
Rows = Iterable[Row]


def rewrite_table(section: str, head: Sequence[str], rewrite: Callable[[Rows], Rows]) -> None:
    """Rewrite one table of the file that `$RELIABILITY` names, if it names one.

    Args:
        section: the table's name in the marks around it, ``<!-- name: begin -->`` and
            ``<!-- name: end -->``.
        head: what is above its columns.
        rewrite: is given the rows that are there, and returns those that shall be.
    """
    if not (target := os.environ.get(VARIABLE)):
        return
    begin, end = (f"<!-- {section}: {edge} -->" for edge in ("begin", "end"))
    path = Path(target)
    before, _, rest = path.read_text().partition(begin)
    inside, found, after = rest.partition(end)
    assert found, f"{path} has no marks {begin} and {end}"
    former = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in inside.strip().splitlines()[2:]
    ]
    lines = [head, ["---"] * len(head), *sorted(rewrite(former), key=tuple)]
    table = "".join("| " + " | ".join(line) + " |\n" for line in lines)
    path.write_text(f"{before}{begin}\n{table}{end}{after}")


class ReliabilityTable:
    """The rows of one suite, each of which may be run in parts.

    What a test sees takes the place of what was seen before for the same fault, mode and generation
    of Mastra; the other rows stay. So the row of a test that is no more is taken out by hand.

    Args:
        section: the table's name in the file.
    """

    def __init__(self, section: str) -> None:
        self._section = section
        self._seen: list[tuple[str, str, str, str, str]] = []

    def add(self, fault: str, mode: str, version: str, executions: str, outcome: str) -> None:
        """Add what a test has seen; rows that differ by the server's version only become one.

        Args:
            fault: what was broken.
            mode: how the run was waited for.
            version: the Mastra server's.
            executions: how often the work was done, as its server counted.
            outcome: what became of the task.
        """
        self._seen.append((fault, mode, version, executions, outcome))

    def write(self) -> None:
        """Write the rows into their table, if one is asked for."""
        rewrite_table(self._section, HEAD, self._merge)

    def _merge(self, former: Rows) -> Rows:
        anew = {(fault, mode, _generation(one)) for fault, mode, one, *_ in self._seen}
        versions: dict[tuple[str, str, str, str], set[str]] = {}
        for fault, mode, several, executions, outcome in former:
            for one in several.split(", "):
                if (fault, mode, _generation(one)) not in anew:
                    versions.setdefault((fault, mode, executions, outcome), set()).add(one)
        for fault, mode, one, executions, outcome in self._seen:
            versions.setdefault((fault, mode, executions, outcome), set()).add(one)
        return [
            (fault, mode, ", ".join(sorted(seen)), executions, outcome)
            for (fault, mode, executions, outcome), seen in versions.items()
        ]


def _generation(version: str) -> str:
    return version.partition(".")[0]
