"""Measure the cost of waiting on the client and on the server: ``make bench-cost``.

All runs are started before the first wait, so that only waiting is counted. The runs take longer
than starting them all. Comparing short and long runs separates the cost per run from the cost per
second.
"""

from __future__ import annotations

import argparse
import random
import statistics
from collections import defaultdict

from benchmarks import figures
from benchmarks.rounds import alternate
from benchmarks.work import Outcome, quiet

FLOOR = "bare aiohttp"
CONTENDERS = ["ours, events", "ours, polling", FLOOR]


def row(contender: str, seconds: int, outcomes: list[Outcome]) -> dict[str, object]:
    def middle(values: list[float]) -> float:
        return statistics.median(values)

    runs = len(outcomes[0].late_ms)
    return {
        "contender": contender,
        "seconds": seconds,
        "requests to start": middle([o.start_requests / runs for o in outcomes]),
        "to wait": middle([o.wait_requests / runs for o in outcomes]),
        "CPU s/1,000 run-s": middle([1000 * o.client_cpu / o.run_seconds for o in outcomes]),
        "server's": middle([1000 * o.server_cpu / o.run_seconds for o in outcomes]),
        "CPU ms/run": middle([1000 * o.client_cpu / runs for o in outcomes]),
        "server's ms/run": middle([1000 * o.server_cpu / runs for o in outcomes]),
        "KB/run": middle([o.bytes_waiting / runs / 1000 for o in outcomes]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=500, help="number of concurrent runs")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=int, nargs="+", default=[20, 60])
    options = parser.parse_args()
    number = options.runs

    rows = []
    for seconds in options.seconds:
        print(f"Cost of waiting: {number} concurrent runs of {seconds} to {seconds + 5} s")
        outcomes: dict[str, list[Outcome]] = defaultdict(list)
        turns = alternate(
            CONTENDERS,
            options.rounds,
            lambda n, s=seconds: quiet(number, s, s + 5, random.Random(n)),  # type: ignore[misc]
            together=True,
        )
        for contender, outcome in turns:
            outcomes[contender].append(outcome)
        rows += [row(contender, seconds, outcomes[contender]) for contender in CONTENDERS]
        figures.save("cost", runs_at_once=number, rows=rows)
    figures.show(f"Cost of waiting for {number} concurrent runs", rows)


if __name__ == "__main__":
    main()
