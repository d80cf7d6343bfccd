"""The runs of a benchmark, and what a contender says of them; both cross a pipe as JSON."""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

Load = Literal["quiet", "chatty"]
CHUNKS = 20
"""How many chunks of text a chatty run streams in a second, about as fast as a model does."""

WARM_UPS: dict[str, dict[str, Any]] = {
    "slowExport": {"seconds": 0.2},
    "chattyAgent": {"steps": 1, "chunks": 1},
}
"""The input of runs that are not measured, by workflow."""


@dataclass(frozen=True, slots=True)
class Work:
    """One run to be: of which workflow, under which id, with which input."""

    workflow: str
    run_id: str
    input: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a contender is to do in one round.

    Attributes:
        contender: which one.
        url: the Mastra server.
        server_pid: its process, whose CPU time is noted.
        works: the runs.
        starts_at_once: how many starts may be under way at the same time.
        together: whether nobody waits before all are started, so that starting and waiting can be
            told apart.
        waits: False to start only.
    """

    contender: str
    url: str
    server_pid: int
    works: Sequence[Work]
    starts_at_once: int = 50
    together: bool = False
    waits: bool = True

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        return cls(**{**data, "works": [Work(**work) for work in data["works"]]})


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a `Job`.

    Attributes:
        late_ms: for each run, from its last step's end to the caller's having the record.
        start_seconds: how long it took until all were started.
        run_seconds: how long all runs were waited for, added up.
        start_requests, wait_requests: how many requests were sent until all were started, and
            from then on.
        client_cpu, server_cpu: CPU seconds from the end of starting to the end of waiting.
        start_client_cpu, start_server_cpu: the same while starting.
        elsewhere_cpu: what all other processes of the machine took meanwhile, both phases.
        seconds: how long both phases took.
        bytes_waiting: what the process grew by from its warm-up until the first run's end.
    """

    late_ms: Sequence[float]
    start_seconds: float
    run_seconds: float
    start_requests: int
    wait_requests: int
    client_cpu: float
    server_cpu: float
    start_client_cpu: float
    start_server_cpu: float
    elsewhere_cpu: float
    seconds: float
    bytes_waiting: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def quiet(number: int, shortest: float, longest: float, chance: random.Random) -> list[Work]:
    """Runs of one step that says nothing, of evenly mixed lengths in seconds."""
    return [
        Work(
            "slowExport",
            str(uuid.uuid4()),
            {"seconds": round(chance.uniform(shortest, longest), 3)},
        )
        for _ in range(number)
    ]


def chatty(number: int, fewest: int, most: int, chance: random.Random) -> list[Work]:
    """Runs that stream their text, of evenly mixed numbers of steps of a second each."""
    return [
        Work(
            "chattyAgent",
            str(uuid.uuid4()),
            {"steps": chance.randint(fewest, most), "chunks": CHUNKS, "pause": 1000 / CHUNKS},
        )
        for _ in range(number)
    ]


def last_end_ms(record: dict[str, Any]) -> float:
    """When the last step ended, in milliseconds, by a 1.x server's record of the run."""
    return max(
        float(step["endedAt"])
        for steps in record["steps"].values()
        for step in (steps if isinstance(steps, list) else [steps])
        if isinstance(step, dict) and "endedAt" in step
    )
