"""Test in virtual time that a wait always ends in time, for any sequence of responses."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastra_workflows._api import Response
from mastra_workflows._procedures import WaitOptions, wait
from mastra_workflows._procedures._effects import LEAST_SECONDS
from mastra_workflows.errors import MastraError, ServerLostError, WaitTimeoutError
from tests.core import recorded
from tests.core.virtual import LOST, NOTHING, REFUSED, Late, Silent, Slow, World

JSON = {"content-type": "application/json"}
REFUSAL = Response(401, JSON, b'{"error": "Invalid or expired token"}')
FAILURES = st.sampled_from(
    [
        REFUSAL,
        Response(404, {"content-type": "text/plain"}, b"no such route"),
        Response(404, JSON, b'{"error": "Workflow not found"}'),
        Response(429, {**JSON, "retry-after": "3600"}, b"{}"),
        Response(500, JSON, b'{"error": "oops"}'),
        Response(502, {}, b""),
        Response(200, {"content-type": "text/html"}, b"<html>"),
        Response(200, JSON, b"{}"),
        Response(200, JSON, b'{"status": null, "steps": {}}'),
        Response(200, JSON, b'{"status": "success"'),
        "unknown-run",
        LOST,
        REFUSED,
        Slow(LOST, 1000),
    ]
)
RECORDS = st.sampled_from(["pending", "running", "waiting", "suspended", "success"])
BEGUN = Response(200, {}, b'{"type":"workflow-start","payload":{}}\x1e')
STREAMS = st.sampled_from(
    [NOTHING, BEGUN, Silent(NOTHING), Silent(BEGUN), Late(BEGUN, 3), LOST, REFUSED, REFUSAL]
)
FEATURES = st.sampled_from([Response(400, {}, b"{}"), Slow(NOTHING, 1000), LOST, REFUSAL])
MOST_EFFECTS = 20_000


def a_world(
    generation: recorded.Recorded, responses: list[Any], streams: list[Any], features: Any
) -> World:
    world = World(generation, features=lambda _: features, most_effects=MOST_EFFECTS)
    if generation == "v1":  # as built servers do; so each feature is asked for
        world.on("GET", "/system/packages$", Response(200, JSON, b'{"packages": []}'))
    world.on("GET", "/workflows$", Response(200, JSON, b"{}"))
    world.on("GET", "/workflows/w$", "details-refundApproval")
    world.on_run(*responses)
    world.on("POST", "/observe$", *streams)
    world.on("GET", "/watch$", *streams)
    return world


@given(
    generation=st.sampled_from(recorded.GENERATIONS),
    responses=st.lists(RECORDS | FAILURES, min_size=1, max_size=6),
    streams=st.lists(STREAMS, min_size=1, max_size=4),
    features=FEATURES,
    timeout=st.sampled_from([1.0, 60.0, 500.0]),
    outage=st.sampled_from([0.0, 5.0, 300.0]),
    options=st.fixed_dictionaries(
        {
            "observe": st.booleans(),
            "is_known": st.booleans(),
            "stall_timeout": st.sampled_from([None, 20.0, 3600.0]),
            "on_stall": st.sampled_from(["fail", "restart", "wait"]),
        }
    ),
)
def test_a_wait_ends_by_its_timeout(
    generation: recorded.Recorded,
    responses: list[Any],
    streams: list[Any],
    features: Any,
    timeout: float,
    outage: float,
    options: dict[str, Any],
) -> None:
    world = a_world(generation, responses, streams, features)
    world.on("POST", "/restart-async$", "cancel")
    began = world.now
    with contextlib.suppress(MastraError):
        world.run(
            wait(
                world.server,
                "w",
                "r",
                WaitOptions(timeout=timeout, outage_timeout=outage, on_suspend="wait", **options),
            )
        )
    assert world.now - began <= timeout + 3 * LEAST_SECONDS


@given(
    generation=st.sampled_from(recorded.GENERATIONS),
    responses=st.lists(RECORDS | FAILURES, max_size=4),
    last=FAILURES,
    streams=st.lists(STREAMS, min_size=1, max_size=4),
    features=FEATURES,
    outage=st.sampled_from([0.0, 5.0, 300.0]),
    observe=st.booleans(),
    is_known=st.booleans(),
)
def test_wait_without_a_timeout_ends_after_outage_timeout(
    generation: recorded.Recorded,
    responses: list[Any],
    last: Any,
    streams: list[Any],
    features: Any,
    outage: float,
    observe: bool,
    is_known: bool,
) -> None:
    world = a_world(generation, [*responses, last], streams, features)
    failing_since = world.now

    def look(_: object) -> None:
        nonlocal failing_since
        failing_since = world.now

    options = WaitOptions(
        outage_timeout=outage,
        observe=observe,
        is_known=is_known,
        on_record=look,
        on_suspend="wait",
        stall_timeout=None,
    )
    with contextlib.suppress(MastraError):
        world.run(wait(world.server, "w", "r", options))
    # A silent stream, the features, and a request that was sent in the last moment.
    assert world.now - failing_since <= 60 + 2 * outage + 2 * world.server.timeout + 30


@pytest.mark.parametrize("generation", recorded.GENERATIONS)
@pytest.mark.parametrize("first", ["running", Response(200, JSON, b'{"status": null}'), REFUSAL])
def test_a_constant_401_ends_a_wait(generation: recorded.Recorded, first: Any) -> None:
    world = a_world(generation, [first, REFUSAL], [REFUSAL], REFUSAL)
    began = world.now
    with pytest.raises(ServerLostError, match="no valid response for 60 s"):
        world.run(wait(world.server, "w", "r", WaitOptions(outage_timeout=60, is_known=True)))
    assert world.now - began <= 60 + 5


def test_feature_detection_does_not_outlast_the_wait() -> None:
    world = a_world("v1", ["running"], [Silent(NOTHING)], Slow(NOTHING, 1000))
    began = world.now
    with pytest.raises(WaitTimeoutError):
        world.run(wait(world.server, "w", "r", WaitOptions(timeout=10)))
    assert world.now - began <= 10 + LEAST_SECONDS


def test_stall_probe_does_not_outlast_the_wait() -> None:
    world = a_world("v0", ["running", "running", REFUSAL], [NOTHING], NOTHING)
    began = world.now
    options = WaitOptions(timeout=30, poll_interval=20, stall_timeout=10, observe=False)
    with pytest.raises(ServerLostError):
        world.run(wait(world.server, "w", "r", options))
    assert world.now - began <= 30 + LEAST_SECONDS
