"""Test a retried resume while the resumed step is still running, on real servers.

Mastra 1.71 shows a resume in the run's record only after the resumed part has finished.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mastra_workflows import AsyncMastraClient, MastraClient, Run
from mastra_workflows.errors import NotSuspendedError
from testkit.sample_server import Generation, SampleServer
from tests.conftest import EVERY_SERVER

WORKFLOWS = Path(__file__).parents[1] / "support" / "slow_workflows.mjs"
LONG = 3600
YES: dict[str, Any] = {"ok": True}


@pytest.fixture(scope="module", params=EVERY_SERVER)
def slow_server(request: pytest.FixtureRequest) -> Iterator[SampleServer]:
    generation: Generation = request.param
    with SampleServer(generation, workflows=WORKFLOWS) as server:
        yield server


@pytest.fixture(scope="module")
def slow(slow_server: SampleServer) -> Iterator[MastraClient]:
    with MastraClient(slow_server.url) as client:
        yield client


@contextmanager
def suspended(client: MastraClient, workflow: str, key: str, **data: Any) -> Iterator[Run]:
    """A run that waits for a response; cancelled at the end."""
    run = client.get_workflow(workflow).get_run(key)
    run.start(input_data={"key": key, "seconds": LONG, **data})
    assert run.wait(on_suspend="return", timeout=60).is_suspended
    yield run
    run.cancel(confirm_timeout=0.1)


@pytest.mark.parametrize(
    ("workflow", "step", "data"),
    [
        ("slowStep", "ask", {}),
        ("slowNext", "ask", {}),
        ("slowNested", ("inner", "ask"), {}),
        ("slowBoth", "a", {}),
        ("slowItems", "ask", {"count": 2}),
    ],
)
def test_retry_attaches_while_the_resumed_step_executes(
    slow: MastraClient, slow_server: SampleServer, key: str, workflow: str, step: Any, data: Any
) -> None:
    with suspended(slow, workflow, key, **data) as run:
        for is_retry in (False, True, False):
            record = run.resume(step=step, resume_data=YES, is_retry=is_retry)
            assert record.is_active
        with pytest.raises(NotSuspendedError):
            run.resume(step=step, resume_data={"ok": False}, is_retry=True)
    assert slow_server.executions(key) == 1


async def test_async_retry_attaches_while_the_resumed_step_executes(
    slow: MastraClient, slow_server: SampleServer, key: str
) -> None:
    with suspended(slow, "slowStep", key):
        async with AsyncMastraClient(slow_server.url) as client:
            run = client.get_workflow("slowStep").get_run(key)
            for _ in range(3):
                assert (await run.resume(step="ask", resume_data=YES, is_retry=True)).is_active
            with pytest.raises(NotSuspendedError):
                await run.resume(step="ask", resume_data={"ok": False}, is_retry=True)
    assert slow_server.executions(key) == 1


@pytest.mark.parametrize(
    ("workflow", "step"), [("eventedSlowStep", "ask"), ("eventedSlowBoth", "a")]
)
def test_a_retry_attaches_on_the_event_driven_engine(
    slow: MastraClient, slow_server: SampleServer, key: str, workflow: str, step: str
) -> None:
    """Neither record nor stream show the response there; the stream shows that the step began."""
    with suspended(slow, workflow, key) as run:
        run.resume(step=step, resume_data=YES, is_retry=True)
        assert run.resume(step=step, resume_data=YES, is_retry=True).is_active
        with pytest.raises(NotSuspendedError):
            run.resume(step=step, resume_data=YES, is_retry=False)
    assert slow_server.executions(key) == 1


@pytest.mark.version_specific
def test_retry_attaches_if_the_server_does_not_show_the_response(
    slow: MastraClient, slow_server: SampleServer, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Such as a nested step of the event-driven engine, or another replica's run."""
    if slow_server.generation == "0":
        pytest.skip("a nested event-driven workflow of 0.x does not suspend")
    with suspended(slow, "eventedSlowNested", key) as run:
        response: dict[str, Any] = {"step": ("eventedInner", "ask"), "resume_data": YES}
        run.resume(**response, is_retry=True)
        assert run.resume(**response, is_retry=True).is_active
        assert "does not show with which response" in caplog.text
        with pytest.raises(NotSuspendedError):
            run.resume(**response, is_retry=False)
    assert slow_server.executions(key) == 1


def test_retry_for_another_branch_waits_and_resumes(
    slow: MastraClient, slow_server: SampleServer, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    """While one branch works the record does not tell whether the other was resumed, too."""
    caplog.set_level(logging.INFO)
    with suspended(slow, "slowBoth", key, seconds=2) as run:
        run.resume(step="a", resume_data=YES, is_retry=True)
        run.resume(step="b", resume_data={"ok": False}, is_retry=True)
        assert "waiting until it is suspended or finished" in caplog.text
        result = run.wait(timeout=60).raise_for_status().result
    assert [result[name]["response"]["ok"] for name in "ab"] == [True, False]
    assert slow_server.executions(key) == 2


@pytest.mark.version_specific
def test_each_item_gets_its_own_response(
    slow: MastraClient, slow_server: SampleServer, key: str
) -> None:
    """A retry does not take another item's equal response for its own."""
    if slow_server.generation == "0":
        pytest.skip("0.x cannot resume one of several items")
    with suspended(slow, "slowItemsAtOnce", key, count=2, seconds=2) as run:
        for index in (1, 0):
            response: dict[str, Any] = {"step": "ask", "for_each_index": index, "resume_data": YES}
            run.resume(**response, is_retry=True)
            run.resume(**response, is_retry=True)
        assert run.wait(timeout=60, on_suspend="fail").is_success
    assert slow_server.executions(key) == 2


@pytest.mark.parametrize(
    "response",
    [
        {"ok": True, "name": " Ada "},
        {"ok": True, "unknown": 1},
        {"ok": True, "amount": "5"},
        {"ok": True, "day": "2026-11-29"},
        {"ok": True, "day": "2026-11-29T10:00:00.123456+01:00"},
    ],
)
def test_response_converted_by_the_schema_is_recognised(
    slow: MastraClient, slow_server: SampleServer, key: str, response: dict[str, Any]
) -> None:
    """While the run executes and after it has ended."""
    with suspended(slow, "slowNext", key, seconds=1) as run:
        for _ in range(2):
            run.resume(step="ask", resume_data=response, is_retry=True)
        run.wait(timeout=60)
        assert run.resume(step="ask", resume_data=response, is_retry=True).is_success
        with pytest.raises(NotSuspendedError):
            run.resume(step="ask", resume_data={**response, "ok": False}, is_retry=True)
    assert slow_server.executions(key) == 1
