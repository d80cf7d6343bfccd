"""Write the results of a soak to a table in docs/reliability.md."""

from __future__ import annotations

from tests.support.reliability import Rows, rewrite_table
from tests.system.soak.soaking import Soaked

HEAD = (
    "mode",
    "runs",
    "processes ended",
    "requests broken",
    "duplicates",
    "lost",
    "leaked",
    "seed",
)


def write_row(soaked: Soaked) -> None:
    """Put the row of a mode in the place of its former one, in the file that $RELIABILITY names."""

    def replace(former: Rows) -> Rows:
        return [*(row for row in former if row[0] != soaked.mode), _row(soaked)]

    rewrite_table("soak", HEAD, replace)


def _row(soaked: Soaked) -> list[str]:
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
    return [str(cell) for cell in cells]
