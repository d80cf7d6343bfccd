"""Test runs of a workflow without snapshots: executed once, and reported as not stored."""

from __future__ import annotations

import time

import pytest

from mastra_workflows import AsyncMastraClient, MastraClient
from mastra_workflows.errors import FINAL, RunNotStoredError, UnknownRunError
from testkit.sample_server import SampleServer


@pytest.mark.parametrize("seconds", [0, 1.5])
def test_run_without_a_record_raises_a_final_error(
    odd_server: SampleServer, key: str, seconds: float
) -> None:
    with MastraClient(odd_server.url) as client:
        workflow = client.get_workflow("unstored")
        workflow.attach_or_start(key, input_data={"seconds": seconds})
        with pytest.raises(RunNotStoredError, match="shouldPersistSnapshot") as caught:
            workflow.get_run(key).wait(max_poll_interval=0.5, outage_timeout=2)
        assert isinstance(caught.value, FINAL)
        assert f"Run '{key}' of workflow 'unstored' was started" in str(caught.value)
        with pytest.raises(UnknownRunError, match="shouldPersistSnapshot"):
            workflow.get_run(key).wait()


async def test_async_run_without_a_record_raises_a_final_error(
    odd_server: SampleServer, key: str
) -> None:
    async with AsyncMastraClient(odd_server.url) as client:
        workflow = client.get_workflow("unstored")
        await workflow.attach_or_start(key, input_data={"seconds": 0})
        with pytest.raises(RunNotStoredError):
            await workflow.get_run(key).wait()


@pytest.mark.version_specific
def test_running_run_without_a_record_raises_run_not_stored(
    odd_server: SampleServer, key: str
) -> None:
    """1.x shows such a run as pending while it executes."""
    if odd_server.generation == "0":
        pytest.skip("0.x returns no record of such a run")
    with MastraClient(odd_server.url, start_timeout=1) as client:
        workflow = client.get_workflow("unstored")
        workflow.attach_or_start(key, input_data={"seconds": 30})
        began = time.monotonic()
        with pytest.raises(RunNotStoredError, match="would execute it again"):
            workflow.get_run(key).wait(observe=False)
        assert time.monotonic() - began < 25
