"""Measure the latency from the end of a run's last step to the caller's receipt of the record.

Run ``make bench-end``, or ``python -m benchmarks.end --runs 1000 --load quiet --rounds 2``.
"""

from __future__ import annotations

import argparse
import random
from collections import defaultdict

from benchmarks import figures
from benchmarks.rounds import JAVASCRIPT, alternate
from benchmarks.work import Load, Outcome, Work, chatty, quiet
from testkit.sample_server import Generation

FLOOR = "bare aiohttp"
EVENTS, POLLING = "ours, events", "ours, polling"
LOOPS = ("requests loop, 1 s", "requests loop, 5 s", "requests loop, 30 s")


def contenders(number: int, load: Load, generation: Generation) -> list[str]:
    """Return the contenders that take part.

    The loops use a thread per run. From 1,000 runs on, the machine cannot sustain a request per
    second from each thread, and with 3,000 runs not even one every 5 s. A single run is not polled
    every 30 s, to save time. The contenders other than ours only support Mastra 1.x.
    """
    if generation == "0":
        return [EVENTS, POLLING]
    if load == "chatty":
        return [EVENTS, POLLING, FLOOR, JAVASCRIPT, *LOOPS[:1]]
    loops = {1: LOOPS[:2], 1000: LOOPS[1:], 3000: LOOPS[2:]}.get(number, LOOPS)
    return [EVENTS, POLLING, FLOOR, JAVASCRIPT, *loops]


def works(number: int, load: Load, seed: int) -> list[Work]:
    """Make runs of mixed length. All of them have started before the first one ends."""
    chance = random.Random(seed)
    if load == "chatty":
        return chatty(number, *((3, 6) if number == 1 else (10, 30)), chance)
    if number == 1:
        return quiet(1, 1, 4, chance)
    starting = 5 + number / 80
    return quiet(number, starting, starting + 30, chance)


def row(contender: str, outcomes: list[Outcome], floor: float) -> dict[str, object]:
    late = figures.spread([ms for outcome in outcomes for ms in outcome.late_ms])
    runs = sum(len(outcome.late_ms) for outcome in outcomes)
    requests = sum(outcome.start_requests + outcome.wait_requests for outcome in outcomes)
    seconds = sum(outcome.seconds for outcome in outcomes)
    server = sum(outcome.server_cpu + outcome.start_server_cpu for outcome in outcomes)
    own = sum(outcome.client_cpu + outcome.start_client_cpu for outcome in outcomes)
    return {
        "contender": contender,
        "runs": runs,
        **{f"{name} ms": value for name, value in late.items()},
        "x floor": late["median"] / floor,
        "requests/run": requests / runs,
        "its cores": own / seconds,
        "server's": server / seconds,
        # A remainder: if it is zero, the kernel's rounding can make it negative.
        "others'": max(0.0, sum(outcome.elsewhere_cpu for outcome in outcomes)) / seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, required=True, help="number of concurrent runs")
    parser.add_argument("--load", choices=["quiet", "chatty"], default="quiet")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--generation", choices=["0", "1"], default="1", help="Mastra 0.x or 1.x")
    parser.add_argument(
        "--contenders", nargs="+", help="default: all that this number of runs allows"
    )
    options = parser.parse_args()
    number, load = options.runs, options.load
    who = options.contenders or contenders(number, load, options.generation)

    print(f"Delay until a run's end is detected: {number} {load} runs, {options.rounds} rounds")
    outcomes: dict[str, list[Outcome]] = defaultdict(list)
    turns = alternate(
        who,
        options.rounds,
        lambda n: works(number, load, n),
        generation=options.generation,
    )
    for contender, outcome in turns:
        outcomes[contender].append(outcome)
    who = [contender for contender in who if outcomes[contender]]
    best = outcomes[FLOOR if FLOOR in outcomes else who[0]]
    floor = figures.spread([ms for outcome in best for ms in outcome.late_ms])["median"]
    rows = [row(contender, outcomes[contender], floor) for contender in who]
    figures.show(f"Delay until a run's end is detected, {number} {load} concurrent runs", rows)
    late = {name: sorted(round(ms, 1) for o in outcomes[name] for ms in o.late_ms) for name in who}
    name = f"end-{number}-{load}{'-0.x' if options.generation == '0' else ''}"
    figures.save(
        name, generation=options.generation, runs_at_once=number, load=load, rows=rows, late_ms=late
    )


if __name__ == "__main__":
    main()
