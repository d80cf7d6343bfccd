"""Test requests as values: the paths, queries and bodies that both generations accept."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import requests
from hypothesis import given

from mastra_workflows import _api as api
from mastra_workflows._api import Request, ResumeCommand, ServerGeneration, StartOptions
from mastra_workflows.errors import BodyTooLargeError, ConfigurationError, InvalidDataError
from tests.core.strategies import JSON_OBJECTS, TEXT

ODD_IDS = [
    "two words", "a/b", "50%", "a+b", "a%2Fb", 'say "hi"', "it's", "größe 日本", "a?b=c&d", "#1",
    "a\\b", "a;b", "..x", "a\nb", "🎈",
]  # fmt: skip
IDS = TEXT.filter(lambda text: text not in ("", ".", "..") and "\0" not in text)
ByRun = Callable[[str, str], Request]
BY_RUN: dict[str, ByRun] = {
    "start_async": lambda workflow, run: api.start_async(workflow, run, StartOptions()),
    "stream": lambda workflow, run: api.stream(workflow, run, StartOptions()),
    "watch_0": lambda workflow, run: api.watch(workflow, run, ServerGeneration.V0),
    "watch_1": lambda workflow, run: api.watch(workflow, run, ServerGeneration.V1),
    "read_0": lambda workflow, run: api.run_execution_result(workflow, run, ServerGeneration.V0),
    "read_1": lambda workflow, run: api.run_execution_result(workflow, run, ServerGeneration.V1),
    "create_run": api.create_run,
    "cancel": api.cancel,
    "delete": api.delete,
    "restart_async": api.restart_async,
}


def sent_url(request: Request) -> str:
    """The address as the HTTP library puts it on the wire."""
    return str(requests.Request(request.method, f"http://host/api{request.target}").prepare().url)


def ids_in(url: str) -> list[str]:
    """What a server reads out of an address: the ids in its path and in its query."""
    parts = urlsplit(url)
    segments = [unquote(segment) for segment in parts.path.split("/")]
    return [*segments, *parse_qs(parts.query, keep_blank_values=True).get("runId", [])]


@pytest.mark.parametrize("text", ODD_IDS)
@pytest.mark.parametrize("make", BY_RUN.values(), ids=list(BY_RUN))
def test_special_characters_in_ids_are_encoded(make: ByRun, text: str) -> None:
    arrived = ids_in(sent_url(make(text, "run-1")))
    assert arrived[3] == text
    assert "run-1" in arrived
    assert text in ids_in(sent_url(make("w", text)))[4:]


@given(IDS, IDS)
def test_any_id_is_encoded(workflow: str, run: str) -> None:
    url = sent_url(api.run_execution_result(workflow, run, ServerGeneration.V1))
    assert ids_in(url) == ["", "api", "workflows", workflow, "runs", run]
    url = sent_url(api.stream(workflow, run, StartOptions()))
    assert ids_in(url) == ["", "api", "workflows", workflow, "stream", run]


@pytest.mark.parametrize("text", ["", ".", "..", "\ud800", "a\0b"])
@pytest.mark.parametrize("make", BY_RUN.values(), ids=list(BY_RUN))
def test_ids_that_cannot_be_in_a_path_are_rejected(make: ByRun, text: str) -> None:
    # A server takes "/runs/.." for another address altogether, percent-encoded or not.
    with pytest.raises(ConfigurationError, match="Nothing was sent"):
        make(text, "run-1")
    with pytest.raises(ConfigurationError, match="Nothing was sent"):
        make("w", text)


def test_repeatable_requests() -> None:
    repeatable = {name for name, make in BY_RUN.items() if make("w", "r").repeatable}
    assert repeatable == {"watch_0", "watch_1", "read_0", "read_1", "create_run", "delete"}
    options = ResumeCommand(step=("a",))
    assert not api.resume_async("w", "r", options).repeatable
    assert not api.resume_stream("w", "r", options).repeatable
    assert not api.time_travel_stream("w", "r", ("a",)).repeatable


def test_a_post_always_has_a_body() -> None:
    for make in BY_RUN.values():
        request = make("w", "r")
        assert (request.body is not None) == (request.method == "POST")
    assert api.restart_async("w", "r").encode(max_bytes=10) == b"{}"


def test_body_of_a_start() -> None:
    options = StartOptions(
        input_data={"city": "Köln"},
        initial_state={"seen": 1},
        request_context={"user": "7"},
        tracing_options={"metadata": {}},
        resource_id="team-a",
    )
    assert options.body() == {
        "inputData": {"city": "Köln"},
        "initialState": {"seen": 1},
        "runtimeContext": {"user": "7"},
        "requestContext": {"user": "7"},
        "tracingOptions": {"metadata": {}},
        "resourceId": "team-a",
    }
    assert StartOptions().body() == {"inputData": {}}


@pytest.mark.parametrize(
    ("path", "sent"), [(("approve",), "approve"), (("inner", "approve"), ["inner", "approve"])]
)
def test_body_of_a_resume(path: tuple[str, ...], sent: Any) -> None:
    body = ResumeCommand(step=path, resume_data={"approved": True}, for_each_index=0).body()
    assert body == {"step": sent, "resumeData": {"approved": True}, "forEachIndex": 0}
    assert api.time_travel_stream("w", "r", path, {"a": 1}).body == {
        "step": sent,
        "inputData": {"a": 1},
    }


@given(JSON_OBJECTS)
def test_the_body_is_the_data_as_utf_8(data: dict[str, Any]) -> None:
    body = api.stream("w", "r", StartOptions(input_data=data)).encode(max_bytes=10_000_000)
    assert body is not None
    assert json.loads(body.decode()) == {"inputData": data}


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, {1, 2}, object(), b"bytes", datetime.now(UTC), "\ud800", {(): 1}]
)
def test_data_that_is_not_json(value: Any) -> None:
    request = api.stream("w", "r", StartOptions(input_data={"secret": ["s3cret", value]}))
    with pytest.raises(InvalidDataError, match="Nothing was sent") as caught:
        request.encode(max_bytes=1000)
    assert "s3cret" not in str(caught.value)


def test_circular_data_is_rejected() -> None:
    data: dict[str, Any] = {}
    data["self"] = data
    with pytest.raises(InvalidDataError):
        api.stream("w", "r", StartOptions(input_data=data)).encode(max_bytes=1000)


def test_a_body_over_the_limit() -> None:
    request = api.stream("w", "r", StartOptions(input_data="ö" * 100))
    with pytest.raises(BodyTooLargeError, match=r"217 bytes, over the limit of 216.*Nothing was"):
        request.encode(max_bytes=216)
    assert len(request.encode(max_bytes=217) or b"") == 217


def test_paging_parameters_of_both_versions_are_sent() -> None:
    since = datetime(2026, 1, 31, 12, tzinfo=UTC)
    request = api.list_runs(
        "w", page=2, per_page=20, from_date=since, resource_id="a+b c", status="suspended"
    )
    query = parse_qs(urlsplit(sent_url(request)).query)
    assert query == {
        "limit": ["20"], "offset": ["40"], "page": ["2"], "perPage": ["20"],
        "fromDate": ["2026-01-31T12:00:00+00:00"], "resourceId": ["a+b c"],
        "status": ["suspended"],
    }  # fmt: skip
