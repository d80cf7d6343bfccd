"""Test `execute` on real servers: it starts once, waits and returns the result."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from mastra_workflows import AsyncMastraClient, MastraClient
from mastra_workflows.errors import (
    ConfigurationError,
    InvalidInputError,
    RunCanceledError,
    RunFailedError,
    RunMismatchError,
    RunSuspendedError,
    WaitTimeoutError,
)
from testkit.sample_server import SampleServer
from tests.core.samples import REFUND, REPORT, charge
from tests.support.fault_proxy import FaultProxy


def test_execute_returns_the_result(client: MastraClient, key: str) -> None:
    result = client.get_workflow("orderReport").execute(REPORT, run_id=key)
    assert result["text"] == "Köln: 2 orders, 22.5 EUR"


def test_execute_without_an_id_starts_a_run_for_each_call(
    client: MastraClient, server: SampleServer, key: str
) -> None:
    for number in (1, 2):
        client.get_workflow("countedCharge").execute(charge(key))
        assert server.executions(key) == number


def test_execute_with_an_id_is_idempotent(
    client: MastraClient, server: SampleServer, key: str
) -> None:
    workflow = client.get_workflow("countedCharge")
    with ThreadPoolExecutor(5) as pool:
        work = [pool.submit(workflow.execute, charge(key, 1), run_id=key) for _ in range(5)]
        results = [one.result() for one in work]
    assert results == [results[0]] * 5
    assert workflow.execute(charge(key, 1), run_id=key) == results[0]
    assert server.executions(key) == 1


def test_execute_reads_a_finished_run_once(
    proxied: MastraClient, proxy: FaultProxy, key: str
) -> None:
    workflow = proxied.get_workflow("orderReport")
    result = workflow.execute(REPORT, run_id=key)
    before = proxy.count("GET", "/runs/")
    assert workflow.execute(REPORT, run_id=key) == result
    assert proxy.count("GET", "/runs/") == before + 1


def test_execute_raises_the_error_of_a_failed_run(client: MastraClient, key: str) -> None:
    workflow = client.get_workflow("failingImport")
    with pytest.raises(RunFailedError) as caught:
        workflow.execute({"file": "a.csv"}, run_id=key)
    assert (caught.value.run.run_id, caught.value.run.status) == (key, "failed")
    with pytest.raises(RunFailedError) as caught:
        workflow.execute({"file": "a.csv"}, run_id=key, on_failed_run="fail")
    assert caught.value.run.run_id == key
    with pytest.raises(RunFailedError) as caught:  # an attempt after a failure is a new run
        workflow.execute({"file": "a.csv"}, run_id=key)
    assert caught.value.run.run_id == f"{key}-2"


def test_execute_raises_for_a_suspended_run(client: MastraClient, key: str) -> None:
    workflow = client.get_workflow("refundApproval")
    with pytest.raises(RunSuspendedError) as caught:
        workflow.execute(REFUND, run_id=key)
    assert caught.value.run.run_id == key
    assert [item.name for item in caught.value.suspensions] == ["approve"]
    workflow.get_run(key).resume(resume_data={"approved": True})
    assert workflow.execute(REFUND, run_id=key)["refunded"] == 2500


def test_execute_can_wait_through_a_suspension(client: MastraClient, key: str) -> None:
    workflow = client.get_workflow("refundApproval")
    run = workflow.get_run(key)
    run.start(input_data=REFUND)
    run.wait()
    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(workflow.execute, REFUND, run_id=key, on_suspend="wait", timeout=60)
        run.resume(resume_data={"approved": True})
        assert work.result()["refunded"] == 2500


def test_execute_raises_for_a_cancelled_run(client: MastraClient, key: str) -> None:
    workflow = client.get_workflow("slowExport")
    workflow.get_run(key).start(input_data={"seconds": 60})
    workflow.get_run(key).cancel()
    with pytest.raises(RunCanceledError):
        workflow.execute({"seconds": 60}, run_id=key)


def test_the_run_continues_after_the_timeout(client: MastraClient, key: str) -> None:
    workflow = client.get_workflow("slowExport")
    with pytest.raises(WaitTimeoutError):
        workflow.execute({"seconds": 60}, run_id=key, timeout=timedelta(seconds=0.5))
    assert workflow.get_run(key).read().is_active
    workflow.get_run(key).cancel(confirm_timeout=0)


def test_execute_starts_nothing_for_invalid_arguments(client: MastraClient, key: str) -> None:
    workflow = client.get_workflow("orderReport")
    with pytest.raises(InvalidInputError):
        workflow.execute({}, run_id=key)
    with pytest.raises(ConfigurationError, match="it can be 'fail', 'wait'"):
        workflow.execute(REPORT, run_id=key, on_suspend="return")  # type: ignore[arg-type]
    workflow.execute(REPORT, run_id=key)
    with pytest.raises(RunMismatchError):
        workflow.execute({**REPORT, "city": "Oslo"}, run_id=key)


def test_execute_of_the_asyncio_client(server: SampleServer, key: str) -> None:
    async def execute() -> list[object]:
        async with AsyncMastraClient(server.url) as client:
            workflow = client.get_workflow("countedCharge")
            calls = (workflow.execute(charge(key, 1), run_id=key) for _ in range(3))
            results: list[object] = list(await asyncio.gather(*calls))
            with pytest.raises(RunSuspendedError):
                await client.get_workflow("refundApproval").execute(REFUND, run_id=key)
            return results

    results = asyncio.run(execute())
    assert results == [results[0]] * 3
    assert server.executions(key) == 1
