"""Test step ids that contain dots, and a step with the id ``input``, on real servers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mastra_workflows import MastraClient, Run
from mastra_workflows import _api as api
from mastra_workflows._progress import StepProgress
from testkit.sample_server import Generation, SampleServer
from tests.conftest import EVERY_SERVER

WORKFLOWS = Path(__file__).parents[1] / "support" / "dotted_workflows.mjs"


@pytest.fixture(scope="module", params=EVERY_SERVER)
def dotted(request: pytest.FixtureRequest) -> Iterator[MastraClient]:
    generation: Generation = request.param
    with (
        SampleServer(generation, workflows=WORKFLOWS) as server,
        MastraClient(server.url) as client,
    ):
        yield client


def suspended(client: MastraClient, workflow: str, key: str, data: Any) -> Run:
    run = client.get_workflow(workflow).get_run(key)
    run.start(input_data=data)
    assert run.wait(on_suspend="return", timeout=60).is_suspended
    return run


@pytest.mark.parametrize("step", ["review.v2", "review", "v3.review"])
@pytest.mark.parametrize("as_list", [True, False])
def test_sibling_steps_with_dots(dotted: MastraClient, key: str, step: str, as_list: bool) -> None:
    run = suspended(dotted, "dottedParallel", key, {"x": 1})
    before = {item.step: item for item in run.read().suspensions}
    assert set(before) == {("review",), ("review.v2",), ("v3.review",)}
    for path, item in before.items():
        assert item.payload == {"asked": path[0]}
        assert item.description == f"Asks as {path[0]}"
        assert item.resume_schema is not None
        assert set(item.resume_schema["properties"]) == {path[0]}

    response = {step: True}
    record = run.resume_async(step=[step] if as_list else step, resume_data=response)
    assert {item.step for item in record.suspensions} == set(before) - {(step,)}
    resumed = record.step((step,))
    assert resumed is not None
    assert resumed.output == {"x": 1, step: response}


def test_nested_steps_with_dots(dotted: MastraClient, key: str) -> None:
    run = suspended(dotted, "dottedNested", key, {"x": 1})
    paths = [
        ("inner", "check"),
        ("inner", "check.v2"),
        ("inner.v2", "check"),
        ("inner.v2", "a.b"),
    ]
    details = run.workflow.details()
    assert set(details.steps) == {("start.here",), ("inner",), ("inner.v2",), *paths}
    lines: list[str] = []
    progress = StepProgress(lines.append)
    for path in paths:
        [item] = run.read().suspensions
        assert item.step == path
        assert item.description == f"Asks as {path[-1]}"
        assert item.payload == {"asked": path[-1]}
        run.resume(step=path, resume_data={path[-1]: True})
        record = run.wait(on_suspend="return", timeout=60, on_record=progress.on_record)
    assert record.is_success
    assert {step.path for step in record.steps} >= {("start.here",), *paths}
    assert any(line.startswith("Step 'inner.check.v2' succeeded") for line in lines)


@pytest.mark.smoke
def test_time_travel(dotted: MastraClient, key: str) -> None:
    run = dotted.get_workflow("dottedTravel").get_run(key)
    run.start(input_data={"x": 1})
    assert run.wait(timeout=60).result == {"x": 1, "load": "passed", "load.v2": "passed"}
    run.time_travel(step="load.v2", input_data={"x": 5})
    assert run.wait(timeout=60).result == {"x": 5, "load.v2": "passed"}


def test_a_step_called_input(dotted: MastraClient, key: str) -> None:
    run = suspended(dotted, "stepInput", key, {"x": 1})
    record = run.read()
    assert record.payload == {"x": 1}
    assert [step.path for step in record.steps] == [("input",), ("input.review",)]
    first = record.steps[0]
    assert (first.status, first.output) == ("success", {"x": 1, "input": "passed"})
    [item] = record.suspensions
    assert item.step == ("input.review",)
    done = run.resume_async(resume_data={"input.review": True})
    assert done.result == {"x": 1, "input": "passed", "input.review": {"input.review": True}}
    [listed] = [row for row in run.workflow.runs() if row.run_id == key]
    assert listed.payload == {"x": 1}
    assert listed.step(("input",)) is not None


def test_a_step_called_input_that_asks(dotted: MastraClient, key: str) -> None:
    run = suspended(dotted, "stepInputAsks", key, {"x": 1})
    record = run.read()
    assert record.payload == {"x": 1}
    [item] = record.suspensions
    assert item.step == ("input",)
    assert item.description == "Asks as input"
    done = run.resume_async(resume_data={"input": True})
    assert done.is_success
    assert done.result["input"] == {"input": True}
    assert done.payload == {"x": 1}


def test_foreach_items_of_a_step_with_dots(dotted: MastraClient, key: str) -> None:
    run = suspended(dotted, "dottedForeach", key, [1, 2, 3])
    items = run.read().suspensions
    assert [(item.step, item.for_each_index) for item in items] == [
        (("each.item",), index) for index in range(3)
    ]


def test_names_without_a_graph() -> None:
    paths = api.step_paths(["inner", "inner.a", "b.c", "inner.a.d", "inner.a.d.e"])
    assert paths[:3] == [("inner",), ("inner", "a"), ("b.c",)]


def test_names_with_a_graph() -> None:
    nested = {"type": "step", "step": {"id": "a.b"}}
    graph = [
        {"type": "parallel", "steps": [{"type": "step", "step": {"id": name}} for name in "ab"]},
        {"type": "step", "step": {"id": "a.b"}},
        {"type": "workflow", "id": "w.x", "serializedStepFlow": [nested]},
        {"type": "loop", "step": {"id": "l", "serializedStepFlow": [nested]}},
    ]
    names = ["a", "a.b", "b", "b.c", "w.x", "w.x.a.b", "w.x.new", "l", "l.a.b"]
    assert api.step_paths(names, graph) == [
        ("a",),
        ("a.b",),
        ("b",),
        ("b.c",),
        ("w.x",),
        ("w.x", "a.b"),
        ("w.x", "new"),
        ("l",),
        ("l", "a.b"),
    ]


def test_steps_are_in_the_order_in_which_they_started() -> None:
    steps = {"b": {"status": "running", "startedAt": 7}, "cc": {"status": "success"},
             "ddd": {"status": "success", "startedAt": 3}}  # fmt: skip
    response = api.Response(200, {}, json.dumps({"status": "running", "steps": steps}).encode())
    assert [step.name for step in api.parse_run("w", "r", response).steps] == ["ddd", "b", "cc"]
