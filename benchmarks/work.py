"""Define a benchmark's runs and a contender's results. Both are sent through a pipe as JSON."""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

Load = Literal["quiet", "chatty"]
CHUNKS = 20
"""Chunks of text that a chatty run streams per second, about the rate of a language model."""

WARM_UPS: dict[str, dict[str, Any]] = {
    "slowExport": {"seconds": 0.2},
    "chattyAgent": {"steps": 1, "chunks": 1},
}
"""The input of runs that are not measured, by workflow."""


@dataclass(frozen=True, slots=True)
class Work:
    """One run to start: its workflow, id and input."""

    workflow: str
    run_id: str
    input: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """The task of a contender in one round.

    Attributes:
        contender: the contender's name.
        url: the base URL of the Mastra server.
        server_pid: the server's process id, to measure its CPU time.
        works: the runs.
        starts_at_once: the maximum number of concurrent starts.
        together: whether to start all runs before the first wait, so that starting and waiting are
            measured separately.
        waits: False to only start the runs.
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
    """The measurements of a `Job`.

    Attributes:
        late_ms: for each run, the milliseconds from its last step's end to the caller's receipt of
            the record.
        start_seconds: seconds until all runs were started.
        run_seconds: the sum of the seconds that each run was waited for.
        start_requests, wait_requests: requests until all runs were started, and after that.
        client_cpu, server_cpu: CPU seconds from the end of starting to the end of waiting.
        start_client_cpu, start_server_cpu: CPU seconds while starting.
        elsewhere_cpu: CPU seconds of all other processes of the machine, in both phases.
        seconds: the duration of both phases.
        bytes_waiting: the growth of the client's memory from its warm-up to the end of the first
            run.
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
    """Make runs of one step that streams nothing, with uniformly distributed durations."""
    return [
        Work(
            "slowExport",
            str(uuid.uuid4()),
            {"seconds": round(chance.uniform(shortest, longest), 3)},
        )
        for _ in range(number)
    ]


def chatty(number: int, fewest: int, most: int, chance: random.Random) -> list[Work]:
    """Make runs that stream text, with a uniformly distributed number of one-second steps."""
    return [
        Work(
            "chattyAgent",
            str(uuid.uuid4()),
            {"steps": chance.randint(fewest, most), "chunks": CHUNKS, "pause": 1000 / CHUNKS},
        )
        for _ in range(number)
    ]


def last_end_ms(record: dict[str, Any]) -> float:
    """Return the end of the last step as a Unix time in milliseconds, from a 1.x run record."""
    return max(
        float(step["endedAt"])
        for steps in record["steps"].values()
        for step in (steps if isinstance(steps, list) else [steps])
        if isinstance(step, dict) and "endedAt" in step
    )
