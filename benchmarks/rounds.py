"""Rounds of contenders against one real server, alternating so that noise meets all of them."""

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
    """Let each contender have its turn in each round, first one and then another first.

    A turn that ends in an error is said and left out.

    Args:
        works: makes the runs of a round; called anew for each contender, for its round's number.
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
    """One round of one contender, in a process of its own."""
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
