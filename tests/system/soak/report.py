"""Record the result of a soak for docs/data/soak.csv."""

from __future__ import annotations

from testkit.measurements import SoakRow, record
from tests.system.soak.soaking import Soaked


def write_row(soaked: Soaked) -> None:
    """Replace the row of the soak's mode, if the variable of `record` is set."""
    ended = sum(number for kind, number in soaked.injected.items() if kind.startswith("SIG"))
    numbers = (
        len(soaked.works),
        ended,
        soaked.injected.total() - ended,
        soaked.duplicates,
        soaked.lost,
        soaked.leaked,
        soaked.seed,
    )
    record(SoakRow, [SoakRow(soaked.mode, *map(str, numbers))])
