"""Test waiting in virtual time: poll intervals, timeouts, and the states that end a wait."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from mastra_workflows._api import Response, ServerGeneration
from mastra_workflows._models import WorkflowRun
from mastra_workflows._policy import JITTER
from mastra_workflows._procedures import WaitOptions, wait
from mastra_workflows._procedures._effects import LEAST_SECONDS
from mastra_workflows.errors import (
    FINAL,
    ApiError,
    BodyTooLargeError,
    ConfigurationError,
    ConnectionFailedError,
    NotMastraError,
    RunNotStartedError,
    RunSuspendedError,
    ServerLostError,
    UnavailableError,
    UnknownRunError,
    WaitTimeoutError,
)
from tests.core import recorded
from tests.core.virtual import LOST, REFUSED, Slow, World

DOWN = Response(503, {}, b"")
NO_ROUTE = Response(404, {"content-type": "text/plain"}, b"404 Not Found")


def waiting(world: World, **options: Any) -> WorkflowRun:
    return world.run(wait(world.server, "w", "r", WaitOptions(**options)))


@pytest.fixture(params=recorded.GENERATIONS)
def world(request: pytest.FixtureRequest) -> World:
    """A server of each generation."""
    return World(request.param)


def test_poll_intervals_grow_to_their_maximum(world: World) -> None:
    world.on_run(*["running"] * 12, "success")
    assert waiting(world).status == "success"
    full = [0.5, 1, 2, 4, 8, 16, 30, 30, 30, 30, 30, 30]
    assert len(world.sleeps) == len(full)
    for wait_, most in zip(world.sleeps, full, strict=True):
        assert most * (1 - JITTER) <= wait_ <= most


def test_server_upgraded_during_a_wait(world: World) -> None:
    other = ServerGeneration.V0 if world.generation == "v1" else ServerGeneration.V1
    world.server.known.generation, world.server.known.version = other, (9, 9)
    looks = world.on_run("running", "success")
    new = "/execution-result$" if world.generation == "v0" else "/runs/[^/]+$"
    old = "/execution-result$" if world.generation == "v1" else "/runs/[^/]+$"
    world.on("GET", old, NO_ROUTE)
    assert waiting(world).is_success
    assert looks.count == len(world.sent("GET", new)) == 2
    assert len(world.sent("GET", old)) == len(world.sent("GET", "/system/packages$")) == 1
    assert world.server.known.version is None


def test_wrong_address_is_probed_once_more(world: World) -> None:
    world.on_run(NO_ROUTE)
    with pytest.raises(ApiError, match="Check that this is a Mastra server"):
        waiting(world)
    assert len(world.sent("GET", "/runs/")) == 1
    assert len(world.sent("GET", "/system/packages$")) == 2


def test_poll_intervals_are_configurable(world: World) -> None:
    world.on_run(*["running"] * 6, "success")
    waiting(world, poll_interval=3, max_poll_interval=10)
    for wait_, most in zip(world.sleeps, [3, 6, 10, 10, 10, 10], strict=True):
        assert most * (1 - JITTER) <= wait_ <= most


def test_finished_run_is_polled_once(world: World) -> None:
    for name in ("success", "failed", "canceled", "suspended"):
        looks = world.on_run(name)
        world.on("GET", "/workflows/w$", "details-refundApproval")
        assert waiting(world).status == recorded.run("v1", name).status
        assert looks.count == 1
    assert world.sleeps == []


def test_sleeping_runs_and_unknown_statuses_are_active(world: World) -> None:
    body = recorded.body(world.generation, "success")
    hovering = recorded.json_response({**body, "status": "hovering"})
    world.on_run("waiting", hovering, "running", "success")
    assert waiting(world).status == "success"
    assert len(world.sleeps) == 3


def test_wait_times_out(world: World) -> None:
    world.on_run("running")
    began = world.now
    with pytest.raises(WaitTimeoutError, match=r"timed out after 100 s\. It continues") as caught:
        waiting(world, timeout=100)
    assert world.now - began == pytest.approx(100)
    assert caught.value.run.status == "running"


def test_timeout_zero_polls_once(world: World) -> None:
    looks = world.on_run("running")
    with pytest.raises(WaitTimeoutError):
        waiting(world, timeout=0)
    assert looks.count == 1
    assert world.sleeps == []


def test_on_suspend_options(world: World) -> None:
    world.on("GET", "/workflows/w$", "details-refundApproval")
    world.on_run("running", "suspended")
    run = waiting(world, on_suspend="return")
    assert run.suspensions[0].resume_schema is not None

    world.on_run("running", "suspended")
    with pytest.raises(
        RunSuspendedError, match=r"'approve'.*executes nothing until it is resumed"
    ) as caught:
        waiting(world, on_suspend="fail")
    assert caught.value.suspensions[0].payload["order"] == "A-17"

    world.on_run("suspended", "suspended", "running", "success")
    assert waiting(world, on_suspend="wait").status == "success"

    world.on_run("suspended")
    with pytest.raises(WaitTimeoutError, match="until it is resumed"):
        waiting(world, on_suspend="wait", timeout=3600)


def test_on_record_receives_every_record(world: World) -> None:
    world.on_run("running", "waiting", "success")
    seen: list[str] = []
    waiting(world, on_record=lambda run: seen.append(run.status))
    assert seen == ["running", "waiting", "success"]


def test_a_run_that_stays_pending(world: World) -> None:
    world.on_run("pending")
    began = world.now
    with pytest.raises(RunNotStartedError, match="not started within 30 s") as caught:
        waiting(world)
    assert 30 <= world.now - began <= 60
    assert "starting it with the same run id is safe" in str(caught.value)


def test_a_run_that_is_pending_for_a_while(world: World) -> None:
    world.on_run("pending", "pending", "running", "success")
    assert waiting(world).status == "success"


def test_wait_survives_an_outage(world: World, caplog: pytest.LogCaptureFixture) -> None:
    looks = world.on_run("running", REFUSED, DOWN, Slow(LOST, 30), REFUSED, "running", "success")
    with caplog.at_level(logging.WARNING):
        assert waiting(world).status == "success"
    assert looks.count == 7
    messages = [record.getMessage() for record in caplog.records]
    assert [message[:20] for message in messages] == [
        "Mastra server unavai",
        "Mastra server availa",
    ]
    assert "for up to 300 s" in messages[0]


def test_permanent_outage_ends_the_wait(world: World) -> None:
    world.on_run("running", REFUSED)
    began = world.now
    with pytest.raises(ServerLostError, match=r"may still be running\. Wait again") as caught:
        waiting(world, outage_timeout=120)
    assert 120 <= world.now - began <= 121
    assert "has not responded for 120 s" in str(caught.value)
    assert max(world.sleeps) <= 5


def test_outage_time_starts_with_the_outage(world: World) -> None:
    outage = [REFUSED] * 20  # 0.2 s growing to 5 s: more than a minute
    world.on_run("running", *outage, "running", *outage, "success")
    assert waiting(world, outage_timeout=100).status == "success"


def test_outage_does_not_extend_the_timeout(world: World) -> None:
    world.on_run("running", REFUSED)
    began = world.now
    with pytest.raises(ServerLostError):
        waiting(world, timeout=10)
    assert world.now - began <= 11


def test_outage_timeout_zero(world: World) -> None:
    world.on_run("running", REFUSED)
    with pytest.raises(ServerLostError):
        waiting(world, outage_timeout=0)
    assert len(world.sleeps) == 1


PAGE = Response(200, {"content-type": "text/html"}, b"<html>")
JSON = {"content-type": "application/json"}
WRONG_RESPONSES: dict[str, Response] = {
    "401": Response(401, JSON, b'{"error": "Invalid or expired token"}'),
    "403": Response(403, JSON, b'{"error": "Access denied"}'),
    "404 of a proxy": NO_ROUTE,
    "404 of a workflow": Response(404, JSON, b'{"error": "Workflow not found"}'),
    "500": Response(500, JSON, b'{"error": "oops"}'),
    "redirect": Response(302, {"location": "https://login.example.com/"}, b""),
    "page": PAGE,
    "nothing": Response(200, JSON, b""),
    "half": Response(200, JSON, b'{"status": "suc'),
    "list": Response(200, JSON, b"[]"),
    "other object": Response(200, JSON, b'{"ok": true}'),
}
FOREIGN = {"status": "success", "runId": "another", "steps": {}}
WRONG_RESPONSES["record of another run"] = recorded.json_response(FOREIGN)
each_wrong_response = pytest.mark.parametrize(
    "wrong", list(WRONG_RESPONSES.values()), ids=list(WRONG_RESPONSES)
)


@each_wrong_response
def test_invalid_response_during_a_wait_is_an_outage(
    world: World, wrong: Response, caplog: pytest.LogCaptureFixture
) -> None:
    world.on("GET", "/workflows$", Response(200, JSON, b"{}"))
    world.on_run("running", *[wrong] * 5, "running", "success")
    assert waiting(world).is_success
    assert "Mastra server unavailable (" in caplog.text
    assert "available again" in caplog.text


@each_wrong_response
def test_permanently_invalid_responses_end_the_wait(world: World, wrong: Response) -> None:
    world.on("GET", "/workflows$", Response(200, JSON, b"{}"))
    world.on_run("running", wrong)
    began = world.now
    with pytest.raises(ServerLostError, match="no valid response for 60 s") as caught:
        waiting(world, outage_timeout=60)
    assert "Run 'r' of workflow 'w' was running when it was last read" in str(caught.value)
    assert 60 <= world.now - began <= 70
    assert not isinstance(caught.value, FINAL)


@each_wrong_response
def test_invalid_first_response_ends_the_wait(world: World, wrong: Response) -> None:
    world.on("GET", "/workflows$", Response(200, JSON, b"{}"))
    world.on_run(wrong)
    with pytest.raises((ApiError, NotMastraError)):
        waiting(world)
    assert world.sleeps == []


@each_wrong_response
def test_invalid_first_response_for_a_known_run_is_an_outage(world: World, wrong: Response) -> None:
    world.on("GET", "/workflows$", Response(200, JSON, b"{}"))
    world.on_run(*[wrong] * 5, "success")
    assert waiting(world, is_known=True).is_success


@each_wrong_response
def test_invalid_response_to_the_version_detection(world: World, wrong: Response) -> None:
    if wrong.status_code == 404:
        pytest.skip("a 404 is the valid response of 0.x")
    world.on("GET", "/system/packages$", wrong, world.recorded("packages"))
    world.on_run("success")
    assert waiting(world, is_known=True).is_success


def test_rejected_token_that_was_valid_before_is_an_outage(world: World) -> None:
    world.on_run("success")
    waiting(world)
    world.on_run(WRONG_RESPONSES["401"], "success")
    assert waiting(world).is_success


def test_certificate_that_expires_during_a_wait(world: World) -> None:
    insecure = ConnectionFailedError("certificate", request_sent=False, transient=False)
    world.on_run("running", insecure, insecure, "success")
    assert waiting(world).is_success


def test_too_large_response_error_states_the_status_of_the_run(world: World) -> None:
    world.on_run("running", BodyTooLargeError("The response is over the limit."))
    with pytest.raises(BodyTooLargeError, match=r"'r' of workflow 'w' .* may still be running"):
        waiting(world)
    assert len(world.sleeps) == 1


def test_an_unknown_run_ends_the_wait_at_once(world: World) -> None:
    world.on_run("unknown-run")
    with pytest.raises(UnknownRunError):
        waiting(world)
    assert world.sleeps == []


def test_temporarily_missing_run(world: World) -> None:
    """A database that fails over, a replica that lags behind."""
    world.on_run("running", *["unknown-run"] * 5, "running", "success")
    assert waiting(world).is_success


@pytest.mark.parametrize(("outage", "within"), [(300, 30), (10, 10)])
def test_permanently_missing_run(world: World, outage: float, within: float) -> None:
    world.on_run("running", "unknown-run")
    began = world.now
    with pytest.raises(UnknownRunError, match="wiped or replaced") as caught:
        waiting(world, outage_timeout=outage)
    assert within <= world.now - began <= within + 2
    assert "run 'r' of workflow 'w'" in str(caught.value)


def test_html_page_instead_of_a_resume_schema(world: World) -> None:
    """A form without its fields would be worse than a late one."""
    world.on_run("suspended")
    world.on("GET", "/workflows/w$", PAGE, WRONG_RESPONSES["401"], "details-refundApproval")
    assert waiting(world).suspensions[0].resume_schema is not None


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(), RuntimeError("bug")])
def test_base_exceptions_are_not_caught(world: World, error: BaseException) -> None:
    world.on_run("running", error)
    with pytest.raises(type(error)) as caught:
        waiting(world)
    assert caught.value is error
    assert len(world.sleeps) == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(), RuntimeError("bug")])
def test_base_exceptions_during_a_sleep_are_not_caught(world: World, error: BaseException) -> None:
    world.on_run("running")

    def look(_run: WorkflowRun) -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        waiting(world, on_record=look)
    assert caught.value is error


def test_generation_is_detected_once(world: World) -> None:
    world.on_run("running", "success")
    waiting(world)
    waiting(world)
    assert len(world.sent("GET", "/system/packages")) == 1


def test_server_unreachable_at_first(world: World) -> None:
    packages = world.recorded("packages")
    world.on("GET", "/system/packages$", REFUSED, DOWN, packages)
    world.on_run("success")
    assert waiting(world).status == "success"


def test_failing_resume_schema_does_not_lose_the_record(world: World) -> None:
    world.on_run("suspended")
    world.on("GET", "/workflows/w$", Response(500, {}, b"oops"))
    assert waiting(world).suspensions[0].resume_schema is None


@pytest.mark.parametrize(
    "options",
    [
        {"on_suspend": "ignore"},
        {"timeout": -1},
        {"poll_interval": 0},
        {"max_poll_interval": 0},
        {"outage_timeout": -1},
    ],
)
def test_invalid_options_are_rejected(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        WaitOptions(**options)


def test_retry_after_is_respected(world: World) -> None:
    world.on_run("running", Response(429, {"retry-after": "4"}, b""), "success")
    waiting(world)
    assert world.sleeps[1] == pytest.approx(4)


def test_server_lost_error_quotes_the_server(world: World) -> None:
    world.on_run(Response(429, {}, b'{"error": "slow down"}'))
    with pytest.raises(ServerLostError, match="429: slow down") as caught:
        waiting(world)
    assert isinstance(caught.value.__cause__, UnavailableError)


@pytest.mark.parametrize(
    ("options", "most"),
    [
        ({"timeout": 60}, 60 + LEAST_SECONDS),
        ({"timeout": 60, "outage_timeout": 1000}, 60 + LEAST_SECONDS),
        ({"outage_timeout": 100}, 30 + 100 + LEAST_SECONDS),
        ({"outage_timeout": 0}, 30 + LEAST_SECONDS),
    ],
)
@pytest.mark.parametrize("polls", [0, 3])
def test_no_request_outlives_the_wait_or_the_outage(
    world: World, options: Any, most: float, polls: int
) -> None:
    world.on_run(*["running"] * polls, Slow(world.recorded("success"), 1e6))
    polled: list[float] = []
    began = world.now
    with pytest.raises(ServerLostError):
        waiting(world, **options, observe=False, on_record=lambda _: polled.append(world.now))
    since = began if "timeout" in options else max(polled, default=began)
    assert len(polled) == polls
    assert world.now - since <= most + 1
