"""Test that repeated attempts at a piece of work execute it once."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest

from mastra_workflows import MastraClient, WorkflowRun
from mastra_workflows.errors import ConfigurationError, NotSuspendedError, RunFailedError
from testkit.sample_server import ROOT, SampleServer


def charge(key: str, **more: Any) -> dict[str, Any]:
    return {"key": key, "amount": 5, **more}


def test_missing_run_is_started(client: MastraClient, server: SampleServer, key: str) -> None:
    workflow = client.get_workflow("countedCharge")
    attachment = workflow.attach_or_start(key, input_data=charge(key))
    assert attachment.run_id == key
    assert attachment.found is None
    assert workflow.get_run(key).wait().is_success
    assert server.executions(key) == 1


def test_a_pending_run_is_started(client: MastraClient, server: SampleServer, key: str) -> None:
    workflow = client.get_workflow("countedCharge")
    workflow.create_run(key)
    assert workflow.attach_or_start(key, input_data=charge(key)).run_id == key
    assert workflow.get_run(key).wait().is_success
    assert server.executions(key) == 1


def test_running_run_is_attached_to_and_result_is_reused(
    client: MastraClient, server: SampleServer, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    workflow = client.get_workflow("countedCharge")
    workflow.attach_or_start(key, input_data=charge(key, seconds=1))
    again = workflow.attach_or_start(key, input_data=charge(key, seconds=1))
    assert again.found is not None
    assert again.found.is_active
    assert "Attaching to it." in caplog.text
    workflow.get_run(key).wait()
    last = workflow.attach_or_start(key, input_data=charge(key, seconds=1))
    assert last.found is not None
    assert last.found.is_success
    assert "Reusing its result." in caplog.text
    assert "other input" not in caplog.text
    assert server.executions(key) == 1


def test_a_suspended_run_is_attached_to(client: MastraClient, key: str) -> None:
    workflow = client.get_workflow("refundApproval")
    order = {"order": key, "amount": 1, "reason": "broken"}
    workflow.attach_or_start(key, input_data=order)
    suspended = workflow.get_run(key).wait()
    again = workflow.attach_or_start(key, input_data=order)
    assert again.found is not None
    assert again.found.suspensions == suspended.suspensions


def test_failed_run_is_followed_by_the_next_run(
    client: MastraClient, server: SampleServer, key: str
) -> None:
    workflow = client.get_workflow("flakyImport")
    workflow.attach_or_start(key, input_data={"key": key})
    assert workflow.get_run(key).wait().status == "failed"
    ids = [workflow.attach_or_start(key, input_data={"key": key}).run_id for _ in range(3)]
    assert ids == [f"{key}-2"] * 3
    assert workflow.get_run(f"{key}-2").wait().is_success
    assert server.executions(f"{key}/read-file") == 2


def test_from_failed_step_keeps_finished_steps(
    client: MastraClient, server: SampleServer, key: str
) -> None:
    workflow = client.get_workflow("flakyImport")
    workflow.attach_or_start(key, input_data={"key": key})
    workflow.get_run(key).wait()
    attachment = workflow.attach_or_start(
        key, on_failed_run="from_failed_step", input_data={"key": key}
    )
    assert attachment.travelled
    assert attachment.run_id == key
    assert workflow.get_run(key).wait().is_success
    assert server.executions(f"{key}/read-file") == 1
    assert server.executions(key) == 2


def test_failed_run_raises_with_on_failed_run_fail(client: MastraClient, key: str) -> None:
    workflow = client.get_workflow("failingImport")
    workflow.attach_or_start(key)
    workflow.get_run(key).wait()
    with pytest.raises(RunFailedError, match="disk full on import-7"):
        workflow.attach_or_start(key, on_failed_run="fail")


def test_on_failed_run_is_validated_before_any_request() -> None:
    with (
        MastraClient("http://127.0.0.1:9") as client,
        pytest.raises(ConfigurationError, match="on_failed_run is 'retry'"),
    ):
        client.get_workflow("w").attach_or_start("r", on_failed_run="retry")  # type: ignore[arg-type]


def test_ten_concurrent_attempts_execute_once(server: SampleServer, key: str) -> None:
    def attempt(_: int) -> str:
        with MastraClient(server.url) as client:
            workflow = client.get_workflow("countedCharge")
            return workflow.attach_or_start(key, input_data=charge(key, seconds=3)).run_id

    with ThreadPoolExecutor(10) as pool:
        assert set(pool.map(attempt, range(10))) == {key}
    with MastraClient(server.url) as client:
        assert client.get_workflow("countedCharge").get_run(key).wait().is_success
    assert server.executions(key) == 1


def test_ten_concurrent_processes_execute_once(server: SampleServer, key: str) -> None:
    command = [sys.executable, "-m", "tests.core.one_try", server.url, key]
    # Longer than all of them take to send their start: 0.x takes one that comes after the end.
    command.append(json.dumps(charge(key, seconds=5)))
    with ExitStack() as stack:
        tries = [
            stack.enter_context(
                subprocess.Popen(
                    command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                )
            )
            for _ in range(10)
        ]
        for attempt in tries:
            stack.callback(attempt.kill)
        for attempt in tries:
            assert attempt.stdout is not None
            assert attempt.stdout.readline() == "ready\n"
        for attempt in tries:
            assert attempt.stdin is not None
            attempt.stdin.write("now\n")
            attempt.stdin.flush()
        assert [attempt.communicate(timeout=60)[0] for attempt in tries] == [f"{key}\n"] * 10
        assert [attempt.returncode for attempt in tries] == [0] * 10
    with MastraClient(server.url) as client:
        outcome = client.get_workflow("countedCharge").get_run(key).wait()
    assert outcome.result == {"charged": 5}
    assert server.executions(key) == 1


def test_response_is_delivered_once(
    client: MastraClient, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    run = client.get_workflow("refundApproval").get_run(key)
    run.start(input_data={"order": key, "amount": 1, "reason": "broken"})
    run.wait()
    response: dict[str, Any] = {"step": "approve", "resume_data": {"approved": True}}
    run.resume(**response, is_retry=True)
    run.wait()
    assert run.resume(**response, is_retry=True).is_success
    assert "was already resumed with this response" in caplog.text
    with pytest.raises(NotSuspendedError):
        run.resume(step="approve", resume_data={"approved": False}, is_retry=True)


def test_unstorable_response_is_delivered_once(client: MastraClient, key: str) -> None:
    """A record shows NUL as U+FFFD."""
    run = client.get_workflow("refundApproval").get_run(key)
    run.start(input_data={"order": key, "amount": 1, "reason": "broken"})
    run.wait()
    response: dict[str, Any] = {
        "step": "approve",
        "resume_data": {"approved": True, "note": "a\0b"},
    }
    run.resume(**response, is_retry=True)
    assert run.wait().result["note"] == "a\ufffdb"
    assert run.resume(**response, is_retry=True).is_success


def test_concurrent_equal_responses_resume_once(client: MastraClient, key: str) -> None:
    """A task that was taken for dead and its retry: neither fails."""
    run = client.get_workflow("refundApproval").get_run(key)
    run.start(input_data={"order": key, "amount": 1, "reason": "broken"})
    run.wait(on_suspend="return")
    barrier = threading.Barrier(5)

    def attempt(number: int) -> WorkflowRun:
        barrier.wait()
        return run.resume(step="approve", resume_data={"approved": True}, is_retry=number > 0)

    with ThreadPoolExecutor(5) as pool:
        records = list(pool.map(attempt, range(5)))
    assert {record.run_id for record in records} == {key}
    assert run.wait(timeout=30).result["refunded"] == 1


def test_retry_does_not_respond_to_the_next_request(client: MastraClient, key: str) -> None:
    """A try that died after its resume is tried again while the next item of a foreach waits."""
    run = client.get_workflow("photoReview").get_run(key)
    run.start(input_data={"photos": ["a.png", "b.png"]})
    first = run.wait().suspensions[0]
    response: dict[str, Any] = {"step": first.step, "resume_data": {"approved": True}}
    run.resume(**response, is_retry=True)
    again = run.resume(**response, is_retry=True)
    assert again.suspensions[0].payload == {"photo": "b.png"}
    pinned = run.resume(**response, suspended_at=first.suspended_at, is_retry=True)
    assert pinned.suspensions == again.suspensions
    assert not run.resume(**response, is_retry=False).is_suspended
