"""Measure the latency from a workflow's end to its Prefect flow's end: ``make bench-prefect``.

Each measurement is one flow run of a deployment, in a separate process that a runner starts, on a
complete Prefect with PostgreSQL. The first part runs one flow at a time, each way in turn. The
second part starts many flow runs together, and they end one by one.

docs/performance.md describes the measurement.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks import figures
from mastra_workflows import MastraClient
from testkit.postgres import PostgresServer
from testkit.prefect_stack import PrefectStack
from testkit.sample_server import SampleServer

HERE = Path(__file__).resolve().parent
WORKFLOW = "slowExport"
POLLING = "polling-loop"
WAYS = {
    "mastra-run-workflow": "run_workflow",
    "mastra-arun-workflow": "arun_workflow",
    POLLING: "a loop of requests, 5 s",
}
SHORTEST, LONGEST = 6.0, 11.0
"""The range of workflow durations, in seconds. It spans the polling interval."""


@dataclass(frozen=True)
class Work:
    """One flow run.

    Attributes:
        way: the way of waiting; a key of `WAYS`.
        flow_run_id: the flow run's id.
        seconds: the duration of its workflow, different for each flow run.
    """

    way: str
    flow_run_id: str
    seconds: float


@dataclass(frozen=True)
class Measured:
    """The latencies of one flow run, in seconds.

    Attributes:
        way: the way of waiting; a key of `WAYS`.
        late: from the workflow's end to the flow's end.
        begun_after: from the flow's start to the workflow's start.
    """

    way: str
    late: float
    begun_after: float


class Bench:
    """Creates flow runs and measures them when they have finished."""

    def __init__(self, prefect: PrefectStack, client: MastraClient) -> None:
        self._prefect = prefect
        self._client = client

    def begin(self, way: str, seconds: float) -> Work:
        """Create a flow run whose workflow takes the given number of seconds."""
        arguments = {
            "server": {"base_url": self._client.base_url},
            "workflow_id": WORKFLOW,
            "input_data": {"seconds": seconds},
        }
        return Work(way, self._prefect.api.create_flow_run(f"{way}/bench", arguments), seconds)

    def finish(self, work: Work) -> Measured:
        """Wait for a flow run and measure it."""
        state = self._prefect.wait_for_flow_run(work.flow_run_id, timeout=300)
        if state != "COMPLETED":
            raise SystemExit(f"{work} is {state}: {self._prefect.api.log(work.flow_run_id)}")
        states = {one["type"]: one for one in self._prefect.api.states(work.flow_run_id)}
        step = self._step(work)
        return Measured(
            work.way,
            _seconds(states["COMPLETED"]["timestamp"]) - step["ended"],
            step["began"] - _seconds(states["RUNNING"]["timestamp"]),
        )

    def _step(self, work: Work) -> dict[str, float]:
        """Return the start and end of the workflow's only step. The run is found by its input."""
        for run in self._client.get_workflow(WORKFLOW).runs():
            if run.payload == {"seconds": work.seconds}:
                (step,) = run.steps
                assert step.started_at is not None
                assert step.ended_at is not None
                return {"began": step.started_at.timestamp(), "ended": step.ended_at.timestamp()}
        raise SystemExit(f"{work} has no run on the server")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="rounds with one flow of each way")
    parser.add_argument("--flows", type=int, default=20, help="number of concurrent flows per way")
    parser.add_argument(
        "--every", type=float, default=1.5, help="seconds between two ends of workflows"
    )
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    draw = random.Random(options.seed)

    with (
        SampleServer() as server,
        PostgresServer() as postgres,
        PrefectStack(
            HERE / "prefect_flows.py", database_url=postgres.create_database("prefect")
        ) as prefect,
        MastraClient(server.url) as client,
    ):
        bench = Bench(prefect, client)
        alone = one_at_a_time(bench, options.rounds, draw)
        together = at_once(bench, options.flows, options.every, draw)

    comparisons = {
        "one flow at a time": table(alone),
        f"{options.flows} flows at once": table(together),
    }
    what = "seconds from the workflow's end to the flow's end"
    figures.publish("prefect", what, comparisons, [*alone, *together])


def one_at_a_time(bench: Bench, rounds: int, draw: random.Random) -> list[Measured]:
    """Run one flow at a time, each way in turn."""
    ways = list(WAYS)
    seen = []
    for number in range(rounds):
        shift = number % len(ways)
        for way in [*ways[shift:], *ways[:shift]]:
            seen.append(bench.finish(bench.begin(way, draw.uniform(SHORTEST, LONGEST))))
        print(f"  round {number + 1} of {rounds}", flush=True)
    return seen


def at_once(bench: Bench, flows: int, every: float, draw: random.Random) -> list[Measured]:
    """Start many flows of a way together, each way in turn."""
    seen = []
    for way in WAYS:
        # Prefect needs about this long to start all flows. No workflow may end before that.
        start = flows * every
        works = [
            bench.begin(way, start + draw.uniform(SHORTEST, LONGEST) + number * every)
            for number in range(flows)
        ]
        seen += [bench.finish(work) for work in works]
        print(f"  {flows} concurrent flows: {WAYS[way]}", flush=True)
    return seen


def table(measured: Sequence[Measured]) -> list[dict[str, Any]]:
    """Build a table with a row for each way."""
    polling = figures.spread([one.late for one in measured if one.way == POLLING])["median"]
    rows = []
    for way, name in WAYS.items():
        mine = [one for one in measured if one.way == way]
        late = figures.spread([one.late for one in mine])
        rows.append(
            {
                "way": name,
                "flows": len(mine),
                "median": late["median"],
                "p95": late["p95"],
                "sooner than polling": polling / late["median"],
                "start to start": figures.spread([one.begun_after for one in mine])["median"],
            }
        )
    return rows


def _seconds(when: str) -> float:
    return datetime.fromisoformat(when).timestamp()


if __name__ == "__main__":
    main()
