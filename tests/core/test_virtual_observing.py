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


def test_one_stream_and_two_looks_however_long_it_takes(world: World) -> None:
    looks = world.on_run("running", "success")
    streams = observing(world, OVER)
    assert waiting(world).is_success
    assert (looks.count, streams.count, world.sleeps) == (2, 1, [])


def test_a_run_that_was_just_begun_is_not_looked_at_first(world: World) -> None:
    waiting_for_others = world.on_run("success")
    waiting(world)  # and learn the generation
    assert waiting_for_others.count == 1

    looks = world.on_run("success")
    streams = observing(world, OVER)
    world.server.known.note_under_way("w", "r", world.now)
    waiting(world)
    assert (looks.count, streams.count) == (1, 1)
    waiting(world)
    assert (looks.count, streams.count) == (2, 1)  # said once


@pytest.mark.parametrize("options", [{}, {"stall_timeout": None}])
def test_a_live_stream_that_is_silent_is_no_reason_to_poll_for_a_minute(
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
def test_a_server_that_hangs_is_given_up(world: World, options: dict[str, Any]) -> None:
    """The operating system shows that the connection is alive."""
    world.on_run("running", Slow(LOST, 30))
    observing(world, Silent(BEGUN))
    began = world.now
    with pytest.raises(ServerLostError, match="has not responded for 300 s"):
        waiting(world, **options)
    assert 360 <= world.now - began <= 460


def test_a_silence_is_not_cut_short_where_polling_would_look_more_rarely(world: World) -> None:
    looks = world.on_run("running", "success")
    streams = observing(world, Silent(BEGUN))
    began = world.now
    waiting(world, poll_interval=20, max_poll_interval=20, outage_timeout=0)
    assert world.now - began == pytest.approx(20, rel=0.5)
    assert (looks.count, streams.count) == (2, 1)


@pytest.mark.parametrize("generation", ["v0", "v1"])
def test_where_nothing_comes_the_looks_are_those_of_polling(generation: Any) -> None:
    """A proxy that keeps everything back: each look at the time of polling, or sooner."""
    world = World(generation)
    looks = world.on_run(*["running"] * 8, "success")
    for method, path in (("POST", "/observe$"), ("GET", "/watch$")):
        world.on(method, path, Silent(NOTHING))
    began = world.now
    waiting(world)
    assert looks.count == 9
    assert world.now - began <= 0.5 + 1 + 2 + 4 + 8 + 16 + 30 + 30


def test_what_gives_nothing_is_tried_more_and_more_rarely(world: World) -> None:
    looks = world.on_run(*["running"] * 40, "success")
    streams = observing(world, Silent(NOTHING))
    waiting(world)
    assert looks.count == 41
    assert streams.count <= 7


@pytest.mark.parametrize(
    "response", [NOTHING, LOST, Response(404, {}, b""), Response(500, {}, b"")]
)
def test_without_a_stream_the_waits_are_those_of_polling(world: World, response: Any) -> None:
    """A run begun without a stream, another replica, an old server."""
    looks = world.on_run(*["running"] * 4, "success")
    observing(world, response)
    began = world.now
    waiting(world)
    assert looks.count in (5, 6)  # a stream that ended is a reason to look, once
    assert world.now - began <= 0.5 + 1 + 2 + 4 + 8


def test_a_stream_that_breaks_is_opened_again(world: World) -> None:
    looks = world.on_run("running", "running", "success")
    streams = observing(world, Slow(LOST, 100), OVER)
    waiting(world)
    assert (looks.count, streams.count, world.sleeps) == (3, 2, [])


def test_a_stream_may_be_late_while_somebody_elses_look_is_not_responded_to(world: World) -> None:
    """Of a burst of streams one looks for all of them."""
    looks = world.on_run("running", "success")
    streams = observing(world, Late(OVER, 4))
    world.server.known.looks_since = world.now
    assert waiting(world).is_success
    assert (looks.count, streams.count, world.sleeps) == (2, 1, [])


def test_a_stream_that_is_late_alone_is_not_waited_for(world: World) -> None:
    looks = world.on_run("running", "success")
    observing(world, Late(OVER, 4))
    began = world.now
    waiting(world)
    assert looks.count == 2
    assert world.now - began <= 0.5


def test_who_is_mute_when_somebody_elses_look_is_responded_to_is_looked_at(world: World) -> None:
    looks = world.on_run("running", "success")
    observing(world, Late(OVER, 4))
    known = world.server.known
    known.looks_since = known.has_looked_since = world.now
    began = world.now
    waiting(world)
    assert looks.count == 2
    assert world.now - began <= 0.5


def test_somebody_elses_look_is_not_relied_on_for_long(world: World) -> None:
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


def test_an_end_that_is_none_is_looked_at_once(world: World) -> None:
    """A refused resume ends its stream, and a replay repeats the ends of earlier rounds."""
    looks = world.on_run("running", "running", "success")
    suspended = stream("workflow-start", "workflow-step-start", "workflow-finish suspended")
    streams = observing(world, Silent(suspended), Silent(suspended))
    waiting(world, stall_timeout=500)
    assert (looks.count, streams.count) == (3, 2)


def test_a_suspended_run_is_not_listened_to(world: World) -> None:
    world.on("GET", "/workflows/w$", "details-refundApproval")
    world.on_run("suspended", "suspended", "running", "success")
    streams = observing(world, OVER)
    assert waiting(world, on_suspend="wait").is_success
    assert streams.count == 1


def test_the_time_to_wait_holds(world: World) -> None:
    world.on_run("running")
    observing(world, Silent(BEGUN))
    began = world.now
    with pytest.raises(WaitTimeoutError, match="after 10 s"):
        waiting(world, timeout=10)
    assert world.now - began == pytest.approx(10)


def test_the_time_to_wait_holds_for_a_run_that_was_just_begun(world: World) -> None:
    world.on_run("success")
    waiting(world)
    looks = world.on_run("running")
    observing(world, Silent(BEGUN))
    world.server.known.note_under_way("w", "r", world.now)
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
def test_a_run_that_may_be_over_is_looked_at_at_once(
    world: World, seconds: float, options: dict[str, Any]
) -> None:
    world.on_run("success")
    waiting(world)
    streams = observing(world, Silent(NOTHING))
    world.server.known.note_under_way("w", "r", world.now)
    world.now += seconds
    began = world.now
    assert waiting(world, poll_interval=30, **options).is_success
    assert world.now == began
    assert streams.count == 0


def test_an_older_server_is_looked_at_as_if_it_said_nothing(world: World) -> None:
    looks = world.on_run(*["running"] * 3, "success")
    waiting_for_others = observing(world, Silent(BEGUN))
    world.on("GET", "/system/packages$", packages("1.4.0"))
    began = world.now
    waiting(world)
    assert world.now - began <= 0.5 + 1 + 2
    assert (looks.count, waiting_for_others.count) == (4, 3)


def test_a_0x_server_that_does_not_tell_of_a_cancel() -> None:
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


def test_events_can_be_done_without(world: World) -> None:
    world.on_run("running", "success")
    streams = observing(world, OVER)
    waiting(world, observe=False)
    assert streams.count == 0
    assert len(world.sleeps) == 1


def test_each_event_is_given_once_and_outputs_are_not(world: World) -> None:
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


def test_a_run_that_says_too_much_is_polled(world: World, caplog: pytest.LogCaptureFixture) -> None:
    looks = world.on_run(*["running"] * 5, "success")
    streams = observing(world, Silent(stream("workflow-step-output", size=BYTES_AT_ONCE)))
    with caplog.at_level(logging.INFO):
        waiting(world)
    assert (looks.count, streams.count) == (6, 1)
    assert "event stream too large, falling back to polling" in caplog.text


def test_who_says_little_may_say_it_whatever_others_say(world: World) -> None:
    world.server.known.bytes_left = (-1.0, world.now)
    looks = world.on_run("running", "success")
    streams = observing(world, stream(*["workflow-step-start"] * 9, "workflow-finish success"))
    waiting(world)
    assert (looks.count, streams.count) == (2, 1)


def test_the_log_says_which_way_it_waits(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.on_run(*["running"] * 4, "success")
    observing(world, LOST, LOST, OVER)
    with caplog.at_level(logging.INFO):
        waiting(world)
    fallback, recovery = (record.getMessage() for record in caplog.records)
    assert "no events from the server, falling back to polling" in fallback
    assert recovery.endswith(": receiving events.")
