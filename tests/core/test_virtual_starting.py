"""Test starting in virtual time: read, then start; after a lost response, read again."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from mastra_workflows._api import Response, StartOptions
from mastra_workflows._procedures import Receipt, start, start_async
from mastra_workflows.errors import (
    AuthenticationError,
    ConnectionFailedError,
    InvalidInputError,
    RunAlreadyStartedError,
    RunMismatchError,
    RunNotStartedError,
    UnavailableError,
)
from tests.core import recorded
from tests.core.virtual import LOST, REFUSED, Silent, Slow, World, records

OSLO = StartOptions(input_data={"city": "Oslo"})
GATEWAY = [Response(status, {}, b"") for status in (502, 503, 504)]


@pytest.fixture(params=recorded.GENERATIONS)
def world(request: pytest.FixtureRequest) -> World:
    """A server of each generation, with one workflow."""
    world = World(request.param)
    world.on("GET", "/workflows/w$", "details-orderReport")
    world.on("POST", "/create-run$", "create-run")
    return world


def ensure(world: World, options: StartOptions = OSLO) -> Receipt:
    return world.run(start(world.server, "w", "r", options))


def test_a_new_run(world: World) -> None:
    world.on_run("unknown-run")
    world.on("POST", "/stream$", "stream-success")
    assert ensure(world) == Receipt("r", None)
    [started] = world.sent("POST")
    assert started.path == "/workflows/w/stream"
    assert started.query == {"runId": "r"}
    assert started.body == {"inputData": {"city": "Oslo"}}


@pytest.mark.parametrize("name", ["running", "waiting", "success", "failed", "suspended"])
def test_a_run_that_was_started_before(world: World, name: str) -> None:
    world.on_run(name)
    found = ensure(world, StartOptions(input_data=recorded.run("v1", name).payload)).found
    assert found is not None
    assert found.status == recorded.run("v1", name).status
    assert world.sent("POST") == []


def test_pending_run_is_started(world: World) -> None:
    world.on_run("pending")
    world.on("POST", "/stream$", "stream-success")
    assert ensure(world).found is None
    assert len(world.sent("POST", "/stream$")) == 1


@pytest.mark.parametrize("failure", [LOST, Slow(LOST, 30), *GATEWAY])
def test_lost_response_to_a_successful_start(world: World, failure: Any) -> None:
    world.on_run("unknown-run", "running")
    world.on("POST", "/stream$", failure)
    assert ensure(world) == Receipt("r", None)
    assert len(world.sent("POST", "/stream$")) == 1


@pytest.mark.parametrize("failure", [REFUSED, LOST, *GATEWAY])
def test_start_that_did_not_arrive_is_sent_again(world: World, failure: Any) -> None:
    world.on_run("unknown-run", "unknown-run", "pending", "pending")
    world.on("POST", "/stream$", failure, failure, "stream-success")
    assert ensure(world).found is None
    assert len(world.sent("POST", "/stream$")) == 3
    kinds = [(request.method, request.path.rpartition("/")[2]) for request in world.requests]
    stream = [index for index, kind in enumerate(kinds) if kind == ("POST", "stream")]
    for first, second in pairwise(stream):
        assert "GET" in {method for method, _ in kinds[first:second]}  # looked in between


def test_start_fails_after_the_retry_time(world: World) -> None:
    world.on_run("unknown-run")
    world.on("POST", "/stream$", REFUSED)
    began = world.now
    with pytest.raises(ConnectionFailedError):
        ensure(world)
    assert world.now - began <= 21


def test_start_event_alone_does_not_confirm_execution(world: World) -> None:
    world.on_run("unknown-run", "pending", "running")
    taken = records(world.recorded("stream-success"), 1)
    world.on("POST", "/stream$", Silent(taken))
    assert ensure(world) == Receipt("r", None)


def test_a_run_that_stays_pending(world: World) -> None:
    world.on_run("unknown-run", "pending")
    taken = records(world.recorded("stream-success"), 1)
    world.on("POST", "/stream$", Silent(taken))
    began = world.now
    with pytest.raises(RunNotStartedError, match="Starting it again with the same run id is safe"):
        ensure(world)
    assert 30 <= world.now - began <= 61


def test_invalid_input_starts_nothing(world: World) -> None:
    world.on_run("unknown-run")
    with pytest.raises(InvalidInputError, match=r"\$\.city: required.*Nothing was") as caught:
        ensure(world, StartOptions(input_data={"day": 3}))
    assert caught.value.validation_errors == (
        "$.city: required",
        "$.day: expected string, got integer",
    )
    assert world.sent("POST") == []


def test_outdated_schema_is_read_again(world: World) -> None:
    world.on_run("unknown-run")
    world.on("POST", "/stream$", "stream-success")
    world.on("GET", "/workflows/w$", "details-orderReport", "details-photoReview")
    ensure(world)
    ensure(world, StartOptions(input_data={"photos": ["a.jpg"]}))
    assert len(world.sent("GET", "/workflows/w$")) == 2


def test_details_are_read_once_a_minute(world: World) -> None:
    world.on_run("unknown-run")
    world.on("POST", "/stream$", "stream-success")
    for _ in range(3):
        ensure(world)
    assert len(world.sent("GET", "/workflows/w$")) == 1
    world.now += 61
    ensure(world)
    assert len(world.sent("GET", "/workflows/w$")) == 2


def test_input_refused_by_the_server() -> None:
    world = World("v1", check_data=False)
    world.on_run("unknown-run", "refused-run")
    world.on("POST", "/stream$", "stream-refused")
    world.on("DELETE", "/runs/r$", Response(200, {}, b"{}"))
    began = world.now
    with pytest.raises(InvalidInputError, match=r"city: Invalid input.*Nothing was executed"):
        ensure(world, StartOptions(input_data={"day": 3}))
    assert world.now - began <= 5  # the server has said so; there is nothing to wait for
    assert len(world.sent("DELETE")) == 1


def test_refused_run_started_by_another_attempt_is_not_deleted() -> None:
    world = World("v1", check_data=False)
    world.on_run("unknown-run", "refused-run", "running")
    world.on("POST", "/stream$", "stream-refused")
    with pytest.raises(InvalidInputError):
        ensure(world, StartOptions(input_data={"day": 3}))
    assert world.sent("DELETE") == []


def test_a_refused_run_that_cannot_be_deleted() -> None:
    world = World("v1", check_data=False)
    world.on_run("unknown-run", "refused-run")
    world.on("POST", "/stream$", "stream-refused")
    world.on("DELETE", "/runs/r$", Response(403, {}, b"{}"))
    with pytest.raises(InvalidInputError):
        ensure(world, StartOptions(input_data={"day": 3}))


def test_run_of_another_caller_that_has_finished() -> None:
    world = World("v1", check_data=False)
    world.on_run("unknown-run", "success")
    world.on("POST", "/stream$", "stream-conflict")
    found = ensure(world, StartOptions(input_data=recorded.run("v1", "success").payload)).found
    assert found is not None
    assert found.is_success


def test_run_of_another_caller_with_other_input(world: World) -> None:
    world.on_run("unknown-run", "success")
    world.on("POST", "/stream$", Response(409, {}, b"{}"))
    with pytest.raises(RunMismatchError, match="other input"):
        ensure(world, StartOptions(input_data={"city": "Oslo", "limit": 77}))


def test_expired_token_fails_a_start(world: World) -> None:
    world.on_run("unknown-run")
    world.on("POST", "/stream$", "wrong-token")
    with pytest.raises(AuthenticationError, match="Set a valid token"):
        ensure(world)
    assert world.sleeps == []


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(), RuntimeError("bug")])
def test_base_exceptions_are_not_caught(world: World, error: BaseException) -> None:
    world.on_run("unknown-run")
    world.on("POST", "/stream$", error)
    with pytest.raises(type(error)):
        ensure(world)
    assert len(world.sent("POST")) == 1


def test_a_run_that_was_started_is_not_started_again(world: World) -> None:
    world.on_run("success")
    with pytest.raises(RunAlreadyStartedError, match="would execute it again") as caught:
        world.run(start_async(world.server, "w", "r", OSLO))
    assert caught.value.run.is_success
    assert world.sent("POST") == []


@pytest.mark.parametrize("failure", [LOST, *GATEWAY])
def test_lost_response_is_confirmed_by_reading_the_record(world: World, failure: Any) -> None:
    world.on_run("unknown-run", "unknown-run", "running", "success")
    world.on("POST", "/start-async$", failure)
    assert world.run(start_async(world.server, "w", "r", OSLO)).status in ("running", "success")
    assert len(world.sent("POST", "/start-async$")) == 1


def test_lost_response_of_a_start_that_did_not_arrive(world: World) -> None:
    world.on_run("unknown-run", "pending")
    world.on("POST", "/start-async$", LOST)
    with pytest.raises((RunNotStartedError, ConnectionFailedError)):
        world.run(start_async(world.server, "w", "r", OSLO))
    # It may still arrive, and would execute the run twice.
    assert len(world.sent("POST", "/start-async$")) == 1


def test_start_that_was_never_sent_raises(world: World) -> None:
    world.on_run("unknown-run")
    world.on("POST", "/start-async$", REFUSED)
    with pytest.raises(ConnectionFailedError):
        world.run(start_async(world.server, "w", "r", OSLO))
    assert len(world.sent("POST", "/start-async$")) == 1


def test_start_async_cut_by_the_server_is_polled(world: World) -> None:
    world.on_run("unknown-run", "running", "running", "running", "success")
    world.on("POST", "/start-async$", Slow(world.recorded("cut"), 180))
    assert world.run(start_async(world.server, "w", "r", OSLO)).is_success
    assert len(world.sent("POST", "/start-async$")) == 1


def test_status_429_is_not_a_lost_response(world: World) -> None:
    world.on_run("unknown-run")
    world.on("POST", "/start-async$", Response(429, {}, b""))
    with pytest.raises(UnavailableError):
        world.run(start_async(world.server, "w", "r", OSLO))
    assert world.sleeps == []
