"""Test waiting on events in virtual time: when to subscribe, when to poll, when to fall back."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from mastra_workflows._api import Response
from mastra_workflows._models import Event, WorkflowRun
from mastra_workflows._procedures import WaitOptions, wait
from mastra_workflows._procedures.observing import BYTES_AT_ONCE, LOOK_SECONDS
from mastra_workflows.errors import ServerLostError, WaitTimeoutError
from tests.core.virtual import LOST, NOTHING, Late, Silent, Slow, World


def stream(*types: str, size: int = 0) -> Response:
    """A stream of events of these types; a text ``type status`` gives the run's status too."""
    content = b""
    for text in types:
        kind, _, status = text.partition(" ")
        step = {"id": "work", "stepCallId": "c"} if "step" in kind else {}
        payload = {**step, "workflowStatus": status, "filling": "x" * size}
        content += json.dumps({"type": kind, "payload": payload}, separators=(",", ":")).encode()
        content += b"\x1e"
    return Response(200, {}, content)


BEGUN = stream("workflow-start", "workflow-step-start")
OVER = stream("workflow-start", "workflow-step-start", "workflow-finish success")


@pytest.fixture
def world() -> World:
    """A server of 1.x."""
    return World("v1")


def waiting(world: World, **options: Any) -> WorkflowRun:
    return world.run(wait(world.server, "w", "r", WaitOptions(**options)))


def observing(world: World, *responses: Any) -> Any:
    return world.on("POST", "/observe$", *responses)


def test_one_stream_and_two_polls_for_a_run_of_any_length(world: World) -> None:
    looks = world.on_run("running", "success")
    streams = observing(world, OVER)
    assert waiting(world).is_success
    assert (looks.count, streams.count, world.sleeps) == (2, 1, [])


def test_first_poll_is_skipped_for_a_run_just_started(world: World) -> None:
    waiting_for_others = world.on_run("success")
    waiting(world)  # and learn the generation
    assert waiting_for_others.count == 1

    looks = world.on_run("success")
    streams = observing(world, OVER)
    world.server.known.note_executing("w", "r", world.now)
    waiting(world)
    assert (looks.count, streams.count) == (1, 1)
    waiting(world)
    assert (looks.count, streams.count) == (2, 1)  # said once


@pytest.mark.parametrize("options", [{}, {"stall_timeout": None}])
def test_silent_live_stream_is_not_polled_for_a_minute(
    world: World, options: dict[str, Any]
) -> None:
    """Then it is one: another replica may have ended the run."""
    looks = world.on_run("running", "running", "canceled")
    streams = observing(world, Silent(BEGUN))
    began = world.now
    assert waiting(world, **options).status == "canceled"
    assert world.now - began == 120
    assert (looks.count, streams.count) == (3, 2)


@pytest.mark.parametrize("options", [{}, {"stall_timeout": None}])
def test_hanging_server_ends_the_wait(world: World, options: dict[str, Any]) -> None:
    """The operating system shows that the connection is alive."""
    world.on_run("running", Slow(LOST, 30))
    observing(world, Silent(BEGUN))
    began = world.now
    with pytest.raises(ServerLostError, match="has not responded for 300 s"):
        waiting(world, **options)
    assert 360 <= world.now - began <= 460


def test_silent_stream_is_kept_for_the_poll_interval(world: World) -> None:
    looks = world.on_run("running", "success")
    streams = observing(world, Silent(BEGUN))
    began = world.now
    waiting(world, poll_interval=20, max_poll_interval=20, outage_timeout=0)
    assert world.now - began == pytest.approx(20, rel=0.5)
    assert (looks.count, streams.count) == (2, 1)


@pytest.mark.parametrize("generation", ["v0", "v1"])
def test_silent_stream_does_not_delay_polls(generation: Any) -> None:
    """A proxy that keeps everything back: each look at the time of polling, or sooner."""
    world = World(generation)
    looks = world.on_run(*["running"] * 8, "success")
    for method, path in (("POST", "/observe$"), ("GET", "/watch$")):
        world.on(method, path, Silent(NOTHING))
    began = world.now
    waiting(world)
    assert looks.count == 9
    assert world.now - began <= 0.5 + 1 + 2 + 4 + 8 + 16 + 30 + 30


def test_fruitless_streams_are_opened_less_often(world: World) -> None:
    looks = world.on_run(*["running"] * 40, "success")
    streams = observing(world, Silent(NOTHING))
    waiting(world)
    assert looks.count == 41
    assert streams.count <= 7


@pytest.mark.parametrize(
    "response", [NOTHING, LOST, Response(404, {}, b""), Response(500, {}, b"")]
)
def test_poll_intervals_without_a_stream(world: World, response: Any) -> None:
    """A run begun without a stream, another replica, an old server."""
    looks = world.on_run(*["running"] * 4, "success")
    observing(world, response)
    began = world.now
    waiting(world)
    assert looks.count in (5, 6)  # a stream that ended is a reason to look, once
    assert world.now - began <= 0.5 + 1 + 2 + 4 + 8


def test_broken_stream_is_reopened(world: World) -> None:
    looks = world.on_run("running", "running", "success")
    streams = observing(world, Slow(LOST, 100), OVER)
    waiting(world)
    assert (looks.count, streams.count, world.sleeps) == (3, 2, [])


def test_late_stream_is_awaited_during_an_unfinished_poll(world: World) -> None:
    """Of a burst of streams one looks for all of them."""
    looks = world.on_run("running", "success")
    streams = observing(world, Late(OVER, 4))
    world.server.known.looks_since = world.now
    assert waiting(world).is_success
    assert (looks.count, streams.count, world.sleeps) == (2, 1, [])


def test_single_late_stream_does_not_delay_the_poll(world: World) -> None:
    looks = world.on_run("running", "success")
    observing(world, Late(OVER, 4))
    began = world.now
    waiting(world)
    assert looks.count == 2
    assert world.now - began <= 0.5


def test_silent_stream_is_polled_after_a_finished_poll(world: World) -> None:
    looks = world.on_run("running", "success")
    observing(world, Late(OVER, 4))
    known = world.server.known
    known.looks_since = known.has_looked_since = world.now
    began = world.now
    waiting(world)
    assert looks.count == 2
    assert world.now - began <= 0.5


def test_stale_poll_of_another_wait_is_ignored(world: World) -> None:
    """And what is looked at later for it, is looked at no later the next time."""
    looks = world.on_run(*["running"] * 4, "success")
    observing(world, Silent(NOTHING))
    began = world.now
    world.server.known.looks_since = began
    times: list[float] = []
    waiting(world, on_record=lambda _run: times.append(world.now - began))
    assert looks.count == 5
    assert times[1] <= LOOK_SECONDS * 1.1
    assert times[-1] <= 0.5 + 1 + 2 + 4


def test_false_end_event_is_polled_once(world: World) -> None:
    """A refused resume ends its stream, and a replay repeats the ends of earlier rounds."""
    looks = world.on_run("running", "running", "success")
    suspended = stream("workflow-start", "workflow-step-start", "workflow-finish suspended")
    streams = observing(world, Silent(suspended), Silent(suspended))
    waiting(world, stall_timeout=500)
    assert (looks.count, streams.count) == (3, 2)


def test_suspended_run_is_not_streamed(world: World) -> None:
    world.on("GET", "/workflows/w$", "details-refundApproval")
    world.on_run("suspended", "suspended", "running", "success")
    streams = observing(world, OVER)
    assert waiting(world, on_suspend="wait").is_success
    assert streams.count == 1


def test_timeout_holds_with_a_stream(world: World) -> None:
    world.on_run("running")
    observing(world, Silent(BEGUN))
    began = world.now
    with pytest.raises(WaitTimeoutError, match="after 10 s"):
        waiting(world, timeout=10)
    assert world.now - began == pytest.approx(10)


def test_timeout_holds_for_a_run_just_started(world: World) -> None:
    world.on_run("success")
    waiting(world)
    looks = world.on_run("running")
    observing(world, Silent(BEGUN))
    world.server.known.note_executing("w", "r", world.now)
    began = world.now
    with pytest.raises(WaitTimeoutError):
        waiting(world, timeout=1)
    assert world.now - began == pytest.approx(1)
    assert looks.count == 1


@pytest.mark.parametrize(
    ("seconds", "options"),
    [(600, {}), (0, {"observe": False})],
    ids=["begun long ago", "nobody listens"],
)
def test_first_poll_is_not_skipped_if_the_run_may_have_finished(
    world: World, seconds: float, options: dict[str, Any]
) -> None:
    world.on_run("success")
    waiting(world)
    streams = observing(world, Silent(NOTHING))
    world.server.known.note_executing("w", "r", world.now)
    world.now += seconds
    began = world.now
    assert waiting(world, poll_interval=30, **options).is_success
    assert world.now == began
    assert streams.count == 0


def test_old_server_is_polled_at_each_interval(world: World) -> None:
    looks = world.on_run(*["running"] * 3, "success")
    waiting_for_others = observing(world, Silent(BEGUN))
    world.on("GET", "/system/packages$", packages("1.4.0"))
    began = world.now
    waiting(world)
    assert world.now - began <= 0.5 + 1 + 2
    assert (looks.count, waiting_for_others.count) == (4, 3)


def test_cancel_on_0x_without_an_event_is_polled() -> None:
    world = World("v0")
    looks = world.on_run(*["running"] * 3, "canceled")
    told = {"type": "watch", "payload": {"currentStep": {"id": "export", "status": "success"}}}
    world.on("GET", "/watch$", Silent(Response(200, {}, json.dumps(told).encode() + b"\x1e")))
    began = world.now
    assert waiting(world).status == "canceled"
    assert world.now - began <= 0.5 + 1 + 2
    assert looks.count == 4


def packages(version: str) -> Response:
    listed = [{"name": "@mastra/core", "version": version}]
    return Response(200, {}, json.dumps({"packages": listed}).encode())


def test_observe_false_opens_no_stream(world: World) -> None:
    world.on_run("running", "success")
    streams = observing(world, OVER)
    waiting(world, observe=False)
    assert streams.count == 0
    assert len(world.sleeps) == 1


def test_each_event_is_delivered_once_without_outputs(world: World) -> None:
    world.on_run("running", "running", "success")
    replay = ["workflow-start", "workflow-step-start", "workflow-step-output"]
    observing(
        world,
        Silent(stream(*replay, *replay)),
        stream(*replay, "workflow-step-result", "workflow-finish success"),
    )
    seen: list[str] = []

    def note(event: Event) -> None:
        seen.append(event.type)

    waiting(world, on_event=note, stall_timeout=50)
    assert seen == [
        "workflow-start", "workflow-step-start", "workflow-step-result", "workflow-finish",
    ]  # fmt: skip


def test_run_with_too_many_events_is_polled(world: World, caplog: pytest.LogCaptureFixture) -> None:
    looks = world.on_run(*["running"] * 5, "success")
    streams = observing(world, Silent(stream("workflow-step-output", size=BYTES_AT_ONCE)))
    with caplog.at_level(logging.INFO):
        waiting(world)
    assert (looks.count, streams.count) == (6, 1)
    assert "event stream too large, falling back to polling" in caplog.text


def test_small_streams_are_exempt_from_the_shared_budget(world: World) -> None:
    world.server.known.bytes_left = (-1.0, world.now)
    looks = world.on_run("running", "success")
    streams = observing(world, stream(*["workflow-step-start"] * 9, "workflow-finish success"))
    waiting(world)
    assert (looks.count, streams.count) == (2, 1)


def test_log_reports_events_or_polling(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.on_run(*["running"] * 4, "success")
    observing(world, LOST, LOST, OVER)
    with caplog.at_level(logging.INFO):
        waiting(world)
    fallback, recovery = (record.getMessage() for record in caplog.records)
    assert "no events from the server, falling back to polling" in fallback
    assert recovery.endswith(": receiving events.")
