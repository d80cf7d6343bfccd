"""Test workflows of the event-driven engine, compared with the server's own responses.

The expected results are the responses of ``start-async`` and ``resume-async``, which the official
JavaScript client returns.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from mastra_workflows import MastraClient, Run, WorkflowRun
from mastra_workflows import _api as api
from mastra_workflows._api import Response
from mastra_workflows.hitl._pending_requests import pending_requests
from testkit.sample_server import SampleServer
from tests.support.fault_proxy import FaultProxy
from tests.support.faults import Hold

WORKFLOWS = Path(__file__).parents[1] / "support" / "evented_workflows.mjs"


@pytest.fixture(scope="module")
def evented_server() -> Iterator[SampleServer]:
    with SampleServer("1", workflows=WORKFLOWS) as server:
        yield server


@pytest.fixture(scope="module")
def evented(evented_server: SampleServer) -> Iterator[MastraClient]:
    with MastraClient(evented_server.url) as client:
        yield client


def post(server: SampleServer, run: Run, verb: str, **body: Any) -> Any:
    """What the official client gives back."""
    address = f"{server.url}/api/workflows/{run.workflow.workflow_id}/{verb}"
    return requests.post(address, params={"runId": run.run_id}, json=body, timeout=60).json()


def started(client: MastraClient, workflow: str, key: str, data: Any) -> tuple[Run, WorkflowRun]:
    run = client.get_workflow(workflow).get_run(key)
    run.start(input_data=data)
    return run, run.wait(on_suspend="return", timeout=60)


def test_a_result(evented: MastraClient, evented_server: SampleServer, key: str) -> None:
    _, record = started(evented, "eventedPlain", key, {"x": 1})
    other = evented.get_workflow("eventedPlain").get_run(f"{key}-other")
    response = post(evented_server, other, "start-async", inputData={"x": 1})
    assert record.result == response["result"] == {"x": 2}


def test_a_failure(evented: MastraClient, key: str) -> None:
    _, record = started(evented, "eventedPlain", key, {"x": 1, "fail": True})
    assert record.status == "failed"
    assert record.error is not None
    assert record.error.message == "it was to fail"


@pytest.mark.parametrize("workflow", ["eventedAsks", "scheduled"])
def test_a_request(evented: MastraClient, key: str, workflow: str) -> None:
    run, record = started(evented, workflow, key, {"x": 1})
    [item] = record.suspensions
    assert item.step == ("q",)
    assert item.description == "Asks as q"
    assert item.resume_schema is not None
    assert set(item.resume_schema["properties"]) == {"ok"}
    assert item.payload == {"asked": {"x": 2 if workflow == "eventedAsks" else 1}}
    assert record.result is None
    run.resume(resume_data={"ok": True})
    record = run.wait(timeout=60)
    assert record.result == {"given": item.payload["asked"], "q": True}


def test_parallel_suspensions(evented: MastraClient, key: str) -> None:
    run, record = started(evented, "eventedParallel", key, {"x": 1})
    assert {item.step for item in record.suspensions} == {("a",), ("b.c",)}
    assert all(item.resume_schema for item in record.suspensions)
    record = run.resume_async(step="b.c", resume_data={"ok": True})
    assert [item.step for item in record.suspensions] == [("a",)]
    record = run.resume_async(step=["a"], resume_data={"ok": False})
    assert record.result == {
        "a": {"given": {"x": 1}, "a": False},
        "b.c": {"given": {"x": 1}, "b.c": True},
    }


def test_items_of_a_foreach(evented: MastraClient, key: str) -> None:
    run, record = started(evented, "eventedForeach", key, [1, 2, 3])
    for left in ([0, 1, 2], [0, 2], [0]):
        items = record.suspensions
        assert [(item.step, item.for_each_index) for item in items] == [(("fe",), i) for i in left]
        assert [item.payload for item in items] == [{"asked": index + 1} for index in left]
        assert all(item.resume_schema for item in items)
        index = left[-1] if len(left) != 3 else 1
        record = run.resume_async(resume_data={"ok": True}, for_each_index=index)
    assert record.result == [{"given": number, "fe": True} for number in (1, 2, 3)]


@pytest.mark.parametrize("verb", ["resume", "respond"])
def test_response_resumes_one_item(evented: MastraClient, key: str, verb: str) -> None:
    run, record = started(evented, "eventedForeach", key, [1, 2, 3])
    for index in (1, 2, 0):
        if verb == "resume":
            run.resume(resume_data={"ok": index == 1}, for_each_index=index)
        else:
            pending_request = next(
                one for one in pending_requests(record) if one.suspension.for_each_index == index
            )
            run.respond(pending_request, {"ok": index == 1})
        record = run.wait(timeout=60)
    assert [item["fe"] for item in record.result] == [False, True, False]


def test_item_with_a_lost_resume_response_is_resumed_once(evented: MastraClient, key: str) -> None:
    with FaultProxy(evented.base_url) as proxy, MastraClient(proxy.url) as client:
        run, _ = started(client, "eventedForeach", key, [1, 2])
        hold = Hold(at="response")
        proxy.on("POST", "/resume-async$", hold, nth=1)
        run.resume(resume_data={"ok": True}, for_each_index=1)
        assert [item.for_each_index for item in run.read().suspensions] == [0]
        assert proxy.count("POST", "/resume-async$") == 1
        hold.drop()


def test_nested_suspension(evented: MastraClient, key: str) -> None:
    run, record = started(evented, "eventedDeep", key, {"x": 1})
    for path in (("middle", "inner", "ask"), ("last",)):
        [item] = record.suspensions
        assert item.step == path
        assert item.resume_schema is not None
        run.resume(step=".".join(path), resume_data={"ok": True})
        record = run.wait(on_suspend="return", timeout=60)
    assert record.result == {"given": {"given": {"x": 2}, "ask": True}, "last": True}


def test_resume_returns_the_servers_record(
    evented: MastraClient, evented_server: SampleServer, key: str
) -> None:
    run, _ = started(evented, "eventedNested", key, {"x": 1})
    response = post(
        evented_server, run, "resume-async", step=["inner", "ask"], resumeData={"ok": True}
    )
    assert run.read().result == response["result"] == {"given": {"x": 2}, "ask": True}


@pytest.mark.parametrize(
    "output",
    [{"status": "success", "output": 5}, {"status": "success", "output": 5, "startedAt": 8}],
)
def test_result_that_resembles_a_record_is_unchanged(output: Any) -> None:
    record = {
        "status": "success",
        "result": output,
        "steps": {"a": {"status": "success", "startedAt": 7, "endedAt": 9, "output": output}},
        "serializedStepGraph": [{"type": "step", "step": {"id": "a"}}],
    }
    run = api.parse_run("w", "r", Response(200, {}, json.dumps(record).encode()))
    assert run.result == output


@pytest.mark.parametrize("has_graph", [True, False])
def test_nested_paths_that_begin_with_the_nested_workflow(has_graph: bool) -> None:
    """So 0.18 to 1.20 write them; the inner workflow's own record is in the response since 1.20."""

    def suspended(*path: str) -> dict[str, Any]:
        return {"status": "suspended", "suspendPayload": {"__workflow_meta": {"path": path}}}

    step = {"type": "step", "step": {"id": "ask"}}
    inner = {"type": "step", "step": {"id": "inner", "serializedStepFlow": [step]}}
    middle = {"type": "step", "step": {"id": "middle", "serializedStepFlow": [inner]}}
    record: dict[str, Any] = {
        "status": "suspended",
        "steps": {"middle": suspended("middle", "inner", "ask")},
        "serializedStepGraph": [middle] if has_graph else None,
    }
    for more in ({}, {"middle.inner": suspended("inner", "ask"), "middle.inner.ask": suspended()}):
        record["steps"] |= more
        run = api.parse_run("w", "r", Response(200, {}, json.dumps(record).encode()))
        assert [item.step for item in run.suspensions] == [("middle", "inner", "ask")]


def test_a_nested_workflow_that_holds_a_step_of_its_own_name() -> None:
    step = {"type": "step", "step": {"id": "inner"}}
    meta = {"__workflow_meta": {"path": ["inner"]}}
    record = {
        "status": "suspended",
        "steps": {"inner": {"status": "suspended", "suspendPayload": meta}},
        "serializedStepGraph": [{"type": "workflow", "id": "inner", "serializedStepFlow": [step]}],
    }
    run = api.parse_run("w", "r", Response(200, {}, json.dumps(record).encode()))
    assert [item.step for item in run.suspensions] == [("inner", "inner")]


@pytest.mark.parametrize(
    ("output", "status"), [({"exported": True}, "canceled"), ({"status": "canceled"}, "success")]
)
def test_a_cancellation_that_is_recorded_as_a_success(output: Any, status: str) -> None:
    """So the event-driven engine of 0.x does; a workflow may return the same as its result."""
    step = {"status": "success", "output": output}
    context = {"input": {}, "export": step}
    snapshot = {"status": "success", "context": context, "result": {"status": "canceled"}}
    row = json.dumps({"runId": "r", "snapshot": snapshot})
    run = api.parse_run("w", "r", Response(200, {}, row.encode()))
    assert (run.status, run.result) == (status, None if status == "canceled" else output)
