"""Measure the number of runs started per second: ``make bench-start``.

The lower bound sends the same requests: it reads the run's record and starts the run with a stream
request.
"""

from __future__ import annotations

import argparse
import random
import statistics
from collections import defaultdict

from benchmarks import figures
from benchmarks.rounds import alternate
from benchmarks.work import Outcome, quiet

OURS, FLOOR = "ours, events", "bare aiohttp, looks first"
SECONDS = 60.0
"""The duration of the runs. None ends while others are started."""


def row(contender: str, at_once: int, outcomes: list[Outcome], runs: int) -> dict[str, object]:
    def middle(values: list[float]) -> float:
        return statistics.median(values)

    return {
        "contender": "ours, start" if contender == OURS else contender,
        "at once": at_once,
        "runs/s": middle([runs / o.start_seconds for o in outcomes]),
        "requests/run": middle([o.start_requests / runs for o in outcomes]),
        "CPU ms/run": middle([1000 * o.start_client_cpu / runs for o in outcomes]),
        "server's": middle([1000 * o.start_server_cpu / runs for o in outcomes]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=500, help="number of runs per measurement")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()

    rows = []
    for at_once in (1, 10, 100):
        print(f"Starting {options.runs} runs, {at_once} concurrently")
        outcomes: dict[str, list[Outcome]] = defaultdict(list)
        turns = alternate(
            [OURS, FLOOR],
            options.rounds,
            lambda n: quiet(options.runs, SECONDS, SECONDS, random.Random(n)),
            starts_at_once=at_once,
            waits=False,
        )
        for contender, outcome in turns:
            outcomes[contender].append(outcome)
        rows += [row(who, at_once, outcomes[who], options.runs) for who in (OURS, FLOOR)]
    figures.show("Runs started per second", rows)
    figures.save("start", runs=options.runs, rows=rows)


if __name__ == "__main__":
    main()
