"""Test each row of the table in docs/reference/client-methods.md on each server of the rig."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from mastra_workflows import AsyncMastraClient, MastraClient, ServerGeneration
from mastra_workflows.errors import (
    ApiError,
    NotSuspendedError,
    RunFailedError,
    UnsupportedError,
)
from mastra_workflows.hitl._pending_requests import PendingRequest, pending_requests
from tests.core.samples import REFUND, REPORT, charge, names, suspended_refund
from tests.servers.conftest import unsupported
from tests.servers.rig import Endpoint

AT_ONCE = 20
PATIENCE = 40  # seconds; some engines never end a run
LONG = 8  # seconds; on 0.x a start that comes after the run's end executes again
feature = pytest.mark.feature


@feature("list_workflows")
def test_list_workflows(client: MastraClient) -> None:
    keys = {workflow.key for workflow in client.list_workflows()}
    assert {"orderReport", "refundApproval", "eventedRefundApproval"} <= keys


@feature("details")
def test_details(client: MastraClient) -> None:
    details = client.get_workflow("refundApproval").details()
    assert details.input_schema is not None
    step = details.steps["approve",]
    assert step.resume_schema is not None
    assert step.resume_schema["required"] == ["approved"]


@feature("create_run")
def test_create_run(client: MastraClient, key: str) -> None:
    assert client.get_workflow("orderReport").create_run(key).read().is_pending


@feature("start")
def test_start(client: MastraClient, key: str) -> None:
    run = client.get_workflow("orderReport").get_run(key)
    run.start(input_data=REPORT)
    assert run.wait(timeout=60).raise_for_status().result["orders"] == 2


@feature("start_async")
def test_start_async(client: MastraClient, key: str) -> None:
    record = client.get_workflow("orderReport").get_run(key).start_async(input_data=REPORT)
    assert record.raise_for_status().result["orders"] == 2


@feature("stream")
def test_stream(client: MastraClient, key: str) -> None:
    run = client.get_workflow("orderReport").get_run(key)
    with run.stream(input_data=REPORT) as stream:
        events = list(stream)
    seen = [event.current_step["id"] for event in events if event.current_step]
    assert list(dict.fromkeys(seen)) == ["fetch-orders", "summarise", "render"]
    assert events[-1].is_end
    assert run.read().is_success


@feature("watch")
def test_watch(client: MastraClient, key: str) -> None:
    run = client.get_workflow("coolDown").get_run(key)
    run.start(input_data={"seconds": 3})
    with run.watch() as stream:
        events = list(stream)
    assert "second-call" in {(event.current_step or {}).get("id") for event in events}
    assert events[-1].is_end


@feature("resume")
def test_resume(client: MastraClient, key: str) -> None:
    run = suspended_refund(client, key)
    run.resume(step="approve", resume_data={"approved": True, "note": "Grüße"})
    assert run.wait(timeout=60).result == {"order": "A-17", "refunded": 2500, "note": "Grüße"}


@feature("resume_async")
def test_resume_async(client: MastraClient, key: str) -> None:
    record = suspended_refund(client, key).resume_async(resume_data={"approved": False})
    assert record.raise_for_status().result["refunded"] == 0


@feature("resume_stream")
def test_resume_stream(client: MastraClient, key: str) -> None:
    run = suspended_refund(client, key)
    with run.resume_stream(resume_data={"approved": True}) as stream:
        events = list(stream)
    assert events[-1].is_end
    assert run.read().is_success


@feature("run_execution_result, read")
def test_read(client: MastraClient, key: str) -> None:
    workflow = client.get_workflow("orderReport")
    workflow.get_run(key).start_async(input_data=REPORT)
    record = workflow.run_execution_result(key)
    assert record.payload == REPORT
    assert [step.name for step in record.steps] == ["fetch-orders", "summarise", "render"]
    assert all(step.seconds is not None for step in record.steps)


@feature("runs")
def test_runs(client: MastraClient, key: str) -> None:
    workflow = client.get_workflow("orderReport")
    for number in range(3):
        workflow.get_run(f"{key}-{number}").start_async(input_data=REPORT)
    found = [run.run_id for run in workflow.runs(page_size=2)]
    assert len(found) == len(set(found))
    assert {f"{key}-{number}" for number in range(3)} <= set(found)


@feature("a failed run and its error")
def test_failed(client: MastraClient, key: str) -> None:
    run = client.get_workflow("failingImport").get_run(key)
    run.start(input_data={"file": "orders.csv"})
    with pytest.raises(RunFailedError, match=r"'store-rows'.*disk full on import-7"):
        run.wait(timeout=60).raise_for_status()


@feature("cancel a run at work")
def test_cancel(client: MastraClient, key: str) -> None:
    run = client.get_workflow("slowExport").get_run(key)
    run.start(input_data={"seconds": 3600})
    assert run.cancel().is_confirmed
    assert run.read().status == "canceled"


@feature("cancel a suspended run")
def test_cancel_suspended(client: MastraClient, key: str) -> None:
    run = suspended_refund(client, key)
    cancellation = run.cancel(confirm_timeout=1)
    if client.server_generation() is ServerGeneration.V0:
        assert cancellation.run.is_suspended
        assert not cancellation.is_confirmed
        unsupported("cancel")
    assert cancellation.run.status == "canceled"


@feature("delete")
def test_delete(client: MastraClient, key: str) -> None:
    run = client.get_workflow("orderReport").get_run(key)
    run.start_async(input_data=REPORT)
    try:
        run.delete()
    except UnsupportedError:
        unsupported("delete")
    assert key not in {row.run_id for row in client.get_workflow("orderReport").runs()}


@feature("time_travel")
def test_time_travel(endpoint: Endpoint, client: MastraClient, key: str, version: str) -> None:
    run = client.get_workflow("flakyImport").get_run(key)
    assert run.start_async(input_data={"key": key}).status == "failed"
    try:
        run.time_travel(step="store-rows")
    except (UnsupportedError, ApiError):
        _only_before_0_24_8(version)
        raise
    assert run.wait(timeout=60).result == {"stored": 3, "attempts": 2}
    assert endpoint.executions(f"{key}/read-file") == 1


@feature("restart, after a crash")
def test_restart(endpoint: Endpoint, client: MastraClient, key: str, version: str) -> None:
    run = client.get_workflow("countedCharge").get_run(key)
    run.start(input_data=charge(key, seconds=5))
    endpoint.lose_runs()
    assert run.read().status == "running"  # for ever, if nobody does something
    try:
        run.restart()
    except (UnsupportedError, ApiError):
        _only_before_0_24_8(version)
        raise
    assert run.wait(timeout=60).result == {"charged": 5}
    assert endpoint.executions(key) == 2


def _only_before_0_24_8(version: str) -> None:
    if version.startswith("0.18."):
        unsupported("restart")


@feature("start: {count} at once execute once")
@pytest.mark.parametrize("count", [AT_ONCE])
def test_starts_at_once(endpoint: Endpoint, key: str, count: int) -> None:
    barrier = threading.Barrier(count)

    def start(_: int) -> str:
        with endpoint.client() as client:
            run = client.get_workflow("countedCharge").get_run(key)
            barrier.wait()
            run.start(input_data=charge(key, seconds=LONG))
            return run.wait(timeout=120).status

    with ThreadPoolExecutor(count) as pool:
        assert set(pool.map(start, range(count))) == {"success"}
    assert endpoint.executions(key) == 1


@feature("start: {count} one after the other execute once")
@pytest.mark.parametrize("count", [3])
def test_starts_in_a_row(endpoint: Endpoint, key: str, count: int) -> None:
    for _ in range(count):
        with endpoint.client() as client:
            client.get_workflow("countedCharge").get_run(key).start(
                input_data=charge(key, seconds=1)
            )
    with endpoint.client() as client:
        assert client.get_workflow("countedCharge").get_run(key).wait(timeout=60).is_success
        found = (
            client.get_workflow("countedCharge")
            .get_run(key)
            .start(input_data=charge(key, seconds=1))
        )
        assert found.found is not None
    assert endpoint.executions(key) == 1


@feature("attach_or_start: the next run after a failed one")
def test_attach_or_start(endpoint: Endpoint, client: MastraClient, key: str) -> None:
    workflow = client.get_workflow("flakyImport")
    ids = []
    for _ in range(3):
        attachment = workflow.attach_or_start(key, input_data={"key": key})
        ids.append(attachment.run_id)
        workflow.get_run(attachment.run_id).wait(timeout=60)
    assert ids == [key, f"{key}-2", f"{key}-2"]
    assert endpoint.executions(key) == 2


@feature("resume: one resume, however often")
def test_resume_is_idempotent(client: MastraClient, key: str) -> None:
    run = suspended_refund(client, key)
    for _ in range(3):
        run.resume(step="approve", resume_data={"approved": True}, is_retry=True)
    assert run.wait(timeout=60).is_success


@feature("resume, while the resumed step works")
def test_resume_attaches_to_an_executing_step(client: MastraClient, key: str) -> None:
    run = client.get_workflow("slowReview").get_run(key)
    run.start_async(input_data={"seconds": LONG})
    for _ in range(3):
        run.resume(step="first", resume_data={"approved": True}, is_retry=True)
    with pytest.raises(NotSuspendedError):
        run.resume(step="first", resume_data={"approved": False}, is_retry=True)
    record = run.wait(timeout=60, on_suspend="return")
    [first] = [step for step in record.steps if step.path == ("first",)]
    assert first.output == {"approved": True}
    run.cancel(confirm_timeout=1)


@feature("respond, beside a branch at work")
def test_respond(client: MastraClient, key: str) -> None:
    run = client.get_workflow("slowReview").get_run(key)
    first, second = pending_requests(run.start_async(input_data={"seconds": 1}))
    run.respond(first, {"approved": True})
    run.respond(second, {"approved": False})
    result = run.wait(timeout=60).raise_for_status().result
    assert result == {"first": {"approved": True}, "second": {"approved": False}}


@feature("new_pending_requests")
def test_new_pending_requests(client: MastraClient, key: str) -> None:
    run = suspended_refund(client, key)
    workflow = client.get_workflow("refundApproval")
    look = workflow.new_pending_requests()
    [pending_request] = [
        pending_request
        for pending_request in look.pending_requests
        if pending_request.run_id == key
    ]
    assert key not in {
        pending_request.run_id
        for pending_request in workflow.new_pending_requests(look.state).pending_requests
    }
    assert run.respond(pending_request, {"approved": True}).run_id == key


@feature("wait, by events")
def test_wait(endpoint: Endpoint, client: MastraClient, key: str) -> None:
    told: list[str] = []
    run = client.get_workflow("coolDown").get_run(key)
    run.start(input_data={"seconds": 3})
    record = run.wait(timeout=60, poll_interval=20, on_event=lambda event: told.append(event.type))
    assert record.result == {"called": 2}
    if len(endpoint.servers) > 1:
        unsupported("replica-events")
    assert told


@feature("wait, by polling")
def test_wait_polling(client: MastraClient, key: str) -> None:
    run = client.get_workflow("slowExport").get_run(key)
    run.start(input_data={"seconds": 1})
    assert run.wait(timeout=60, observe=False).result == {"exported": True}


@feature("the asyncio client")
async def test_asyncio(endpoint: Endpoint, key: str) -> None:
    async with AsyncMastraClient(endpoint.url, **endpoint.arguments) as client:
        asking, slow = (
            client.get_workflow(workflow).get_run(f"{key}-{workflow}")
            for workflow in ("refundApproval", "slowExport")
        )
        await asking.start(input_data=REFUND)
        await slow.start(input_data={"seconds": 3600})
        [pending_request] = pending_requests(await asking.wait(timeout=60))
        await asking.respond(pending_request, {"approved": True})
        ended, cancellation = await asyncio.gather(asking.wait(timeout=60), slow.cancel())
        assert ended.raise_for_status().result["refunded"] == 2500
        assert cancellation.run.status == "canceled"


@feature("a suspension: a step id with a dot")
def test_dotted(client: MastraClient, key: str) -> None:
    run = client.get_workflow("dottedReview").get_run(key)
    [pending_request] = pending_requests(run.start_async(input_data={"document": "plan"}))
    assert pending_request.suspension.step == ("review.v2",)
    assert pending_request.suspension.resume_schema is not None
    run.respond(pending_request, {"approved": True})
    assert run.wait(timeout=60).result == {"document": "plan", "approved": True}


def _pending(client: MastraClient, workflow: str, key: str, data: object) -> list[PendingRequest]:
    """A started run's requests, each with a form."""
    run = client.get_workflow(workflow).get_run(key)
    run.start(input_data=data)
    found = list(pending_requests(run.wait(timeout=PATIENCE)))
    assert found
    assert all(pending_request.suspension.resume_schema for pending_request in found)
    return found


ENGINES = pytest.mark.parametrize("engine", ["default", "evented"])


def _key(engine: str, workflow: str) -> str:
    return workflow if engine == "default" else f"evented{workflow[0].upper()}{workflow[1:]}"


@ENGINES
@feature("{engine} engine: a run and its result")
def test_engine_run(client: MastraClient, key: str, engine: str) -> None:
    run = client.get_workflow(_key(engine, "orderReport")).get_run(key)
    run.start(input_data=REPORT)
    record = run.wait(timeout=PATIENCE).raise_for_status()
    assert record.result["orders"] == 2
    assert [step.name for step in record.steps] == ["fetch-orders", "summarise", "render"]


@ENGINES
@feature("{engine} engine: {count} starts at once execute once")
@pytest.mark.parametrize("count", [AT_ONCE])
def test_engine_starts_at_once(endpoint: Endpoint, key: str, engine: str, count: int) -> None:
    barrier = threading.Barrier(count)

    def start(_: int) -> str:
        with endpoint.client() as client:
            run = client.get_workflow(_key(engine, "countedCharge")).get_run(key)
            barrier.wait()
            run.start(input_data=charge(key, seconds=LONG))
            return run.wait(timeout=120).status

    with ThreadPoolExecutor(count) as pool:
        assert set(pool.map(start, range(count))) == {"success"}
    assert endpoint.executions(key) == 1


@ENGINES
@feature("{engine} engine: cancel")
def test_engine_cancel(client: MastraClient, key: str, engine: str) -> None:
    run = client.get_workflow(_key(engine, "slowExport")).get_run(key)
    run.start(input_data={"seconds": 3600})
    assert run.cancel().run.status == "canceled"


@ENGINES
@feature("{engine} engine: a plain suspension")
def test_engine_plain(client: MastraClient, key: str, engine: str) -> None:
    workflow = _key(engine, "refundApproval")
    [pending_request] = _pending(client, workflow, key, REFUND)
    assert pending_request.suspension.name == "approve"
    assert pending_request.suspension.payload == REFUND
    run = client.get_workflow(workflow).get_run(key)
    run.respond(pending_request, {"approved": True})
    assert run.wait(timeout=PATIENCE).raise_for_status().result["refunded"] == 2500


@ENGINES
@feature("{engine} engine: suspended in a nested workflow")
def test_engine_nested(client: MastraClient, key: str, engine: str) -> None:
    workflow = _key(engine, "nestedApproval")
    [pending_request] = _pending(client, workflow, key, {"document": "plan"})
    assert pending_request.suspension.step == ("inner", "approve")
    run = client.get_workflow(workflow).get_run(key)
    run.respond(pending_request, {"approved": True})
    assert run.wait(timeout=PATIENCE).result == {"document": "plan", "published": True}


@ENGINES
@feature("{engine} engine: suspended in parallel branches")
def test_engine_parallel(client: MastraClient, key: str, engine: str) -> None:
    workflow = _key(engine, "parallelReview")
    found = _pending(client, workflow, key, {"document": "plan"})
    assert sorted(pending_request.suspension.name for pending_request in found) == [
        "finance",
        "legal",
    ]
    run = client.get_workflow(workflow).get_run(key)
    for pending_request in found:
        run.respond(pending_request, {"approved": True})
        record = run.wait(timeout=PATIENCE)
    assert record.raise_for_status().result == {"approved": True}


@ENGINES
@feature("{engine} engine: one foreach item after the other")
def test_engine_items(client: MastraClient, key: str, engine: str, version: str) -> None:
    workflow = _key(engine, "photoReview")
    run = client.get_workflow(workflow).get_run(key)
    run.start(input_data={"photos": ["a", "b"]})
    for number, photo in enumerate("ab"):
        found = pending_requests(run.wait(timeout=PATIENCE))
        if found[0].suspension.name == "review" and version.startswith("0.18."):
            unsupported("item-index")
        # The event-driven engine executes the next item although this one is suspended.
        pending = range(number, 2) if engine == "evented" else [number]
        assert [pending_request.suspension.name for pending_request in found] == [
            f"review[{i}]" for i in pending
        ]
        assert [pending_request.suspension.payload for pending_request in found] == [
            {"photo": "ab"[i]} for i in pending
        ]
        run.respond(found[0], {"approved": photo == "b"})
    result = run.wait(timeout=PATIENCE).raise_for_status().result
    assert [item["approved"] for item in result] == [False, True]


@ENGINES
@feature("{engine} engine: foreach items at once, each its own response")
def test_engine_items_at_once(client: MastraClient, key: str, engine: str, version: str) -> None:
    workflow = _key(engine, "photoReviewAtOnce")
    run = client.get_workflow(workflow).get_run(key)
    run.start(input_data={"photos": ["a", "b", "c"]})
    found = names(run.wait(timeout=PATIENCE))
    if found == ["review"] and version.startswith("0.18."):
        unsupported("item-index")
    assert found == ["review[0]", "review[1]", "review[2]"]
    for number in (2, 0, 1):
        try:
            run.resume(for_each_index=number, resume_data={"approved": number == 2})
        except UnsupportedError as error:
            if "Nothing was sent" not in str(error):
                raise
            unsupported("items")
        record = run.wait(timeout=PATIENCE)
    assert [item["approved"] for item in record.raise_for_status().result] == [False, False, True]


@ENGINES
@feature("{engine} engine: suspended in a loop, again and again")
def test_engine_loop(client: MastraClient, key: str, engine: str) -> None:
    run = client.get_workflow(_key(engine, "reviseLoop")).get_run(key)
    run.start(input_data={"topic": key})
    for number, verdict in enumerate(("revise", "revise", "approve"), start=1):
        [pending_request] = pending_requests(run.wait(timeout=PATIENCE))
        assert pending_request.suspension.name == "review"
        assert pending_request.suspension.payload["round"] == number
        run.respond(pending_request, {"verdict": verdict})
    assert run.wait(timeout=PATIENCE).raise_for_status().result["round"] == 3
