"""Plan the faults of each run of a soak, and their times, reproducibly from a seed.

A run's plan depends only on the seed, the mode and the run's number, not on the number of runs. The
actual timing still differs from one soak to the next.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from testkit.sample_server import Generation
from tests.support.faults import CutResponse, Delay, DropRequest, Fault, LoseResponse, Respond

GENERATIONS: tuple[Generation, ...] = ("1", "0")
REQUESTS = {
    "any request": ("", ""),
    "generation": ("GET", r"/packages$"),
    "details": ("GET", r"/workflows/countedCharge$"),
    "start": ("POST", r"/stream$"),
    "record": ("GET", r"/runs/"),
    "events": ("", r"/(observe|watch)$"),
}
"""The kinds of requests that a run consists of: method, and pattern of the path."""

REPEATED = ("any request", "record", "events")
"""Those of which there are many."""


@dataclass(frozen=True)
class KillProcess:
    """SIGKILL for a process that does the run's work.

    Attributes:
        whose: which one, as the orchestrator's `process_faults` name it.
        nth: of the processes that work for the run one after the other, counted from 1.
        after: seconds after it was first seen.
    """

    whose: str
    nth: int
    after: float

    def __str__(self) -> str:
        return f"SIGKILL of {self.whose} (no. {self.nth}, {self.after:.2f} s after its start)"


@dataclass(frozen=True)
class BreakNetwork:
    """One request of the run fails.

    Attributes:
        request: its kind, a key of `REQUESTS`.
        nth: which of this kind, counted from 1.
        fault: what happens to it.
    """

    request: str
    nth: int
    fault: Fault

    def __str__(self) -> str:
        return f"{self.fault} at {self.request} no. {self.nth}"


@dataclass(frozen=True)
class BreakComponent:
    """A component of the orchestrator dies, for all running runs.

    Attributes:
        what: which one and how, as the orchestrator's `component_faults` name it.
        after: seconds after the run was asked for.
        down: seconds until it is started again.
    """

    what: str
    after: float
    down: float

    def __str__(self) -> str:
        return f"{self.what} ({self.after:.1f} s after the run was asked for, {self.down:.1f} s)"


PlannedFault = KillProcess | BreakNetwork | BreakComponent


@dataclass(frozen=True)
class Plan:
    """One run of a soak.

    Attributes:
        index: its number, counted from 0.
        generation: of the Mastra server that does the work.
        seconds: how long the work lasts.
        faults: what goes wrong meanwhile.
    """

    index: int
    generation: Generation
    seconds: float
    faults: tuple[PlannedFault, ...]

    @property
    def amount(self) -> int:
        """What this run charges, and no other one: so its result is known for its own."""
        return self.index + 1


def draw(
    seed: int,
    mode: str,
    index: int,
    *,
    process_faults: Sequence[str],
    component_faults: Sequence[str],
) -> Plan:
    """Draw the plan of one run.

    Args:
        seed: the soak's.
        mode: how the run is waited for.
        index: the run's number; even ones use Mastra 1.x, odd ones 0.x.
        process_faults: whose processes can be killed.
        component_faults: which parts of the orchestrator can be broken, and how.
    """
    dice = random.Random(f"{seed} {mode} {index}")
    # Mostly a few seconds. Now and then longer than it takes an orchestrator to believe a process
    # dead: then its old and its new try overlap.
    seconds = dice.uniform(15, 30) if dice.random() < 0.1 else dice.uniform(0, 4)
    faults: list[PlannedFault] = []
    for _ in range(dice.choices([0, 1, 2, 3], [10, 45, 30, 15])[0]):
        kind = dice.choices(["process", "network", "component"], [42, 46, 12])[0]
        if kind == "process":
            # Half of them soon: starting is what is done once only.
            longest = 1.5 if dice.random() < 0.5 else seconds + 2
            faults.append(
                KillProcess(
                    dice.choice(process_faults),
                    dice.choices([1, 2, 3], [60, 30, 10])[0],
                    dice.uniform(0, longest),
                )
            )
        elif kind == "network":
            request = dice.choice(list(REQUESTS))
            nth = dice.randint(1, 8) if request in REPEATED else 1
            faults.append(BreakNetwork(request, nth, _network_fault(dice)))
        else:
            faults.append(
                BreakComponent(
                    dice.choice(component_faults), dice.uniform(0, seconds + 8), dice.uniform(0, 5)
                )
            )
    generation = GENERATIONS[index % len(GENERATIONS)]
    return Plan(index, generation, round(seconds, 2), tuple(faults))


def _network_fault(dice: random.Random) -> Fault:
    faults: list[Fault] = [
        DropRequest(),
        LoseResponse(),
        LoseResponse(wait=False),
        CutResponse(dice.randint(0, 300)),
        Delay(dice.uniform(0.2, 3)),
        Respond(dice.choice([502, 503, 504]), forwarded=dice.random() < 0.5),
        Respond(429, {"Retry-After": "1"}),
    ]
    return dice.choice(faults)
