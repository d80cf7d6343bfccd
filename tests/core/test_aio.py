"""Test the asyncio client: the same names, procedures and results as the synchronous one."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator
from typing import Any

import pytest

from mastra_workflows import (
    AsyncMastraClient,
    AsyncRun,
    AsyncWorkflow,
    Event,
    MastraClient,
    Run,
    ServerGeneration,
    Workflow,
)
from mastra_workflows._policy import RetryPolicy
from mastra_workflows.errors import (
    AuthenticationError,
    BodyTooLargeError,
    ConfigurationError,
    ConnectionFailedError,
    InvalidInputError,
    NotSuspendedError,
    UnknownRunError,
    UnknownWorkflowError,
    UnsupportedError,
    WaitTimeoutError,
)
from testkit.sample_server import SampleServer

ORDER = {"order": "A-17", "amount": 1, "reason": "broken"}


@pytest.fixture
async def mastra(server: SampleServer) -> AsyncIterator[AsyncMastraClient]:
    async with AsyncMastraClient(server.url) as client:
        yield client


@pytest.mark.parametrize(
    ("twin", "model"),
    [(AsyncMastraClient, MastraClient), (AsyncWorkflow, Workflow), (AsyncRun, Run)],
)
def test_both_clients_have_the_same_names_and_arguments(twin: type, model: type) -> None:
    def public(kind: type) -> dict[str, list[str]]:
        return {
            name: list(inspect.signature(member).parameters) if callable(member) else []
            for name, member in inspect.getmembers(kind)
            if not name.startswith("_")
        }

    assert public(twin) == public(model)


@pytest.mark.version_specific
async def test_workflows_and_their_details(mastra: AsyncMastraClient, server: SampleServer) -> None:
    expected = ServerGeneration.V0 if server.generation == "0" else ServerGeneration.V1
    assert await mastra.server_generation() is expected
    keys = {workflow.key for workflow in await mastra.list_workflows()}
    assert {"orderReport", "refundApproval"} <= keys
    details = await mastra.get_workflow("refundApproval").details()
    assert details.steps["approve",].resume_schema is not None


async def test_a_run_from_start_to_result(mastra: AsyncMastraClient, key: str) -> None:
    run = await mastra.get_workflow("orderReport").create_run(key)
    await run.start(input_data={"city": "Oslo"})
    record = await run.wait()
    assert record.raise_for_status().result["city"] == "Oslo"
    assert (await mastra.get_workflow("orderReport").run_execution_result(key)) == record


async def test_starting_and_waiting_in_one_call(mastra: AsyncMastraClient, key: str) -> None:
    run = mastra.get_workflow("orderReport").get_run(key)
    assert (await run.start_async(input_data={"city": "Oslo"})).is_success


async def test_ten_starts_at_once_execute_once(
    mastra: AsyncMastraClient, server: SampleServer, key: str
) -> None:
    workflow = mastra.get_workflow("countedCharge")
    arguments: dict[str, Any] = {"input_data": {"key": key, "amount": 1, "seconds": 1}}
    await asyncio.gather(*(workflow.get_run(key).start(**arguments) for _ in range(10)))
    assert (await workflow.get_run(key).wait()).is_success
    assert (await workflow.attach_or_start(key, **arguments)).found is not None
    assert server.executions(key) == 1


async def test_events_arrive_while_the_run_is_running(mastra: AsyncMastraClient, key: str) -> None:
    run = mastra.get_workflow("slowExport").get_run(key)
    async with await run.stream(input_data={"seconds": 60}) as events:
        async for event in events:
            if event.current_step is not None:
                break
    assert (await run.read()).is_active  # leaving early stops nothing
    await run.cancel()


async def test_watch_of_a_running_run(mastra: AsyncMastraClient, key: str) -> None:
    run = mastra.get_workflow("countedCharge").get_run(key)
    await run.start(input_data={"key": key, "amount": 1, "seconds": 1})
    async with await run.watch() as events:
        seen = [event async for event in events]
    assert seen[-1].is_end
    assert len({_place(event) for event in seen}) == len(seen)


def _place(event: Event) -> object:
    """What no two events have in common; several may be of one millisecond."""
    step = event.current_step or {}
    return event.type, event.event_timestamp, step.get("id"), step.get("status")


async def test_resuming(mastra: AsyncMastraClient, key: str) -> None:
    run = mastra.get_workflow("refundApproval").get_run(key)
    await run.start(input_data=ORDER)
    (suspension,) = (await run.wait()).suspensions
    with pytest.raises(NotSuspendedError, match="approve"):
        await run.resume(step="nobody", resume_data={"approved": True})
    await run.resume(step=suspension.step, resume_data={"approved": True})
    assert (await run.wait()).is_success
    assert (await run.resume(resume_data={"approved": True}, is_retry=True)).is_success


async def test_resuming_and_waiting_in_one_call(mastra: AsyncMastraClient, key: str) -> None:
    run = mastra.get_workflow("twoRequests").get_run(key)
    await run.start(input_data={"campaign": "spring"})
    await run.wait()
    assert (await run.resume_async(resume_data={"budget": 5})).is_suspended
    async with await run.resume_stream(resume_data={"deadline": "2026-12-01"}) as events:
        assert [event async for event in events][-1].is_end
    assert (await run.wait()).is_success


@pytest.mark.version_specific
async def test_time_travel_listing_and_deletion(
    mastra: AsyncMastraClient, server: SampleServer, key: str
) -> None:
    workflow = mastra.get_workflow("flakyImport")
    run = workflow.get_run(key)
    await run.start(input_data={"key": key})
    assert (await run.wait()).status == "failed"
    await run.time_travel(step="store-rows")
    assert (await run.wait()).is_success
    assert key in [row.run_id async for row in workflow.runs(page_size=2)]
    if server.generation == "0":
        with pytest.raises(UnsupportedError):
            await run.delete()
    else:
        await run.delete()
        with pytest.raises(UnknownRunError):
            await run.read()


async def test_a_lost_run_is_restarted(key: str) -> None:
    with SampleServer("1") as server:
        async with AsyncMastraClient(server.url) as mastra:
            run = mastra.get_workflow("countedCharge").get_run(key)
            await run.start(input_data={"key": key, "amount": 1, "seconds": 1})
            server.kill()
            server.start()
            await run.restart()
            assert (await run.wait()).is_success


async def test_invalid_input(mastra: AsyncMastraClient, key: str) -> None:
    with pytest.raises(InvalidInputError, match=r"\$\.city: required"):
        await mastra.get_workflow("orderReport").get_run(key).start(input_data={})
    with pytest.raises(UnknownRunError):
        await mastra.get_workflow("orderReport").get_run(key).read()
    with pytest.raises(UnknownWorkflowError, match=r"'nope'\. It has"):
        await mastra.get_workflow("nope").details()


async def test_ids_with_special_characters(mastra: AsyncMastraClient, key: str) -> None:
    run = mastra.get_workflow('odd key/50% + "quotes" é').get_run(f'{key}/ü + 50% "x"')
    await run.start(input_data={"text": "hé"})
    assert (await run.wait()).is_success


async def test_wait_timeout_reports_that_the_run_continues(
    mastra: AsyncMastraClient, key: str
) -> None:
    run = mastra.get_workflow("slowExport").get_run(key)
    await run.start(input_data={"seconds": 60})
    with pytest.raises(WaitTimeoutError, match="It continues"):
        await run.wait(timeout=0.2)
    await run.cancel()


async def test_cancelled_task_raises_cancelled_error(mastra: AsyncMastraClient, key: str) -> None:
    run = mastra.get_workflow("slowExport").get_run(key)
    await run.start(input_data={"seconds": 60})
    looked = asyncio.Event()
    waiting = asyncio.create_task(run.wait(observe=False, on_record=lambda _: looked.set()))
    await looked.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (await run.read()).is_active
    await run.cancel()


async def test_refused_connections_and_closed_clients() -> None:
    client = AsyncMastraClient("http://127.0.0.1:9", retry=RetryPolicy(seconds=0))
    with pytest.raises(ConnectionFailedError, match="Connection refused") as caught:
        await client.server_generation()
    assert not caught.value.request_sent
    await client.close()
    with pytest.raises(ConfigurationError, match="closed"):
        await client.server_generation()


async def test_no_secure_connection(server: SampleServer) -> None:
    address = server.url.replace("http:", "https:")
    async with AsyncMastraClient(address) as client:
        with pytest.raises(ConnectionFailedError, match="No secure connection"):
            await client.server_generation()


async def test_body_size_limit(server: SampleServer, key: str) -> None:
    async with AsyncMastraClient(server.url, max_body_bytes=2_000, check_data=False) as client:
        run = client.get_workflow("translation").get_run(key)
        with pytest.raises(BodyTooLargeError, match="Nothing was sent"):
            await run.start(input_data={"words": {"x": "y" * 3_000}})
        with pytest.raises(BodyTooLargeError, match="The response"):
            await client.list_workflows()


async def test_valid_token_is_accepted_and_others_are_refused() -> None:
    with SampleServer("1", token="s3cret-t0ken") as server:
        async with AsyncMastraClient(server.url, token="s3cret-t0ken") as client:
            assert await client.list_workflows()
            assert "s3cret" not in repr(client)
        async with AsyncMastraClient(server.url, token="wr0ng") as client:
            with pytest.raises(AuthenticationError) as caught:
                await client.list_workflows()
    assert "wr0ng" not in str(caught.value)
