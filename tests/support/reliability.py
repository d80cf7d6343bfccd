"""Write the results of fault injection tests to tables in docs/reliability.md."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

VARIABLE = "RELIABILITY"
"""The environment variable with the path of the file to write. Unset, nothing is written."""

HEAD = ("what is broken", "mode", "Mastra", "executions", "outcome")

Row = Sequence[str]
Rows = Iterable[Row]


def rewrite_table(section: str, head: Sequence[str], rewrite: Callable[[Rows], Rows]) -> None:
    """Rewrite a table in the file that `$RELIABILITY` names. Do nothing if it is unset.

    Args:
        section: the table's name in the markers around it, ``<!-- name: begin -->`` and
            ``<!-- name: end -->``.
        head: the column headers.
        rewrite: maps the table's current rows to the new ones.
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
    """The table of one suite, which may also run in part.

    A result replaces earlier rows for the same fault, mode and Mastra generation. Other rows stay,
    so the row of a removed test must be deleted by hand.

    Args:
        section: the table's name in the file.
    """

    def __init__(self, section: str) -> None:
        self._section = section
        self._seen: list[tuple[str, str, str, str, str]] = []

    def add(self, fault: str, mode: str, version: str, executions: str, outcome: str) -> None:
        """Add the result of a test. Rows that only differ in the server's version are merged.

        Args:
            fault: the injected fault.
            mode: the mode of waiting.
            version: the version of the Mastra server.
            executions: how often the work was executed, as counted by the server.
            outcome: the final state of the task.
        """
        self._seen.append((fault, mode, version, executions, outcome))

    def write(self) -> None:
        """Write the rows to their table, if `$RELIABILITY` is set."""
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
