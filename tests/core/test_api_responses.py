"""Test parsing of responses: those of real servers become models, any other raises our errors."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import UTC
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastra_workflows import _api as api
from mastra_workflows._api import Response, ServerGeneration
from mastra_workflows.errors import (
    ApiError,
    AuthenticationError,
    BodyTooLargeError,
    ForeignRunError,
    MastraError,
    NotMastraError,
    UnavailableError,
    UnknownRunError,
    UnknownWorkflowError,
)
from tests.core import recorded
from tests.core.strategies import JSON_VALUES

every_generation = pytest.mark.parametrize("generation", recorded.GENERATIONS)


@every_generation
def test_a_run_that_succeeded(generation: recorded.Recorded) -> None:
    run = recorded.run(generation, "success", "orderReport", "run-1")
    assert (run.workflow_id, run.run_id, run.status) == ("orderReport", "run-1", "success")
    assert run.payload == {"city": "Köln", "limit": 1}
    assert run.result["text"] == "Köln: 1 orders, 10 EUR"
    assert [step.name for step in run.steps] == ["fetch-orders", "summarise", "render"]
    assert {step.status for step in run.steps} == {"success"}
    assert run.steps[1].output["total"] == 1000
    assert all(step.started_at and step.started_at.tzinfo is UTC for step in run.steps)
    assert all(step.seconds is not None and step.seconds >= 0 for step in run.steps)
    assert run.error is None
    assert run.suspensions == ()


@every_generation
def test_a_run_that_failed(generation: recorded.Recorded) -> None:
    run = recorded.run(generation, "failed")
    assert run.error is not None
    assert (run.error.name, run.error.message) == ("Error", "disk full on import-7")
    failed = run.step(("store-rows",))
    assert failed is not None
    assert failed.error is not None
    assert failed.error.message == "disk full on import-7"
    assert failed.status == "failed"


@every_generation
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("suspended", [("approve", {"order": "A-17", "amount": 2500, "reason": "broken"})]),
        ("suspended-nested", [("inner.approve", {"document": "plan"})]),
        ("suspended-parallel", [
            ("legal", {"department": "legal", "document": "plan"}),
            ("finance", {"department": "finance", "document": "plan"})]),
        ("suspended-foreach", [("review[0]", {"photo": "a.jpg"})]),
    ],
)  # fmt: skip
def test_suspensions_of_a_run(
    generation: recorded.Recorded, name: str, expected: list[tuple[str, Any]]
) -> None:
    run = recorded.run(generation, name)
    assert [(item.name, item.payload) for item in run.suspensions] == expected
    assert all(item.suspended_at is not None for item in run.suspensions)
    assert "__workflow_meta" not in str(run.to_dict()["suspensions"])
    assert "__workflow_meta" not in str([step.suspend_payload for step in run.steps])


@every_generation
def test_the_items_of_a_foreach(generation: recorded.Recorded) -> None:
    items = recorded.run(generation, "suspended-items").suspensions
    assert [item.for_each_index for item in items] == [0, 1, 2]
    assert items[0].payload == {"photo": "a.jpg"}
    # 0.x keeps the request of the first item only.
    rest = {"v0": [{}, {}], "v1": [{"photo": "b.jpg"}, {"photo": "c.jpg"}]}[generation]
    assert [item.payload for item in items[1:]] == rest


@every_generation
@pytest.mark.parametrize(
    ("name", "status", "state"),
    [
        ("pending", "pending", "is_pending"),
        ("running", "running", "is_active"),
        ("waiting", "waiting", "is_active"),
        ("suspended", "suspended", "is_suspended"),
        ("canceled", "canceled", "is_finished"),
        ("bailed", "success", "is_success"),
        ("resumed", "success", "is_success"),
    ],
)
def test_statuses(generation: recorded.Recorded, name: str, status: str, state: str) -> None:
    run = recorded.run(generation, name)
    assert run.status == status
    assert getattr(run, state)
    assert run.is_suspended or run.suspensions == ()


@every_generation
def test_a_page_of_runs(generation: recorded.Recorded) -> None:
    runs = api.parse_runs("orderReport", recorded.response(generation, "runs"))
    assert [run.run_id for run in runs] == ["success", "pending"]
    assert runs[0].result["city"] == "Köln"
    assert runs[0].payload == {"city": "Köln", "limit": 1}
    assert [step.name for step in runs[0].steps] == ["fetch-orders", "summarise", "render"]
    assert all(run.created_at and run.created_at.tzinfo for run in runs)


@every_generation
def test_details(generation: recorded.Recorded) -> None:
    found = api.parse_details("orderReport", recorded.response(generation, "details-orderReport"))
    assert (found.key, found.name) == ("orderReport", "order-report")
    assert found.description == "Reports a city's orders of a day"
    assert found.input_schema is not None
    assert "city" in found.input_schema["properties"]
    assert found.output_schema is not None
    assert list(found.steps) == [("fetch-orders",), ("summarise",), ("render",)]
    assert [entry["step"]["id"] for entry in found.step_graph] == [
        "fetch-orders", "summarise", "render",
    ]  # fmt: skip


@every_generation
def test_details_of_nested_steps(generation: recorded.Recorded) -> None:
    found = api.parse_details("w", recorded.response(generation, "details-nestedApproval"))
    assert set(found.steps) == {("inner",), ("inner", "approve"), ("publish",)}
    assert found.steps[("inner",)].is_workflow
    approve = found.steps[("inner", "approve")]
    assert not approve.is_workflow
    assert approve.resume_schema is not None
    assert approve.resume_schema["required"] == ["approved"]
    assert approve.suspend_schema is not None


def test_server_generation_is_detected() -> None:
    assert api.parse_server(recorded.response("v0", "packages")) == (ServerGeneration.V0, None)
    assert api.parse_server(recorded.response("v1", "packages"))[0] is ServerGeneration.V1


@pytest.mark.parametrize(
    ("version", "expected"),
    [("1.71.0", (1, 71, 0)), ("1.2.3-beta.1", (1, 2, 3)), ("next", None), (None, None)],
)
def test_version_of_servers_that_report_it(version: Any, expected: Any) -> None:
    packages = [{"name": "other", "version": "9"}, {"name": "@mastra/core", "version": version}]
    found = api.parse_server(recorded.json_response({"packages": packages}))
    assert found == (ServerGeneration.V1, expected)


@pytest.mark.parametrize(
    ("names", "paths"),
    [
        (["a", "b"], [("a",), ("b",)]),
        (["inner", "inner.approve"], [("inner",), ("inner", "approve")]),
        (["inner.approve", "inner"], [("inner", "approve"), ("inner",)]),
        (["v1.2"], [("v1.2",)]),
        (["v1", "v1.2"], [("v1",), ("v1", "2")]),
        (["a", "a.b", "a.b.c"], [("a",), ("a", "b"), ("a", "b", "c")]),
        (["a", "a.b.c"], [("a",), ("a", "b.c")]),
        (["ab", "a"], [("ab",), ("a",)]),
        ([], []),
    ],
)
def test_step_paths(names: list[str], paths: list[tuple[str, ...]]) -> None:
    assert api.step_paths(names) == paths


@given(st.lists(st.text("ab.", min_size=1, max_size=6), unique=True))
def test_step_path_round_trip(names: list[str]) -> None:
    assert [".".join(path) for path in api.step_paths(names)] == names


@every_generation
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("no-token", AuthenticationError),
        ("wrong-token", AuthenticationError),
        ("unknown-workflow", UnknownWorkflowError),
        ("unknown-workflow-of-run", UnknownWorkflowError),
        ("unknown-run", UnknownRunError),
        ("cut", UnavailableError),
        ("resume-async-refused", ApiError),
    ],
)
def test_http_errors(generation: recorded.Recorded, name: str, kind: type[ApiError]) -> None:
    response = recorded.response(generation, name)
    with pytest.raises(kind) as caught:
        api.check(response)
    assert type(caught.value) is kind
    assert caught.value.status_code == response.status_code
    assert caught.value.server_message == recorded.body(generation, name)["error"]
    assert str(response.status_code) in str(caught.value)


def test_status_413_raises_body_too_large() -> None:
    with pytest.raises(BodyTooLargeError, match=r"\(413\): Request body too large"):
        api.check(recorded.response("v1", "too-large"))


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("3", 3), ("0.5", 0.5), ("-1", 0), ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("nan", None)],
)
def test_retry_after(header: str, seconds: float | None) -> None:
    with pytest.raises(UnavailableError) as caught:
        api.check(Response(429, {"retry-after": header}, b""))
    assert caught.value.retry_after == seconds


def places(data: Any) -> Iterator[tuple[Any, Any]]:
    keys = list(data) if isinstance(data, dict) else range(len(data))
    for key in keys:
        yield data, key
        if isinstance(data[key], dict | list):
            yield from places(data[key])


PARSERS: dict[str, Callable[[Response], object]] = {
    "success": lambda response: api.parse_run("w", "success", response),
    "suspended-nested": lambda response: api.parse_run("w", "suspended-nested", response),
    "suspended-items": lambda response: api.parse_run("w", "suspended-items", response),
    "failed": lambda response: api.parse_run("w", "failed", response),
    "runs": lambda response: api.parse_runs("w", response),
    "details-nestedApproval": lambda response: api.parse_details("w", response),
    "packages": api.parse_server,
}


WRONG_VALUES: tuple[Any, ...] = (None, True, 7, "x", "", [], {}, [7], {"a": 7}, {"status": "x"})


@every_generation
@pytest.mark.parametrize("name", [name for name in PARSERS if name != "packages"])
def test_records_with_one_value_replaced(generation: recorded.Recorded, name: str) -> None:
    body = recorded.body(generation, name)
    for holder, key in list(places(body)):
        right = holder[key]
        for wrong in WRONG_VALUES:
            holder[key] = wrong
            with contextlib.suppress(NotMastraError):
                PARSERS[name](recorded.json_response(body))
        holder[key] = right


@given(JSON_VALUES)
def test_parsers_accept_or_reject_any_json(value: Any) -> None:
    for parse in (*PARSERS.values(), api.parse_workflows):
        with contextlib.suppress(MastraError):
            parse(recorded.json_response(value))


@every_generation
def test_unknown_fields_and_statuses_pass_through(generation: recorded.Recorded) -> None:
    body = recorded.body(generation, "success")
    body["status"] = "hovering"
    body["newField"] = body["steps"]["render"]["newField"] = {"x": 1}
    body["steps"]["render"]["status"] = "levitating"
    run = api.parse_run("w", body.get("runId", "r"), recorded.json_response(body))
    assert run.status == "hovering"
    assert run.is_active
    assert run.steps[-1].status == "levitating"


@pytest.mark.parametrize("content", [b"", b"<html></html>", b'{"status": "suc', b"[" * 200_000])
def test_response_that_is_not_json(content: bytes) -> None:
    with pytest.raises(NotMastraError, match="the base URL and the API prefix"):
        api.parse_run("w", "r", Response(200, {"content-type": "text/html"}, content))


@pytest.mark.parametrize(
    ("workflow_id", "workflow_name"),
    [
        ("order-report", None),
        ("orderReport", None),
        ("orderReport", "order-report"),
        ("order-report", "renamed"),
    ],
)
def test_record_of_the_requested_run_is_accepted(
    workflow_id: str, workflow_name: str | None
) -> None:
    response = recorded.response("v1", "success")
    run = api.parse_run(workflow_id, "success", response, workflow_name=workflow_name)
    assert (run.workflow_id, run.run_id) == (workflow_id, "success")


@pytest.mark.parametrize(
    ("workflow_id", "run_id", "workflow_name"),
    [
        ("orderReport", "other", None),
        ("orderReport", "other", "order-report"),
        ("refundApproval", "success", "refund-approval"),
    ],
)
def test_record_of_another_run_is_rejected(
    workflow_id: str, run_id: str, workflow_name: str | None
) -> None:
    response = recorded.response("v1", "success")
    with pytest.raises(ForeignRunError) as caught:
        api.parse_run(workflow_id, run_id, response, workflow_name=workflow_name)
    assert repr(run_id) in str(caught.value)
    assert isinstance(caught.value, NotMastraError)
