"""Test feature detection for a server of unknown version."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastra_workflows import MastraClient
from mastra_workflows import _procedures as procedures
from mastra_workflows._api import Feature, Response, StartOptions, parse_detection
from mastra_workflows._procedures.features import UNKNOWN_AGE, supports
from mastra_workflows.errors import UnsupportedError
from testkit.sample_server import SampleServer
from tests.core.virtual import World, no_features
from tests.support.fault_proxy import FaultProxy

NOT_FOUND = Response(404, {"content-type": "text/plain"}, b"404 Not Found")


@pytest.mark.parametrize("feature", Feature)
def test_unknown_version_counts_as_old(feature: Feature) -> None:
    world = World(features=no_features)
    assert world.run(supports(world.server, feature)) is False


@pytest.mark.parametrize("feature", Feature)
def test_a_feature_is_detected_once(feature: Feature) -> None:
    world = World()
    assert world.run(supports(world.server, feature)) is True
    world.features = no_features
    assert world.run(supports(world.server, feature)) is True
    world.now += 4000
    assert world.run(supports(world.server, feature)) is False


@pytest.mark.parametrize("feature", Feature)
def test_a_known_version_needs_no_detection(feature: Feature) -> None:
    world = World(features=no_features)
    world.run(procedures.generation(world.server))
    world.server.known.version = (1, 71, 0)
    assert world.run(supports(world.server, feature)) is True
    world.server.known.version = (1, 20, 0)
    assert world.run(supports(world.server, feature)) is False


@pytest.mark.parametrize("feature", Feature)
def test_invalid_response_counts_as_old_for_a_minute(feature: Feature) -> None:
    world = World(features=lambda _: Response(403, {}, b"no"))
    assert world.run(supports(world.server, feature)) is False
    assert world.server.known.features[feature] == (None, world.now)
    world.now += UNKNOWN_AGE
    world.features = World().features
    assert world.run(supports(world.server, feature)) is True


@given(st.sampled_from(Feature), st.integers(100, 599), st.binary() | st.text().map(str.encode))
def test_detection_reads_every_response(feature: Feature, status: int, content: bytes) -> None:
    assert parse_detection(feature, Response(status, {}, content)) in (True, False, None)


@given(
    st.recursive(
        st.none() | st.text() | st.integers(),
        lambda part: (
            st.lists(part) | st.dictionaries(st.sampled_from(["issues", "field"]) | st.text(), part)
        ),
    )
)
def test_detection_accepts_any_json(data: object) -> None:
    import json

    for feature in Feature:
        response = Response(400, {}, json.dumps({"issues": data}).encode())
        assert parse_detection(feature, response) in (True, False, None)


def test_a_legacy_server_that_executes_twice_starts_nothing() -> None:
    world = World("v0", features=lambda _: NOT_FOUND)
    world.on_run(Response(404, {}, b'{"error": "Workflow run not found"}'))
    starting = procedures.start(world.server, "w", "r", StartOptions())
    with pytest.raises(UnsupportedError, match=r"older than Mastra 0\.17"):
        world.run(starting)
    assert not world.sent("POST")


@pytest.mark.version_specific
def test_real_servers_are_probed_once(server: SampleServer, key: str) -> None:
    with FaultProxy(server.url) as proxy, MastraClient(proxy.url) as client:
        for number in range(2):
            run = client.get_workflow("orderReport").get_run(f"{key}-{number}")
            run.start(input_data={"city": "Oslo"})
            run.wait(timeout=60)
        assert client.supports_for_each_index() is (server.generation == "1")
        asked = [seen.path.rpartition("/")[2] for seen in proxy.detections]
    # Neither server tells its version.
    assert asked == (["observe", "resume-async"] if server.generation == "1" else ["resume-stream"])
