"""Test the asyncio tasks and flow, and the reaction of retries to failed runs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from prefect import flow
from tenacity import Retrying, retry_if_result, wait_fixed

from mastra_workflows import MastraClient, Run
from mastra_workflows.errors import (
    RunFailedError,
    UnknownRunError,
    UnknownStepError,
    WaitTimeoutError,
)
from prefect_mastra import (
    MastraServer,
    acancel_workflow_run,
    aresume_workflow,
    arun_workflow,
    astart_workflow,
    await_for_workflow_run,
    resume_workflow,
    run_workflow,
    start_workflow,
    wait_for_workflow_run,
)
from testkit.sample_server import Generation, SampleServer
from tests.conftest import EVERY_SERVER, WAITING_WORKFLOWS

REFUND = {"order": "A-1", "amount": 100, "reason": "broken"}


async def test_a_run_from_start_to_result(mastra: MastraServer, logs_of: Any) -> None:
    state = await arun_workflow(mastra, "orderReport", {"city": "Oslo"}, return_state=True)
    assert (await state.aresult())["result"]["city"] == "Oslo"
    assert "Step 'render' succeeded" in await asyncio.to_thread(logs_of, state)


async def test_tasks_start_resume_and_wait(mastra: MastraServer) -> None:
    @flow
    async def refund() -> dict[str, Any]:
        run = await astart_workflow(mastra, "refundApproval", REFUND)
        asked = await await_for_workflow_run(mastra, run, on_suspend="return")
        await aresume_workflow(mastra, asked, {"approved": True})
        return await await_for_workflow_run(mastra, run)

    assert (await refund())["result"]["refunded"] == 100


async def test_concurrent_runs(mastra: MastraServer, server: SampleServer, key: str) -> None:
    @flow
    async def several() -> list[dict[str, Any]]:
        charge = {"key": key, "amount": 1, "seconds": 1}
        runs = await asyncio.gather(
            *(astart_workflow(mastra, "countedCharge", charge) for _ in range(5))
        )
        return await asyncio.gather(*(await_for_workflow_run(mastra, run) for run in runs))

    assert len({outcome["run_id"] for outcome in await several()}) == 5
    assert server.executions(key) == 5


async def test_a_flow_retry_executes_nothing_again(
    mastra: MastraServer, server: SampleServer, key: str
) -> None:
    tries: list[int] = []

    @flow(retries=1)
    async def fails_once() -> dict[str, Any]:
        run = await astart_workflow(mastra, "countedCharge", {"key": key, "amount": 1})
        tries.append(1)
        if len(tries) == 1:
            raise RuntimeError("once")
        return await await_for_workflow_run(mastra, run)

    assert (await fails_once())["status"] == "success"
    assert server.executions(key) == 1


async def test_a_cancelled_coroutine_cancels_its_run(
    mastra: MastraServer, client: MastraClient, key: str
) -> None:
    run = client.get_workflow("slowExport").get_run(key)
    waiting = asyncio.create_task(
        arun_workflow(mastra, "slowExport", {"seconds": 60}, run_id=key, max_poll_interval=0.5)
    )
    await asyncio.to_thread(until_active, run)
    waiting.cancel()
    with pytest.raises(BaseException):  # noqa: B017, PT011 - Prefect has its own for it
        await waiting
    assert run.read().status == "canceled"


def until_active(run: Run) -> None:
    """Return when the run is running."""

    def is_active() -> bool:
        try:
            return run.read().is_active
        except UnknownRunError:
            return False

    Retrying(retry=retry_if_result(lambda active: not active), wait=wait_fixed(0.05))(is_active)


async def test_timeout_ends_the_wait(mastra: MastraServer, client: MastraClient, key: str) -> None:
    with pytest.raises(WaitTimeoutError, match="cancel_on_timeout is on"):
        await arun_workflow(mastra, "slowExport", {"seconds": 60}, run_id=key, timeout=0.2)
    assert client.get_workflow("slowExport").get_run(key).read().status == "canceled"


@pytest.mark.smoke
async def test_a_run_is_cancelled(mastra: MastraServer, key: str) -> None:
    @flow
    async def short_lived() -> dict[str, Any]:
        run = await astart_workflow(mastra, "slowExport", {"seconds": 60}, run_id=key)
        return await acancel_workflow_run(mastra, run)

    assert (await short_lived())["status"] == "canceled"


@pytest.mark.parametrize(("way", "reads"), [("new_run", 2), ("from_failed_step", 1)])
def test_a_flow_retry_after_a_failed_run(
    mastra: MastraServer, server: SampleServer, key: str, way: Any, reads: int
) -> None:
    @flow(retries=1)
    def imports() -> dict[str, Any]:
        return run_workflow(mastra, "flakyImport", {"key": key}, on_failed_run=way)

    outcome = imports()
    assert outcome["status"] == "success"
    assert outcome["run_id"].endswith("-2") == (way == "new_run")
    assert server.executions(f"{key}/read-file") == reads


@pytest.mark.version_specific
@pytest.mark.parametrize("generation", EVERY_SERVER)
def test_flow_retry_from_a_failed_step_renamed_by_a_deploy(
    generation: Generation, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[int] = []

    with SampleServer(generation, workflows=WAITING_WORKFLOWS) as server:
        mastra = MastraServer(base_url=server.url)

        @flow(retries=1)
        def orders() -> None:
            tries.append(1)
            if len(tries) == 2:  # the client of the first try holds the old names
                monkeypatch.setenv("WAITING_WORKFLOWS_RELEASE", "2")
                server.restart()
            run = start_workflow(
                mastra, "renamed", {"fails": True}, run_id=key, on_failed_run="from_failed_step"
            )
            wait_for_workflow_run(mastra, run)

        with pytest.raises(UnknownStepError, match=r"no step 'approve'.*'approve-order'"):
            orders()


def test_failed_run_raises_with_on_failed_run_fail(
    mastra: MastraServer, server: SampleServer, key: str
) -> None:
    @flow(retries=1)
    def imports() -> dict[str, Any]:
        return run_workflow(mastra, "flakyImport", {"key": key}, on_failed_run="fail")

    with pytest.raises(RunFailedError):
        imports()
    assert server.executions(f"{key}/read-file") == 1


def test_a_retried_resume_resumes_once(mastra: MastraServer, key: str) -> None:
    tries: list[int] = []

    @flow(retries=1)
    def review() -> dict[str, Any]:
        run = start_workflow(mastra, "photoReview", {"photos": ["a", "b"]}, run_id=key)
        wait_for_workflow_run(mastra, run, on_suspend="return")
        resume_workflow(mastra, run, {"approved": True})
        outcome = wait_for_workflow_run(mastra, run, on_suspend="return")
        tries.append(1)
        if len(tries) == 1:
            raise RuntimeError("once")
        return outcome

    (suspension,) = review()["suspensions"]
    assert suspension["payload"] == {"photo": "b"}
