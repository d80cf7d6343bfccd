"""What came of a soak, as a table in docs/reliability.md."""

from __future__ import annotations

import os
from pathlib import Path

from tests.support.reliability import VARIABLE
from tests.system.soak.soaking import Soaked

BEGIN, END = "<!-- soak: begin -->", "<!-- soak: end -->"
HEAD = (
    "| mode | runs | processes ended | requests broken | duplicates | lost | leaked | seed |\n"
    "|---|---|---|---|---|---|---|---|\n"
)


def write_row(soaked: Soaked) -> None:
    """Put the row of a mode in the place of its former one, in the file that $RELIABILITY names."""
    if not (target := os.environ.get(VARIABLE)):
        return
    path = Path(target)
    before, _, rest = path.read_text().partition(BEGIN)
    inside, found, after = rest.partition(END)
    assert found, f"{path} has no marks {BEGIN} and {END}"
    rows = {_mode(line): line for line in inside.strip().splitlines()[2:]}
    rows[soaked.mode] = _row(soaked)
    table = HEAD + "".join(f"{rows[mode]}\n" for mode in sorted(rows))
    path.write_text(f"{before}{BEGIN}\n{table}{END}{after}")


def _mode(line: str) -> str:
    return line.split("|")[1].strip()


def _row(soaked: Soaked) -> str:
    ended = sum(number for kind, number in soaked.dealt.items() if kind.startswith("SIG"))
    cells = (
        soaked.mode,
        len(soaked.works),
        ended,
        soaked.dealt.total() - ended,
        soaked.duplicates,
        soaked.lost,
        soaked.leaked,
        soaked.seed,
    )
    return "| " + " | ".join(str(cell) for cell in cells) + " |"
