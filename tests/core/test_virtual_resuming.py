"""Test resuming in virtual time: read, resume once, read again."""

from __future__ import annotations

import dataclasses
import json
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mastra_workflows._api import Response
from mastra_workflows._models import Event, Suspension, WorkflowRun, from_millis
from mastra_workflows._procedures import resume, resume_async
from mastra_workflows._procedures.resuming import ResumeOptions, pick, resume_suspended
from mastra_workflows._procedures.resumptions import is_resumption
from mastra_workflows.errors import (
    AuthenticationError,
    ConnectionFailedError,
    InvalidResumeDataError,
    NotSuspendedError,
    ResumeRefusedError,
    UnsupportedError,
)
from tests.core import recorded
from tests.core.virtual import LOST, REFUSED, Silent, Slow, World, records

YES = ResumeOptions(resume_data={"approved": True})
BOTH = pytest.mark.parametrize(
    ("procedure", "verb"), [(resume_suspended, "resume-stream"), (resume_async, "resume-async")]
)


@pytest.fixture(params=recorded.GENERATIONS)
def world(request: pytest.FixtureRequest) -> World:
    """A server of each generation, with one workflow that asks for an approval."""
    world = World(request.param)
    world.on("GET", "/workflows/w$", "details-refundApproval")
    return world


def resumed(
    world: World, procedure: Any = resume_suspended, options: ResumeOptions = YES
) -> WorkflowRun:
    run: WorkflowRun = world.run(procedure(world.server, "w", "r", options))
    return run


def test_a_step_is_resumed_by_a_stream(world: World) -> None:
    world.on_run("suspended", "resumed")
    world.on("POST", "/resume-stream$", "resume-stream")
    assert resumed(world).is_success
    [sent] = world.sent("POST", "/resume")
    assert sent.body == {"step": "approve", "resumeData": {"approved": True}}
    assert sent.query == {"runId": "r"}


@BOTH
@pytest.mark.parametrize("status", [502, 503, 504, None])
def test_lost_response_to_a_successful_resume(
    world: World, procedure: Any, verb: str, status: int | None
) -> None:
    world.on_run("suspended", "running", "resumed")
    world.on("POST", f"/{verb}$", LOST if status is None else Response(status, {}, b""))
    assert resumed(world, procedure).status in ("running", "success")
    assert len(world.sent("POST", f"/{verb}$")) == 1


def test_resume_that_did_not_arrive_is_sent_again(world: World) -> None:
    world.on_run("suspended", "suspended", "suspended", "resumed")
    world.on("POST", "/resume-stream$", REFUSED, LOST, "resume-stream")
    assert resumed(world).is_success
    assert len(world.sent("POST", "/resume-stream$")) == 3


def test_resume_async_is_never_sent_again(world: World) -> None:
    world.on_run("suspended")
    world.on("POST", "/resume-async$", LOST)
    with pytest.raises(ResumeRefusedError, match="can be resumed again") as caught:
        resumed(world, resume_async)
    assert caught.value.run.is_suspended
    world.on("POST", "/resume-async$", REFUSED)
    with pytest.raises(ConnectionFailedError):
        resumed(world, resume_async)
    assert len(world.sent("POST", "/resume-async$")) == 2


def test_resume_async_cut_by_the_server_is_polled(world: World) -> None:
    world.on_run("suspended", "running", "running", "resumed")
    world.on("POST", "/resume-async$", Slow(world.recorded("cut"), 180))
    assert resumed(world, resume_async).is_success


def test_resume_stream_is_dropped_while_the_step_executes(world: World) -> None:
    world.on_run("suspended", "running")
    world.on("POST", "/resume-stream$", Silent(records(world.recorded("resume-stream"), 2)))
    began = world.now
    assert resumed(world).status == "running"
    assert world.now - began < 1


@BOTH
def test_resumed_step_is_suspended_again(world: World, procedure: Any, verb: str) -> None:
    body = recorded.body(world.generation, "suspended")
    body["steps"]["approve"]["suspendedAt"] += 1000
    world.on_run("suspended", recorded.json_response(body))
    world.on("POST", f"/{verb}$", "resume-stream")
    assert resumed(world, procedure).is_suspended


@BOTH
@pytest.mark.parametrize("name", ["running", "success", "canceled", "pending"])
def test_resume_requires_a_suspended_run(
    world: World, procedure: Any, verb: str, name: str
) -> None:
    world.on_run(name)
    with pytest.raises(NotSuspendedError) as caught:
        resumed(world, procedure)
    assert caught.value.run.status == name
    assert world.sent("POST", "/resume") == []


@BOTH
def test_invalid_resume_data(world: World, procedure: Any, verb: str) -> None:
    world.on_run("suspended")
    options = ResumeOptions(step="approve", resume_data={"note": "yes"})
    with pytest.raises(InvalidResumeDataError, match=r"\$\.approved: required") as caught:
        resumed(world, procedure, options)
    assert caught.value.validation_errors == ("$.approved: required",)
    assert world.sent("POST", "/resume") == []


@BOTH
def test_resume_lost_to_another_caller(world: World, procedure: Any, verb: str) -> None:
    world.on_run("suspended", "resumed")
    world.on("POST", f"/{verb}$", f"{verb}-refused")
    with pytest.raises(NotSuspendedError) as caught:
        resumed(world, procedure)
    assert not caught.value.run.is_suspended


def test_resume_refused_by_the_server(world: World) -> None:
    world.on_run("suspended")
    for verb, procedure in (("resume-async", resume_async), ("resume-stream", resume_suspended)):
        world.on("POST", f"/{verb}$", f"{verb}-refused")
        began = world.now
        with pytest.raises(ResumeRefusedError, match="This workflow run was not suspended"):
            resumed(world, procedure)
        assert world.now - began < 1


def test_expired_token_fails_a_resume(world: World) -> None:
    world.on_run("suspended")
    world.on("POST", "/resume-stream$", "wrong-token")
    with pytest.raises(AuthenticationError):
        resumed(world)


@BOTH
def test_base_exceptions_are_not_caught(world: World, procedure: Any, verb: str) -> None:
    world.on_run("suspended")
    world.on("POST", f"/{verb}$", KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        resumed(world, procedure)
    assert len(world.sent("POST", "/resume")) == 1


def chosen(name: str, generation: recorded.Recorded = "v1", **options: Any) -> str:
    run = recorded.run(generation, name)
    return pick(run, ResumeOptions(**options), supports_for_each_index=generation == "v1").name


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("suspended", {}, "approve"),
        ("suspended", {"step": "approve"}, "approve"),
        ("suspended", {"step": ["approve"]}, "approve"),
        ("suspended-nested", {}, "inner.approve"),
        ("suspended-nested", {"step": "inner.approve"}, "inner.approve"),
        ("suspended-nested", {"step": ["inner", "approve"]}, "inner.approve"),
        ("suspended-parallel", {"step": "finance"}, "finance"),
        ("suspended-foreach", {}, "review[0]"),
        ("suspended-foreach", {"step": "review", "for_each_index": 0}, "review[0]"),
        ("suspended-items", {"for_each_index": 2}, "review[2]"),
    ],
)
def test_step_selects_the_suspension(name: str, options: dict[str, Any], expected: str) -> None:
    assert chosen(name, **options) == expected


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        (
            "suspended",
            {"step": "pay-back"},
            "'pay-back' .*is not suspended. .*: 'approve'",
        ),
        ("suspended", {"for_each_index": 0}, "Suspended steps: 'approve'"),
        ("suspended-nested", {"step": "approve"}, "Suspended steps: 'inner.approve'"),
        ("suspended-parallel", {}, "'legal', 'finance'. Select one with step"),
        ("suspended-items", {}, r"'review\[0\]', .*Select one with for_each_index"),
        ("suspended-items", {"step": "review", "for_each_index": 3}, r"'review\[3\]' of"),
        (
            "suspended",
            {"step": "approve", "suspended_at": "2020-01-01T00:00:00+00:00"},
            r"'approve' .*is suspended since 2.*another request than at 2020-01-01T00:00:00\+00:00",
        ),
    ],
)
def test_ambiguous_step_is_rejected(name: str, options: dict[str, Any], says: str) -> None:
    with pytest.raises(NotSuspendedError, match=says) as caught:
        chosen(name, **options)
    assert "Nothing was sent" in str(caught.value)


def test_server_that_resumes_all_items_at_once(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(
        UnsupportedError, match=r"all suspended items with the same data.*Nothing was sent"
    ):
        chosen("suspended-items", "v0", for_each_index=1)
    with caplog.at_level(logging.WARNING):
        assert chosen("suspended-items", "v0") == "review[0]"
    assert "'review[0]', 'review[1]', 'review[2]'" in caplog.text
    assert chosen("suspended-foreach", "v0", for_each_index=0) == "review[0]"


def test_items_suspended_at_different_times_are_resumed_together(
    caplog: pytest.LogCaptureFixture,
) -> None:
    run = recorded.run("v0", "suspended-items")
    since = datetime(2026, 1, 1, tzinfo=UTC)
    items = tuple(
        dataclasses.replace(item, suspended_at=since + timedelta(milliseconds=number))
        for number, item in enumerate(run.suspensions)
    )
    run = dataclasses.replace(run, suspensions=items)
    pick(run, ResumeOptions(suspended_at=items[1].suspended_at), supports_for_each_index=False)
    assert "'review[0]', 'review[1]', 'review[2]'" in caplog.text


def test_a_paused_run_names_no_step() -> None:
    paused = dataclasses.replace(recorded.run("v1", "success"), status="paused")
    with pytest.raises(NotSuspendedError, match="Suspended steps: unknown"):
        pick(paused, YES, supports_for_each_index=True)


def starts(suspended_at: int, **payload: Any) -> Response:
    """A stream that shows that the step began to execute after it was suspended."""
    payload = {"id": "approve", "status": "running", "resumedAt": suspended_at + 5, **payload}
    event = {"type": "workflow-step-start", "runId": "r", "from": "WORKFLOW", "payload": payload}
    return Response(200, {}, json.dumps(event).encode() + b"\x1e")


def test_step_that_executes_despite_its_record_is_not_resumed_again() -> None:
    """On 1.57 the record shows nothing of a resume before the resumed part has ended."""
    world = World("v1")
    world.on("GET", "/workflows/w$", "details-refundApproval")
    at = recorded.body("v1", "suspended")["steps"]["approve"]["suspendedAt"]
    live = Silent(starts(at, resumePayload=YES.resume_data))
    world.on("POST", "/observe$", live)
    world.on_run(*["suspended"] * 100, "resumed")
    with pytest.raises(NotSuspendedError, match="being resumed by another caller"):
        resumed(world)
    other = ResumeOptions(resume_data={"approved": False})
    with pytest.raises(NotSuspendedError):
        world.run(resume(world.server, "w", "r", other, is_retry=True))
    assert world.run(resume(world.server, "w", "r", YES, is_retry=False)).is_success
    assert world.sent("POST", "/resume") == []


@pytest.mark.parametrize("ended", [True, False])
def test_a_resumed_step_is_followed_for_as_long_as_it_executes(ended: bool) -> None:
    world = World("v1", start_timeout=5)
    world.on("GET", "/workflows/w$", "details-refundApproval")
    at = recorded.body("v1", "suspended")["steps"]["approve"]["suspendedAt"]
    stream = starts(at, resumePayload=YES.resume_data)
    # A stored stream outlives the process that was executing the run.
    world.on("POST", "/observe$", Response(404, {}, b""), stream if ended else Silent(stream))
    world.on("POST", "/resume-stream$", Silent(stream))
    world.on_run(*["suspended"] * 100, "resumed")
    if ended:
        with pytest.raises(ResumeRefusedError, match="can be resumed again"):
            resumed(world)
    else:
        began = world.now
        assert resumed(world).is_success
        assert world.now - began > 60
    assert len(world.sent("POST", "/resume-stream$")) == 1


def test_lost_response_to_a_resume_that_the_record_does_not_show() -> None:
    world = World("v1", start_timeout=5)
    world.on("GET", "/workflows/w$", "details-refundApproval")
    at = recorded.body("v1", "suspended")["steps"]["approve"]["suspendedAt"]
    live = Silent(starts(at, resumePayload=YES.resume_data))
    world.on("POST", "/observe$", Response(404, {}, b""), live)
    world.on("POST", "/resume-stream$", LOST)
    world.on_run(*["suspended"] * 20, "resumed")
    assert resumed(world).is_success
    assert len(world.sent("POST", "/resume-stream$")) == 1


@pytest.mark.parametrize("sent", [1, 2])
def test_next_round_is_not_resumed_when_reading_the_stream_takes_long(sent: int) -> None:
    """Another attempt resumes the step, and the loop suspends it again, before this one sends."""
    world = World("v1")
    world.on("GET", "/workflows/w$", "details-refundApproval")
    next_round = recorded.body("v1", "suspended")
    step = next_round["steps"]["approve"]
    step["resumedAt"] = step["suspendedAt"] + 500
    step["resumePayload"] = YES.resume_data
    step["suspendedAt"] += 1000
    slow = Silent(Response(200, {}, b""))  # an open stream without events, as on another replica
    if sent == 1:  # the first request
        world.on("POST", "/observe$", slow)
        world.on_run("suspended", "suspended", recorded.json_response(next_round))
    else:  # the one after a refused connection
        world.on("POST", "/observe$", Response(404, {}, b""), Response(404, {}, b""), slow)
        world.on("POST", "/resume-stream$", REFUSED, "resume-stream")
        world.on_run(*["suspended"] * 3, recorded.json_response(next_round))
    at = recorded.run("v1", "suspended").suspensions[0].suspended_at
    options = ResumeOptions(resume_data={"approved": True}, suspended_at=at)
    run = world.run(resume(world.server, "w", "r", options, is_retry=True))
    assert run.is_suspended
    assert run.suspensions[0].suspended_at != at
    assert len(world.sent("POST", "/resume-stream$")) == sent - 1


def test_first_start_of_a_step_is_not_a_resume() -> None:
    at = from_millis(1000)
    suspension = Suspension(("a", "b"), suspended_at=at)

    def event(**payload: Any) -> Event:
        return Event("workflow-step-start", "r", {}, {"id": "a.b", "status": "running", **payload})

    assert not is_resumption(event(startedAt=1000), suspension)
    assert is_resumption(event(startedAt=1001), suspension)  # the event-driven engine
    assert is_resumption(event(startedAt=900, resumedAt=1000), suspension)
    assert not is_resumption(event(startedAt=900, resumedAt=999), suspension)
    assert not is_resumption(event(startedAt=1001), Suspension(("b",), suspended_at=at))
    assert not is_resumption(event(startedAt=1001), Suspension(("a", "b")))
