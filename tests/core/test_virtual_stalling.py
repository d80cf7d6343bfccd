"""Test in virtual time when a run with an unchanged record is restarted, and when not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mastra_workflows._api import Response
from mastra_workflows._models import WorkflowRun
from mastra_workflows._procedures import WaitOptions, wait
from mastra_workflows.errors import ConnectionFailedError, RunStalledError, WaitTimeoutError
from tests.core import recorded
from tests.core.virtual import LOST, NOTHING, Silent, World

STALL = 100.0
UNKNOWN = Response(404, {}, b'{"error": "Not Found"}')
AT_WORK = Silent(NOTHING)


@pytest.fixture(params=recorded.GENERATIONS)
def world(request: pytest.FixtureRequest) -> World:
    world = World(request.param)
    world.on("POST", "/restart-async$", "cancel")  # which says no more than that it was taken
    world.on("POST", "/observe$", NOTHING)
    return world


def waiting(world: World, **options: Any) -> WorkflowRun:
    arguments: dict[str, Any] = {
        "stall_timeout": STALL,
        "on_stall": "restart",
        "timeout": 10 * STALL,
        **options,
    }
    return world.run(wait(world.server, "w", "r", WaitOptions(**arguments)))


def restarts(world: World) -> int:
    return len(world.sent("POST", "/restart-async$"))


def after_restarts(world: World, *records: str | Response) -> Callable[[WorkflowRun], None]:
    """What the record is after the first restart, after the second one, and so on."""

    def look(_: WorkflowRun) -> None:
        if number := restarts(world):
            world.on_run(records[number - 1])

    return look


def moved(world: World) -> Response:
    """The record of a running run whose step has started again."""
    body = recorded.body(world.generation, "running")
    body["steps"]["export"]["startedAt"] += 1
    return recorded.json_response(body)


@pytest.mark.parametrize("stream", [NOTHING, UNKNOWN])
def test_lost_run_is_restarted_after_stall_timeout(world: World, stream: Response) -> None:
    world.on_run("running")
    world.on("POST", "/observe$", stream)
    began = world.now
    assert waiting(world, on_record=after_restarts(world, "success")).is_success
    assert restarts(world) == 1
    assert STALL <= world.now - began < 2 * STALL


def test_a_restart_without_effect_is_not_repeated(world: World) -> None:
    world.on_run("running")
    with pytest.raises(RunStalledError, match="A restart had no effect"):
        waiting(world)
    assert restarts(world) == 1


def test_a_run_that_was_lost_again_is_restarted_again(world: World) -> None:
    world.on_run("running")
    look = after_restarts(world, moved(world), "success")
    assert waiting(world, on_record=look).is_success
    assert restarts(world) == 2


def test_run_with_late_progress_is_not_restarted(world: World) -> None:
    """One more look before the restart: its stream ends, too, when it does."""
    looks = world.on_run("running")
    began = world.now

    def look(_: WorkflowRun) -> None:
        if world.now - began >= STALL:
            looks.responses = [moved(world), world.recorded("success")]
            looks.count = 0

    assert waiting(world, on_record=look, observe=False).is_success
    assert restarts(world) == 0


@pytest.mark.parametrize("on_stall", ["fail", "wait"])
def test_stalled_run_is_not_restarted_without_on_stall_restart(world: World, on_stall: str) -> None:
    world.on_run("running")
    with pytest.raises(RunStalledError if on_stall == "fail" else WaitTimeoutError):
        waiting(world, on_stall=on_stall)
    assert restarts(world) == 0


def test_executing_run_is_not_restarted(world: World) -> None:
    world.on_run("running")
    world.on("POST", "/observe$", AT_WORK)
    world.on("GET", "/watch$", AT_WORK)
    with pytest.raises(WaitTimeoutError):
        waiting(world)
    assert restarts(world) == 0


def test_outage_is_not_a_stall(world: World) -> None:
    world.on_run("running")
    world.on("POST", "/observe$", LOST)
    with pytest.raises(WaitTimeoutError):
        waiting(world, observe=False)
    assert restarts(world) == 0


GONE = ConnectionFailedError("Connection refused.", request_sent=False, refused=True)
BEGUN = Silent(Response(200, {}, b'{"type":"workflow-start","payload":{}}\x1e'))
ABSENCE = 60.0


def with_absence(
    world: World, *, before: Any, after: Any, gone: Any = GONE, **options: Any
) -> list[float]:
    """Wait for a run that stands still; after a minute its server's process is gone for a moment.

    Args:
        before: what `/observe` says until then.
        after: what it says when the server is back.

    Returns:
        When the run was read.
    """
    world.on_run("running")
    world.on("GET", "/watch$", AT_WORK)
    world.on("POST", "/observe$", before)
    began = world.now
    looks: list[float] = []

    def look(_: WorkflowRun) -> None:
        looks.append(world.now - began)
        if looks[-1] >= ABSENCE and not any(earlier >= ABSENCE for earlier in looks[:-1]):
            world.on_run(gone, gone, "running")
            world.on("POST", "/observe$", gone, *(after if isinstance(after, tuple) else (after,)))

    arguments = {"stall_timeout": 3600.0, "timeout": 1800.0, "outage_timeout": 20.0, **options}
    waiting(world, on_record=look, **arguments)
    return looks


either_way = pytest.mark.parametrize("observe", [True, False])


@either_way
@pytest.mark.parametrize("gone", [GONE, Response(502, {}, b"")])
def test_lost_run_is_detected_soon_after_an_outage(world: World, observe: bool, gone: Any) -> None:
    began = world.now
    with pytest.raises(RunStalledError, match="15 probes"):
        with_absence(
            world, before=BEGUN, after=NOTHING, gone=gone, observe=observe, on_stall="fail"
        )
    assert world.now - began <= ABSENCE + 30 + 30 + 60
    assert restarts(world) == 0


@either_way
def test_a_lost_run_is_restarted_when_its_server_is_back(world: World, observe: bool) -> None:
    began = world.now
    world.on("POST", "/restart-async$", "cancel")
    with pytest.raises(WaitTimeoutError):
        with_absence(world, before=BEGUN, after=NOTHING, observe=observe)
    assert restarts(world) == 1
    assert world.now - began == pytest.approx(1800, abs=60)


@either_way
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (NOTHING, NOTHING),  # begun by /start: no stream ever tells of it
        (BEGUN, BEGUN),  # not lost
        (BEGUN, LOST),
        (BEGUN, Response(401, {}, b"")),
        (BEGUN, Response(500, {}, b"")),
        (BEGUN, Response(200, {"content-type": "text/html"}, b"<html>")),
    ],
)
def test_run_is_not_mistaken_for_lost(world: World, before: Any, after: Any, observe: bool) -> None:
    with pytest.raises(WaitTimeoutError):
        with_absence(world, before=before, after=after, observe=observe)
    assert restarts(world) == 0


def test_run_on_one_of_two_replicas_is_not_lost(world: World) -> None:
    with pytest.raises(WaitTimeoutError):
        with_absence(world, before=BEGUN, after=(*[NOTHING] * 8, BEGUN))
    assert restarts(world) == 0


def test_no_restart_without_stall_timeout(world: World) -> None:
    with pytest.raises(WaitTimeoutError):
        with_absence(world, before=BEGUN, after=NOTHING, stall_timeout=None)
    assert restarts(world) == 0
