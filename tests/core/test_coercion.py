"""Test that validation accepts all data that a real server accepts after Zod's coercion."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mastra_workflows import MastraClient
from mastra_workflows._schemas import check, validation_errors
from mastra_workflows.errors import (
    InvalidInputError,
    InvalidResumeDataError,
    RunMismatchError,
    UnknownRunError,
)
from testkit.sample_server import Generation, SampleServer
from tests.conftest import EVERY_SERVER

WORKFLOWS = Path(__file__).parents[1] / "support" / "coercing_workflows.mjs"
GIVEN = {
    "amount": "12",
    "urgent": "true",
    "day": "12",
    "places": "Oslo",
    "kind": "LARGE",
    "name": "abc   ",
    "more": '{"a": 1}',
}
CONVERTED = {"amount": 12, "urgent": True, "places": ["Oslo"], "kind": "large", "name": "abc"}


@pytest.fixture(scope="module", params=EVERY_SERVER)
def coercing_server(request: pytest.FixtureRequest) -> Iterator[SampleServer]:
    generation: Generation = request.param
    with SampleServer(generation, workflows=WORKFLOWS) as server:
        yield server


@pytest.fixture(scope="module")
def coercing(coercing_server: SampleServer) -> Iterator[MastraClient]:
    with MastraClient(coercing_server.url, start_timeout=2) as client:
        yield client


def expected(server: SampleServer) -> dict[str, Any]:
    """0.x converts nothing, and takes anything."""
    return CONVERTED if server.generation == "1" else {key: GIVEN[key] for key in CONVERTED}


@pytest.mark.version_specific
def test_coerced_input_is_accepted(
    coercing: MastraClient,
    coercing_server: SampleServer,
    key: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        run = coercing.get_workflow("coercedInput").get_run(key)
        run.start(input_data=GIVEN)
        result = run.wait(timeout=60).result
    assert {name: result[name] for name in CONVERTED} == expected(coercing_server)
    assert "$.amount: expected number, got string; the server refuses it unless" in caplog.text


WITHOUT_INPUT = {"anyInput": "{}", "nullInput": "null", "nullableInput": "null"}
"""What each workflow receives that is started without input."""


@pytest.mark.version_specific
@pytest.mark.parametrize("workflow_id", WITHOUT_INPUT)
def test_missing_input_is_accepted(coercing: MastraClient, key: str, workflow_id: str) -> None:
    workflow = coercing.get_workflow(workflow_id)
    workflow.attach_or_start(key)
    received = WITHOUT_INPUT[workflow_id]
    assert workflow.get_run(key).wait(timeout=60).result == {"input": received}
    assert workflow.attach_or_start(key).found is not None
    assert workflow.get_run(f"{key}-async").start_async().result == {"input": received}


@pytest.mark.parametrize("workflow_id", ["undefinedInput", "voidInput"])
def test_a_workflow_that_refuses_any_input(
    coercing: MastraClient, coercing_server: SampleServer, key: str, workflow_id: str
) -> None:
    """Its JSON Schema is that of ``z.any()``, which is sent an empty object."""
    if coercing_server.generation == "0":
        pytest.skip("0.x does not validate input")
    workflow = coercing.get_workflow(workflow_id)
    with pytest.raises(InvalidInputError, match=r"Set its inputSchema to z\.object\(\{\}\)"):
        workflow.attach_or_start(key)
    with pytest.raises(InvalidInputError, match=r"Set its inputSchema to z\.object\(\{\}\)"):
        workflow.get_run(f"{key}-async").start_async()


def test_a_run_id_whose_input_was_refused_can_be_used_again(
    coercing: MastraClient, coercing_server: SampleServer, key: str
) -> None:
    if coercing_server.generation == "0":
        pytest.skip("0.x does not validate input")
    workflow = coercing.get_workflow("coercedInput")
    for run_id in (key, f"{key}-async"):
        run = workflow.get_run(run_id)
        start = run.start_async if run_id != key else run.start
        with pytest.raises(InvalidInputError, match="amount: Invalid input"):
            start(input_data={**GIVEN, "amount": "many"})
        with pytest.raises(UnknownRunError):
            run.read()
        workflow.attach_or_start(run_id, input_data=GIVEN)
        assert run.wait(timeout=60).is_success


@pytest.mark.version_specific
def test_coerced_resume_data_is_accepted(
    coercing: MastraClient, coercing_server: SampleServer, key: str
) -> None:
    run = coercing.get_workflow("coercedResponse").get_run(key)
    assert run.start_async(input_data={}).is_suspended
    result = run.resume_async(resume_data=GIVEN).result
    assert {name: result[name] for name in CONVERTED} == expected(coercing_server)


@pytest.mark.version_specific
def test_input_refused_by_the_server_raises_invalid_input(
    coercing: MastraClient, coercing_server: SampleServer, key: str
) -> None:
    if coercing_server.generation == "0":
        pytest.skip("0.x does not validate input")
    data = {**GIVEN, "amount": "many"}
    workflow = coercing.get_workflow("coercedInput")
    with pytest.raises(InvalidInputError, match=r"amount: Invalid input.*Nothing was executed"):
        workflow.get_run(key).start(input_data=data)
    with pytest.raises(InvalidInputError, match="amount: Invalid input"):
        workflow.get_run(f"{key}-async").start_async(input_data=data)
    run = coercing.get_workflow("coercedResponse").get_run(f"{key}-response")
    assert run.start_async(input_data={}).is_suspended
    for verb in (run.resume, run.resume_async):
        with pytest.raises(InvalidResumeDataError, match=r"amount: .*the step is still suspended"):
            verb(resume_data=data)


def test_missing_field_is_rejected_before_any_request(coercing: MastraClient, key: str) -> None:
    data = {name: value for name, value in GIVEN.items() if name != "amount"}
    with pytest.raises(InvalidInputError, match=r"\$\.amount: required.*Nothing was started"):
        coercing.get_workflow("coercedInput").get_run(key).start(input_data=data)


SCALAR = {"type": "object", "required": ["a"], "properties": {"a": {"type": "number"}}}


@pytest.mark.parametrize("value", ["12", True, None, [5], {"a": 1}])
def test_any_value_may_be_coerced_to_a_scalar(value: Any) -> None:
    assert check(SCALAR, {"a": value}).refused == []
    assert check(SCALAR, {"a": value}).doubtful == validation_errors(SCALAR, {"a": value}) != []


@pytest.mark.parametrize(
    ("schema", "data", "is_certain"),
    [
        (SCALAR, {}, True),
        (SCALAR, 5, True),
        (SCALAR, [], True),
        (SCALAR, "{}", False),
        (SCALAR, None, False),
        ({"type": "array"}, {"a": 1}, False),
        ({"enum": ["a"]}, "A", False),
        ({"type": "number", "minimum": 5}, 4, False),
        ({"anyOf": [SCALAR, {"type": "object", "required": ["b"]}]}, {}, True),
        ({"anyOf": [SCALAR, {"type": "number"}]}, {}, False),
        ({"anyOf": [SCALAR, {"type": "number"}]}, "5", False),
    ],
)
def test_input_that_cannot_be_coerced_is_rejected(schema: Any, data: Any, is_certain: bool) -> None:
    found = check(schema, data)
    assert bool(found.refused) is is_certain
    assert bool(found.doubtful) is not is_certain


@pytest.mark.parametrize(
    "day",
    [
        "2026-11-29T11:00:00.123456+00:00",
        "2026",
        "2026-06",
        "2026-1-2",
        "Jan 1 2026",
        "01/02/2026",
        "Thu, 01 Jan 2026 00:00:00 GMT",
        "2026-01-01T24:00:00Z",
        "+002026-01-01T00:00:00Z",
        "2026-01-01T10:00:00.123456",
        " 2026-01-01",
        "0",
    ],
)
def test_dates_in_different_formats_are_equal_input(
    coercing: MastraClient, key: str, day: str
) -> None:
    workflow = coercing.get_workflow("coercedInput")
    given = {**GIVEN, "day": day}
    workflow.attach_or_start(key, input_data=given)
    assert workflow.attach_or_start(key, input_data=given).found is not None
    with pytest.raises(RunMismatchError, match=r"\$\.day"):
        workflow.attach_or_start(key, input_data={**given, "day": "1999-09-09"})
