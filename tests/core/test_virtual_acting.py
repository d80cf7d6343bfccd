"""Test cancel, delete, restart and time travel in virtual time: read, act, read again."""

from __future__ import annotations

from typing import Any

import pytest

from mastra_workflows._api import Response
from mastra_workflows._procedures import (
    cancel,
    delete,
    details,
    read_run,
    restart,
    runs_page,
    time_travel,
    watchable,
)
from mastra_workflows._procedures.acting import Cancellation
from mastra_workflows.errors import (
    ConnectionFailedError,
    NotActiveError,
    UnknownWorkflowError,
    UnsupportedError,
)
from tests.core import recorded
from tests.core.virtual import LOST, REFUSED, World


@pytest.fixture(params=recorded.GENERATIONS)
def world(request: pytest.FixtureRequest) -> World:
    """A server of each generation."""
    return World(request.param)


def canceled(world: World) -> Cancellation:
    return world.run(cancel(world.server, "w", "r", confirm_timeout=5.0))


def test_a_run_is_cancelled(world: World) -> None:
    world.on_run("running", "running", "canceled")
    world.on("POST", "/cancel$", "cancel")
    found = canceled(world)
    assert found.requested
    assert found.is_confirmed
    assert found.run.status == "canceled"
    assert str(found) == "Run 'r' of workflow 'w' was cancelled."


@pytest.mark.parametrize("name", ["success", "failed", "canceled"])
def test_cancel_of_a_finished_run_sends_nothing(world: World, name: str) -> None:
    world.on_run(name)
    found = canceled(world)
    assert not found.requested
    assert found.is_confirmed
    assert "already finished; nothing was cancelled" in str(found)
    assert world.sent("POST") == []


def test_cancel_of_a_step_that_ignores_its_abort_signal(world: World) -> None:
    world.on_run("running")
    world.on("POST", "/cancel$", "cancel")
    began = world.now
    found = canceled(world)
    assert not found.is_confirmed
    assert "the run continues" in str(found)
    assert world.now - began == pytest.approx(5.0, abs=0.01)


@pytest.mark.parametrize("failure", [REFUSED, LOST, Response(502, {}, b""), Response(429, {}, b"")])
def test_lost_response_is_confirmed_by_reading_the_record(world: World, failure: Any) -> None:
    world.on_run("running", "canceled")
    world.on("POST", "/cancel$", failure)
    found = canceled(world)
    assert found.run.status == "canceled"
    assert len(world.sent("POST", "/cancel$")) == 1


def test_cancel_that_did_not_arrive_is_sent_again(world: World) -> None:
    world.on_run("running", "running", "canceled")
    world.on("POST", "/cancel$", REFUSED, "cancel")
    assert canceled(world).run.status == "canceled"
    assert len(world.sent("POST", "/cancel$")) == 2


def test_cancel_of_a_pending_run_on_0x_is_confirmed() -> None:
    world = World("v0")  # which leaves it pending
    world.on_run("pending")
    world.on("POST", "/cancel$", "cancel")
    found = canceled(world)
    assert found.is_confirmed
    assert "nothing executes" in str(found)


def test_a_suspended_run_on_an_old_server() -> None:
    world = World("v0")  # which leaves it suspended
    world.on("GET", "/workflows/w$", "details-refundApproval")
    world.on_run("suspended")
    world.on("POST", "/cancel$", "cancel")
    found = canceled(world)
    assert not found.is_confirmed
    assert "It executes nothing unless it is resumed" in str(found)


def test_deleting() -> None:
    old = World("v0")
    with pytest.raises(UnsupportedError, match="nothing was sent"):
        old.run(delete(old.server, "w", "r"))
    assert old.sent("DELETE") == []
    new = World("v1")
    new.on_run("success")
    new.on("DELETE", "/runs/r$", "cancel")
    new.run(delete(new.server, "w", "r"))
    assert len(new.sent("DELETE")) == 1


def test_delete_with_a_lost_response_succeeds() -> None:
    world = World("v1")
    world.on_run("success")
    world.on("DELETE", "/runs/r$", LOST, "unknown-run")
    world.run(delete(world.server, "w", "r"))


@pytest.mark.parametrize("name", ["success", "failed", "canceled", "pending", "suspended"])
def test_only_a_lost_run_is_restarted(world: World, name: str) -> None:
    world.on_run(name)
    world.on("GET", "/workflows/w$", "details-refundApproval")
    with pytest.raises(NotActiveError, match="nothing was sent"):
        world.run(restart(world.server, "w", "r"))
    assert world.sent("POST") == []


@pytest.mark.parametrize("name", ["running", "waiting"])
def test_a_lost_run_is_restarted_once(world: World, name: str) -> None:
    world.on_run(name)
    world.on("POST", "/restart-async$", "cancel")
    world.run(restart(world.server, "w", "r"))
    world.on("POST", "/restart-async$", LOST)  # as one without a response before the run's end
    assert world.run(restart(world.server, "w", "r")).is_active
    world.on("POST", "/restart-async$", REFUSED)
    with pytest.raises(ConnectionFailedError):
        world.run(restart(world.server, "w", "r"))
    assert len(world.sent("POST", "/restart-async$")) == 3


@pytest.mark.parametrize("name", ["running", "waiting"])
def test_time_travel_of_a_running_run_is_refused(world: World, name: str) -> None:
    world.on_run(name)
    with pytest.raises(NotActiveError, match="Nothing was sent"):
        world.run(time_travel(world.server, "w", "r", ("a",), None))


def test_unsupported_features_of_an_old_server(world: World) -> None:
    world.on_run("running")
    world.on("POST", "/restart-async$", Response(404, {}, b"404 Not Found"))
    with pytest.raises(UnsupportedError, match=r"no restart; it came with Mastra 0\.24\.8"):
        world.run(restart(world.server, "w", "r"))


@pytest.mark.parametrize(
    "procedure",
    [
        lambda world: details(world.server, "nope"),
        lambda world: read_run(world.server, "nope", "r"),
        lambda world: watchable(world.server, "nope", "r"),
        lambda world: delete(world.server, "nope", "r"),
        lambda world: runs_page(world.server, "nope", page=0, per_page=20),
    ],
    ids=["details", "read_run", "watchable", "delete", "runs_page"],
)
def test_unknown_workflow_error_names_existing_workflows(procedure: Any) -> None:
    world = World("v1")
    listed = {"orderReport": {"name": "order-report"}, "odd key": {"name": "odd"}}
    world.on("GET", "/workflows$", recorded.json_response(listed))
    world.on("GET", "/workflows/nope", "unknown-workflow")
    with pytest.raises(UnknownWorkflowError, match=r"no workflow 'nope'. It has: 'orderReport'"):
        world.run(procedure(world))
