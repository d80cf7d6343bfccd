"""Run contenders in turn against one real server, so that noise affects all of them equally."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks import machine
from benchmarks.work import Job, Outcome, Work
from testkit.sample_server import Generation, SampleServer, find_node

ROOT = Path(__file__).resolve().parents[1]
JAVASCRIPT = "JavaScript client, startAsync"
PROGRAM = ROOT / "benchmarks" / "javascript" / "start_async.mjs"


def alternate(
    contenders: Sequence[str],
    rounds: int,
    works: Callable[[int], Sequence[Work]],
    *,
    starts_at_once: int = 50,
    together: bool = False,
    waits: bool = True,
    generation: Generation = "1",
) -> Iterator[tuple[str, Outcome]]:
    """Run each contender once per round, with a different first contender in each round.

    A failed turn is printed and left out.

    Args:
        contenders: their names.
        rounds: the number of rounds.
        works: makes the runs of a round; called for each contender with the round's number.
        starts_at_once, together, waits: see `Job`.
        generation: the Mastra server's major version.
    """
    machine.allow_many_connections()
    with SampleServer(generation) as server:
        for number in range(rounds):
            shift = number % len(contenders)
            for contender in [*contenders[shift:], *contenders[:shift]]:
                job = Job(
                    contender=contender,
                    url=server.url,
                    server_pid=server.pid,
                    works=works(number),
                    starts_at_once=starts_at_once,
                    together=together,
                    waits=waits,
                )
                try:
                    outcome = turn(job)
                except subprocess.CalledProcessError as error:
                    print(f"  round {number + 1}: {contender} failed: {error}", flush=True)
                    continue
                print(f"  round {number + 1}: {contender}: {outcome.seconds:.0f} s", flush=True)
                yield contender, outcome


def turn(job: Job) -> Outcome:
    """Run one round of one contender in a separate process."""
    if job.contender == JAVASCRIPT:
        command = [str(find_node()), str(PROGRAM)]
    else:
        command = [sys.executable, "-m", "benchmarks.contenders"]
    done = subprocess.run(
        command,
        input=json.dumps(job.to_json()),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=ROOT,
    )
    return Outcome(**json.loads(done.stdout))
