"""Test that retries do not replace a run that was cancelled elsewhere, such as in Mastra Studio."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from prefect import flow, task
from tenacity import Retrying, retry_if_result, wait_fixed

from mastra_workflows import MastraClient
from mastra_workflows.errors import RunCanceledError, UnknownRunError, UnknownWorkflowError
from prefect_mastra import (
    MastraServer,
    aask_and_resume,
    ask_and_resume,
    astart_workflow,
    await_for_workflow_run,
    retry_may_help,
    start_workflow,
    wait_for_workflow_run,
)
from testkit.sample_server import SampleServer
from tests.prefect.person import Person

REFUND = {"order": "A-1", "amount": 100, "reason": "broken"}


def cancel(client: MastraClient, workflow_id: str, run_id: str) -> None:
    """Cancel a run that works already, as a person does in Studio."""
    run = client.get_workflow(workflow_id).get_run(run_id)

    def is_at_work() -> bool:
        try:
            return run.read().is_active
        except UnknownRunError:
            return False

    Retrying(retry=retry_if_result(lambda works: not works), wait=wait_fixed(0.1))(is_at_work)
    run.cancel()


def is_next_in_line_known(client: MastraClient, workflow_id: str, run_id: str) -> bool:
    try:
        client.get_workflow(workflow_id).get_run(f"{run_id}-2").read()
    except UnknownRunError:
        return False
    return True


@pytest.mark.parametrize("kind", ["flow", "task", "asyncio flow", "asyncio task"])
def test_retry_after_a_cancellation_starts_nothing(
    mastra: MastraServer,
    client: MastraClient,
    server: SampleServer,
    person: Person,
    key: str,
    kind: str,
) -> None:
    charge = {"key": key, "amount": 1, "seconds": 12}  # its step heeds no cancel
    tries: list[str] = []

    def work() -> None:
        tries.append(kind)
        run = start_workflow(mastra, "countedCharge", charge, run_id=key)
        wait_for_workflow_run(mastra, run)

    async def awork() -> None:
        tries.append(kind)
        run = await astart_workflow(mastra, "countedCharge", charge, run_id=key)
        await await_for_workflow_run(mastra, run)

    tried, atried = task(retries=1)(work), task(retries=1)(awork)

    @flow(retries=1 if kind == "flow" else 0)
    def around() -> None:
        work() if kind == "flow" else tried()

    @flow(retries=1 if kind == "asyncio flow" else 0)
    async def aaround() -> None:
        await (awork() if kind == "asyncio flow" else atried())

    def in_flow() -> Any:
        if kind.startswith("asyncio"):
            return asyncio.run(cast(Any, aaround(return_state=True)))
        return around(return_state=True)

    running = person.watch(in_flow)
    cancel(client, "countedCharge", key)
    with pytest.raises(RunCanceledError, match=key):
        running.result().result()
    assert len(tries) == 2
    assert server.executions(key) == 1
    assert not is_next_in_line_known(client, "countedCharge", key)


@pytest.mark.parametrize("kind", ["sync", "asyncio"])
def test_retry_after_a_cancellation_asks_nothing(
    mastra_1: MastraServer, person: Person, key: str, kind: str
) -> None:
    """Servers before 1.0 do not end a suspended run."""
    tries: list[int] = []

    @flow(flow_run_name=person.name, retries=1)
    def approval() -> None:
        tries.append(1)
        run = start_workflow(mastra_1, "refundApproval", REFUND, run_id=key)
        ask_and_resume(mastra_1, run)

    @flow(flow_run_name=person.name, retries=1)
    async def aapproval() -> None:
        tries.append(1)
        run = await astart_workflow(mastra_1, "refundApproval", REFUND, run_id=key)
        await aask_and_resume(mastra_1, run)

    def in_flow() -> Any:
        if kind == "asyncio":
            return asyncio.run(cast(Any, aapproval(return_state=True)))
        return approval(return_state=True)

    running = person.watch(in_flow)
    person.read()
    with mastra_1.get_client() as client:
        client.get_workflow("refundApproval").get_run(key).cancel()
        with pytest.raises(RunCanceledError, match=key):
            running.result().result()
        assert not is_next_in_line_known(client, "refundApproval", key)
    assert len(tries) == 2
    assert len(person.asked) == 1


@pytest.mark.parametrize("kind", ["sync", "asyncio"])
def test_task_does_not_retry_final_errors(mastra_1: MastraServer, kind: str) -> None:
    """In an asyncio task too, where `State.result` is a coroutine."""
    tries: list[str] = []

    @task(retries=2, retry_condition_fn=retry_may_help)
    def tried() -> None:
        tries.append(kind)
        start_workflow.fn(mastra_1, "noSuchWorkflow")

    @task(retries=2, retry_condition_fn=retry_may_help)
    async def atried() -> None:
        tries.append(kind)
        await astart_workflow.fn(mastra_1, "noSuchWorkflow")

    with pytest.raises(UnknownWorkflowError):
        asyncio.run(cast(Any, atried())) if kind == "asyncio" else tried()
    assert len(tries) == 1
