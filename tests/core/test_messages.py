"""Test the error messages."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from mastra_workflows import AsyncMastraClient, MastraClient, RetryPolicy
from mastra_workflows._api import Response, check, encode_json
from mastra_workflows._procedures import details
from mastra_workflows._procedures.starting import reasons
from mastra_workflows.errors import (
    ApiError,
    ConnectionFailedError,
    InvalidDataError,
    UnknownWorkflowError,
)
from testkit.sample_server import SampleServer
from tests.core import recorded
from tests.core.virtual import World


@pytest.mark.parametrize(
    ("status", "said", "text"),
    [
        (401, "Invalid or expired token", "expired token. Set a valid token"),
        (404, "Not Found", "Not Found. Check that this is a Mastra server"),
        (404, "Really?", "Really? Check that this is a Mastra server"),
        (500, "disk full", "500: disk full"),
    ],
)
def test_error_hint_is_a_separate_sentence(status: int, said: str, text: str) -> None:
    body = recorded.json_response({"error": said}).content
    with pytest.raises(ApiError) as caught:
        check(Response(status, {"content-type": "application/json"}, body))
    assert text in str(caught.value)


def test_validation_error_of_the_whole_data_has_a_path() -> None:
    assert reasons("Invalid input data: \n- : Invalid input\n- city: Required") == [
        "$: Invalid input",
        "city: Required",
    ]


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        ({"notes": ["ok", "cut \ud83d"]}, "the string at $.notes[1] contains a lone surrogate"),
        ({"notes": {"cut \ud83d": 1}}, "a key of $.notes contains a lone surrogate"),
        ("\ude00", "the string at $ contains a lone surrogate"),
        (
            {"rows": [{"at": datetime(2026, 1, 1, tzinfo=UTC)}]},
            "the value at $.rows[0].at is of type datetime",
        ),
        ({"rows": ({"tags": {"a"}},)}, "the value at $.rows[0].tags is of type set"),
        ({"total": float("nan")}, "the number at $.total is nan"),
        ({"rows": {(1, 2): True}}, "a key of $.rows is of type tuple"),
    ],
)
def test_invalid_json_error_names_the_place(data: Any, fault: str) -> None:
    with pytest.raises(InvalidDataError, match=re.escape(f"not valid JSON: {fault}")):
        encode_json(data)


def test_circular_data_is_an_error() -> None:
    data: dict[str, Any] = {}
    data["self"] = [data]
    with pytest.raises(InvalidDataError, match="Circular reference"):
        encode_json(data)


@pytest.mark.parametrize("count", [5, 6, 2000])
def test_misspelt_workflow_error_names_the_closest_keys(count: int) -> None:
    world = World("v1")
    keys = [f"workflow{number}" for number in range(count - 1)] + ["orderReport"]
    response = recorded.json_response({key: {"name": key} for key in reversed(keys)})
    world.on("GET", "/workflows$", response)
    world.on("GET", "/workflows/orderRepot", "unknown-workflow")
    with pytest.raises(UnknownWorkflowError) as caught:
        world.run(details(world.server, "orderRepot"))
    text = str(caught.value)
    assert "'orderReport'" in text
    assert text.count("'workflow") < 5
    assert count == 5 or f"It has {count:,}; the closest are 'orderReport', " in text


async def test_https_to_a_server_that_speaks_http(server: SampleServer) -> None:
    address = server.url.replace("http:", "https:")
    retry = RetryPolicy(seconds=1)
    expected = pytest.raises(ConnectionFailedError, match="If the server does not use TLS")
    with expected, MastraClient(address, retry=retry) as client:
        client.list_workflows()
    with expected:
        async with AsyncMastraClient(address, retry=retry) as asynchronous:
            await asynchronous.list_workflows()
