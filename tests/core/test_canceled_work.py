"""Test which cancelled runs are final: those cancelled by a user, not those cancelled to retry."""

from __future__ import annotations

import logging

import pytest

from mastra_workflows import AsyncMastraClient, MastraClient
from mastra_workflows._api import StartOptions
from mastra_workflows._procedures import attach_or_start, cancel_work
from mastra_workflows.errors import FINAL, RunCanceledError
from testkit.sample_server import SampleServer
from tests.core.samples import charge
from tests.core.virtual import LOST, REFUSED, World

EXPORT = {"seconds": 3600}


def test_run_cancelled_by_another_client_is_not_replaced(client: MastraClient, key: str) -> None:
    workflow = client.get_workflow("slowExport")
    workflow.attach_or_start(key, input_data=EXPORT)
    assert workflow.get_run(key).cancel().run.status == "canceled"  # as Mastra Studio does
    for _ in range(2):
        with pytest.raises(RunCanceledError, match="no other run is started") as caught:
            workflow.attach_or_start(key, input_data=EXPORT)
        assert isinstance(caught.value, FINAL)
    assert [run.run_id for run in workflow.runs() if run.run_id.startswith(key)] == [key]


def test_run_cancelled_with_allow_retry_is_followed_by_the_next_run(
    client: MastraClient, key: str
) -> None:
    workflow = client.get_workflow("slowExport")
    workflow.attach_or_start(key, input_data=EXPORT)
    assert workflow.cancel_work(key, allow_retry=True).run.run_id == key
    again = workflow.cancel_work(key, allow_retry=True)  # changes nothing
    assert not again.requested
    reserved = workflow.get_run(f"{key}-2").read()
    assert reserved.is_pending
    assert not reserved.steps
    assert workflow.attach_or_start(key, input_data=EXPORT).run_id == f"{key}-2"
    assert workflow.cancel_work(key).run.run_id == f"{key}-2"
    with pytest.raises(RunCanceledError, match=f"Run '{key}-2' .* was cancelled"):
        workflow.attach_or_start(key, input_data=EXPORT)


def test_later_run_can_be_cancelled_by_its_own_id(client: MastraClient, key: str) -> None:
    """A trigger knows the run that it waits for, not the line that the run is in."""
    workflow = client.get_workflow("slowExport")
    for expected in (key, f"{key}-2", f"{key}-3"):
        assert workflow.attach_or_start(key, input_data=EXPORT).run_id == expected
        workflow.get_run(expected).cancel(allow_retry=True)


@pytest.mark.version_specific
def test_cancelled_run_that_still_executes_is_followed_by_the_next_run(
    client: MastraClient, server: SampleServer, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The step ignores its abort signal; 0.x records the cancellation when it has ended."""
    workflow = client.get_workflow("countedCharge")
    workflow.attach_or_start(key, input_data=charge(key, seconds=20))
    cancellation = workflow.cancel_work(key, confirm_timeout=0.5, allow_retry=True)
    assert not cancellation.is_confirmed
    assert workflow.find_work(key) is None
    for _ in range(2):
        again = workflow.attach_or_start(key, input_data=charge(key, seconds=20))
        assert again.run_id == f"{key}-2"
    found = workflow.find_work(key)
    assert found is not None
    assert found.run_id == f"{key}-2"
    assert server.executions(key) == 2
    if server.generation == "0":
        assert "An earlier attempt cancelled it, but it still executes" in caplog.text
    last = workflow.cancel_work(key, confirm_timeout=0.5)
    assert last.requested
    assert last.run.run_id == f"{key}-2"


async def test_async_find_work(server: SampleServer, key: str) -> None:
    async with AsyncMastraClient(server.url) as client:
        workflow = client.get_workflow("countedCharge")
        assert await workflow.find_work(key) is None
        await workflow.attach_or_start(key, input_data=charge(key))
        await workflow.get_run(key).wait(timeout=60)
        found = await workflow.find_work(key)
        assert found is not None
        assert found.is_success


@pytest.mark.version_specific
def test_cancelled_reservation_is_final(server: SampleServer, key: str) -> None:
    if server.generation == "0":
        pytest.skip("0.x does not cancel a pending run")
    with MastraClient(server.url) as client:
        workflow = client.get_workflow("slowExport")
        workflow.attach_or_start(key, input_data=EXPORT)
        workflow.cancel_work(key, allow_retry=True)
        workflow.cancel_work(key)
        with pytest.raises(RunCanceledError):
            workflow.attach_or_start(key, input_data=EXPORT)


@pytest.mark.version_specific
def test_cancelled_suspended_run_is_not_asked_again(server: SampleServer, key: str) -> None:
    if server.generation == "0":
        pytest.skip("0.x does not end a suspended run on a cancel")
    order = {"order": key, "amount": 1, "reason": "broken"}
    with MastraClient(server.url) as client:
        workflow = client.get_workflow("refundApproval")
        workflow.attach_or_start(key, input_data=order)
        workflow.get_run(key).wait()
        workflow.get_run(key).cancel()
        with pytest.raises(RunCanceledError):
            workflow.attach_or_start(key, input_data=order)


@pytest.mark.version_specific
def test_from_failed_step_continues_the_cancelled_run(
    client: MastraClient, server: SampleServer, key: str
) -> None:
    workflow = client.get_workflow("slowExport")
    workflow.attach_or_start(key, input_data=EXPORT)
    workflow.cancel_work(key, allow_retry=True)
    again = workflow.attach_or_start(key, input_data=EXPORT, on_failed_run="from_failed_step")
    assert again.travelled
    assert again.run_id == key
    # It is no longer cancelled, although 0.x cannot delete the reservation.
    assert workflow.attach_or_start(key, input_data=EXPORT).run_id == key
    workflow.get_run(key).cancel()
    if server.generation == "1":  # the reservation is taken back: this cancellation is final
        with pytest.raises(RunCanceledError):
            workflow.attach_or_start(key, input_data=EXPORT, on_failed_run="from_failed_step")


async def test_async_cancel_reserves_the_next_run(server: SampleServer, key: str) -> None:
    async with AsyncMastraClient(server.url) as client:
        workflow = client.get_workflow("slowExport")
        await workflow.attach_or_start(key, input_data=EXPORT)
        await workflow.cancel_work(key, allow_retry=True)
        assert (await workflow.attach_or_start(key, input_data=EXPORT)).run_id == f"{key}-2"
        await workflow.get_run(f"{key}-2").cancel()
        with pytest.raises(RunCanceledError):
            await workflow.attach_or_start(key, input_data=EXPORT)


def test_cancel_with_a_lost_response_reserves_the_next_run() -> None:
    world = World()
    world.on_run("running", "canceled")
    world.on("POST", "/cancel$", LOST)
    world.on("POST", "/create-run$", "create-run")
    world.run(cancel_work(world.server, "w", "r", confirm_timeout=5.0, allow_retry=True))
    [reservation] = world.sent("POST", "/create-run$")
    assert reservation.query == {"runId": "r-2"}


def test_run_cancelled_before_by_another_client_gets_no_reservation() -> None:
    world = World()
    world.on_run("canceled", "unknown-run")
    world.run(cancel_work(world.server, "w", "r", confirm_timeout=5.0, allow_retry=True))
    assert world.sent("POST") == []


def test_failed_reservation_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    world.on_run("running", "canceled")
    world.on("POST", "/cancel$", "cancel")
    world.on("POST", "/create-run$", REFUSED)
    caplog.set_level(logging.WARNING)
    found = world.run(cancel_work(world.server, "w", "r", confirm_timeout=5.0, allow_retry=True))
    assert found.run.status == "canceled"
    assert "a retry does not start a new run" in caplog.text


def test_on_failed_run_fail_raises_for_any_cancelled_run() -> None:
    world = World()
    world.on_run("canceled", "pending")
    with pytest.raises(RunCanceledError):
        world.run(attach_or_start(world.server, "w", "r", StartOptions(), on_failed_run="fail"))
