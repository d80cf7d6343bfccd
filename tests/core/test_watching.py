"""Test `stream`, `watch` and `resume_stream` on real servers: events are yielded as they arrive."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest

from mastra_workflows import Event, MastraClient
from mastra_workflows.errors import (
    InvalidResumeDataError,
    NotActiveError,
    NotSuspendedError,
    UnknownRunError,
)
from testkit.sample_server import SampleServer
from tests.core.samples import REPORT, charge, marks, suspended_refund

REPORT_MARKS = [
    "start",
    *(f"{kind} {step}" for step in ("fetch-orders", "summarise", "render")
      for kind in ("start", "result")),
    "finish",
]  # fmt: skip


def test_a_run_and_all_its_events(client: MastraClient, key: str) -> None:
    run = client.get_workflow("orderReport").get_run(key)
    with run.stream(input_data=REPORT) as stream:
        events = list(stream)
    assert marks(events) == REPORT_MARKS
    assert {event.run_id for event in events} == {key}
    assert events[-1].is_end
    assert (events[-1].workflow_state or {})["status"] == "success"
    assert run.read().is_success


def test_fields_of_an_event(client: MastraClient, key: str) -> None:
    with client.get_workflow("orderReport").get_run(key).stream(input_data=REPORT) as stream:
        result = next(event for event in stream if event.type == "workflow-step-result")
    assert result.current_step is not None
    assert result.current_step["id"] == "fetch-orders"
    assert result.current_step["status"] == "success"
    assert result.event_timestamp is not None
    assert result.event_timestamp.tzinfo is UTC
    assert abs(datetime.now(UTC) - result.event_timestamp) < timedelta(minutes=1)
    assert result.payload["output"]["city"] == "Köln"


def test_events_arrive_as_they_happen(client: MastraClient, key: str) -> None:
    run = client.get_workflow("coolDown").get_run(key)
    with run.stream(input_data={"seconds": 1}) as stream:
        for event in stream:
            if event.type == "workflow-step-waiting":
                assert run.read().status == "waiting"  # not all at the end
                break
        assert list(stream)[-1].is_end


def test_closing_a_stream_does_not_stop_the_run(
    client: MastraClient, server: SampleServer, key: str
) -> None:
    run = client.get_workflow("countedCharge").get_run(key)
    with run.stream(input_data=charge(key, seconds=0.5)) as stream:
        assert next(stream).type == "workflow-start"
    assert run.wait(timeout=30, poll_interval=0.1).result == {"charged": 5}
    assert server.executions(key) == 1


def test_a_loop_repeats_its_steps(client: MastraClient, key: str) -> None:
    run = client.get_workflow("chattyAgent").get_run(key)
    with run.stream(input_data={"steps": 20, "chunks": 3}) as stream:
        kinds = [event.type for event in stream]
    assert kinds.count("workflow-step-start") == kinds.count("workflow-step-result") == 20
    assert kinds.count("workflow-step-output") == 60


def test_large_records_with_unicode(client: MastraClient, key: str) -> None:
    words = {f"wort {number} 日本": "grüße 🎈" * 50 for number in range(300)}
    run = client.get_workflow("translation").get_run(key)
    with run.stream(input_data={"words": words}) as stream:
        results = [event for event in stream if event.type == "workflow-step-result"]
    assert results[0].payload["output"] == {"words": words}


def test_watch_of_a_running_run(client: MastraClient, key: str) -> None:
    run = client.get_workflow("coolDown").get_run(key)
    run.start(input_data={"seconds": 1})
    with run.watch() as stream:
        events = list(stream)
    seen = {(event.current_step or {}).get("id") for event in events}
    assert "second-call" in seen
    assert events[-1].is_end
    assert (events[-1].workflow_state or {})["status"] == "success"
    assert run.read().is_success


@pytest.mark.version_specific
def test_watch_delivers_each_event_once(
    client: MastraClient, server: SampleServer, key: str
) -> None:
    if server.generation == "0":
        pytest.skip("0.x does not replay events")
    run = client.get_workflow("coolDown").get_run(key)
    run.start(input_data={"seconds": 1})
    with run.watch() as stream:
        kinds = marks(list(stream))
    assert [kind for kind in kinds if "sleep" not in kind] == [
        "start", "start first-call", "result first-call", "start second-call",
        "result second-call", "finish",
    ]  # fmt: skip


def test_several_watchers_receive_all_events(client: MastraClient, key: str) -> None:
    run = client.get_workflow("coolDown").get_run(key)
    run.start(input_data={"seconds": 1})
    with run.watch() as one, run.watch() as other:
        assert list(one)[-1].is_end
        assert list(other)[-1].is_end


@pytest.mark.version_specific
def test_watching_a_run_that_was_suspended_and_resumed(
    client: MastraClient, server: SampleServer, key: str
) -> None:
    run = client.get_workflow("twoRequests").get_run(key)
    run.start(input_data={"campaign": "spring"})
    run.wait(timeout=30)
    run.resume(resume_data={"budget": 5})
    run.wait(timeout=30)
    run.resume(resume_data={"deadline": "2026-01-31"})
    run.wait(timeout=30)
    if server.generation == "0":
        with pytest.raises(NotActiveError, match="nothing to watch"):
            run.watch()
        return
    with run.watch() as stream:
        ends = [(event.workflow_state or {})["status"] for event in stream if event.is_end]
    assert ends == ["suspended", "suspended", "success"]


@pytest.mark.version_specific
def test_watching_a_suspended_run(client: MastraClient, server: SampleServer, key: str) -> None:
    run = client.get_workflow("twoRequests").get_run(key)
    run.start(input_data={"campaign": "spring"})
    run.wait(timeout=30)
    with run.watch() as stream:
        if server.generation == "0":  # tells what happens from now on, for as long as it takes
            run.resume(resume_data={"budget": 5})
        last = next(event for event in stream if event.is_end)
    assert (last.workflow_state or {})["status"] == "suspended"


def test_watch_of_an_unknown_run(client: MastraClient, key: str) -> None:
    with pytest.raises(UnknownRunError, match=f"no run '{key}'"):
        client.get_workflow("orderReport").get_run(key).watch()


def test_resuming_and_watching(client: MastraClient, key: str) -> None:
    run = suspended_refund(client, key)
    with run.resume_stream(step="approve", resume_data={"approved": True}) as stream:
        events = list(stream)
    assert [mark for mark in marks(events) if "pay-back" in mark] == [
        "start pay-back", "result pay-back",
    ]  # fmt: skip
    assert "result approve" in marks(events)
    assert events[-1].is_end
    assert run.read().result == {"order": "A-17", "refunded": 2500}


def test_closing_a_resume_stream_does_not_stop_the_run(client: MastraClient, key: str) -> None:
    run = suspended_refund(client, key)
    with run.resume_stream(resume_data={"approved": False}) as stream:
        first: list[Event] = list(islice(stream, 1))
    assert first[0].type == "workflow-start"
    assert run.wait(timeout=30).result["refunded"] == 0


def test_resume_stream_of_a_run_that_is_not_suspended(client: MastraClient, key: str) -> None:
    run = suspended_refund(client, key)
    with pytest.raises(InvalidResumeDataError):
        run.resume_stream(resume_data={"note": "approved is required"})
    with pytest.raises(NotSuspendedError):
        run.resume_stream(step="pay-back", resume_data={"approved": True})
    assert run.read().is_suspended
