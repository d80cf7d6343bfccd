"""Test network failures at each request of a run, one after the other, in a complete Airflow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import pytest

from tests.support.faults import CutResponse, Delay, DropRequest, Fault, LoseResponse, Respond
from tests.system.airflow_work import MODES, PlanBoth, Work

pytest.importorskip("airflow", reason="Airflow is not installed")
pytestmark = pytest.mark.matrix

FAULTS: dict[str, Fault] = {
    "cut before the request": DropRequest(),
    "cut after the request and before the response": LoseResponse(),
    "cut in the middle of the response": CutResponse(10),
    "delayed by 2 s": Delay(2),
    "answered with 502": Respond(502),
    "answered with 503": Respond(503),
    "answered with 504 after the server executed it": Respond(504, forwarded=True),
    "answered with 429": Respond(429, {"Retry-After": "1"}),
}

GENERATION = ("GET", "/packages$")
RECORD = ("GET", "/runs/")
DETAILS = ("GET", "/workflows/countedCharge$")
START = ("POST", "/stream$")
EVENTS = ("", "/(observe|watch)$")


@dataclass(frozen=True)
class Request:
    """One request of a run.

    Attributes:
        kind: its method and path.
        nth: which of its kind, or with ``when`` of those that come then.
        when: asked as one comes.
        variant: ``"approval"`` for a run that continues until the request has failed.
    """

    kind: tuple[str, str]
    nth: int
    when: Callable[[Work], bool] = field(default=lambda _: True)
    variant: str = ""
    seconds: float = 2


def clients(number: int) -> Callable[[Work], bool]:
    """Whether so many processes have begun to ask, and the run is over."""
    return lambda work: work.proxy.count(*GENERATION) == number and work.is_finished


STARTING = [
    Request(GENERATION, 1),
    Request(RECORD, 1),
    Request(RECORD, 2),
    Request(DETAILS, 1),
    Request(START, 1),
    Request(RECORD, 3),
]
REQUESTS: dict[str, list[Request]] = {
    "sync": [
        *STARTING,
        Request(EVENTS, 1, seconds=15),
        Request(RECORD, 5, variant="approval"),
        Request(RECORD, 1, when=clients(1)),
    ],
    "deferrable": [
        *STARTING,
        Request(EVENTS, 1, seconds=15),
        Request(EVENTS, 1, when=lambda work: work.proxy.count(*GENERATION) == 2, seconds=15),
        Request(GENERATION, 2),  # in the triggerer
        Request(RECORD, 4),
        Request(RECORD, 6, variant="approval"),
        Request(RECORD, 1, when=clients(2)),
        Request(GENERATION, 3),  # on a worker again
        Request(RECORD, 1, when=clients(3)),
    ],
    "sensor": [
        *STARTING,
        Request(GENERATION, 2),  # the sensor's own
        Request(RECORD, 4),
        Request(RECORD, 6, variant="approval"),
        Request(RECORD, 1, when=clients(2)),
    ],
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("fault", list(FAULTS))
def test_the_network_fails_at_each_request(plan_both: PlanBoth, mode: str, fault: str) -> None:
    """A DAG run for each request, all of them at once."""
    requests = REQUESTS[mode]
    what = f"one request {fault} (each request of a run in turn)"
    begun = []
    for request in requests:
        for work in plan_both(mode, what, variant=request.variant, seconds=request.seconds):
            fail(work, request, FAULTS[fault])
            begun.append((request, work.begin()))
    for request, work in begun:
        if request.variant == "approval":
            record = work.until_active("suspended")
            work.until(f"{request}", partial(has_failed, work))
            work.approve(record)
            work.check_approved()
        else:
            work.check()
        work.check_undisturbed()
        assert has_failed(work), f"{request} did not come"


def fail(work: Work, request: Request, fault: Fault) -> None:
    work.proxy.on(*request.kind, fault, nth=request.nth, when=lambda: request.when(work))


def has_failed(work: Work) -> bool:
    return any(seen.fault is not None for seen in work.proxy.seen)
