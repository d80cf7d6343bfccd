"""Test `restart` of a run that its server has lost, and `time_travel`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from mastra_workflows import AsyncMastraClient, MastraClient
from mastra_workflows._models import StepPath
from mastra_workflows._procedures import Procedure, travelling
from mastra_workflows.errors import (
    NotActiveError,
    RunFailedError,
    UnknownRunError,
    UnknownStepError,
)
from testkit.sample_server import Generation, SampleServer
from tests.conftest import EVERY_SERVER, WAITING_WORKFLOWS
from tests.core.samples import REPORT, charge, suspended_refund

BOTH = pytest.mark.parametrize("generation", EVERY_SERVER)


@pytest.mark.version_specific
@BOTH
def test_restart_of_runs_lost_by_a_killed_server(generation: Generation, key: str) -> None:
    with SampleServer(generation) as server, MastraClient(server.url) as client:
        runs = {
            "running": client.get_workflow("slowExport").get_run(key),
            "waiting": client.get_workflow("coolDown").get_run(key),
        }
        for run in runs.values():
            run.start(input_data={"seconds": 4})
        server.kill()
        server.start()
        for status, run in runs.items():
            assert run.read().status == status  # for ever, if nobody does something
            assert run.restart().is_active
        assert runs["running"].wait(timeout=30).result == {"exported": True}
        assert runs["waiting"].wait(timeout=30).result == {"called": 2}


@pytest.mark.version_specific
@BOTH
def test_restarted_run_keeps_finished_steps(generation: Generation, key: str) -> None:
    with SampleServer(generation) as server, MastraClient(server.url) as client:
        run = client.get_workflow("countedCharge").get_run(key)
        run.start(input_data=charge(key, seconds=1))
        server.kill()
        server.start()
        run.restart()
        assert run.wait(timeout=30).result == {"charged": 5}
        assert server.executions(key) == 2  # the step was in the middle, and runs again
        found = run.start(input_data=charge(key, seconds=1)).found
        assert found is not None
        assert server.executions(key) == 2


def test_restart_requires_a_running_run(client: MastraClient, key: str) -> None:
    run = client.get_workflow("orderReport").create_run(key)
    with pytest.raises(NotActiveError, match=r"is pending. Only a run that was running"):
        run.restart()
    run.start(input_data=REPORT)
    run.wait(timeout=30)
    with pytest.raises(NotActiveError, match="succeeded"):
        run.restart()
    with pytest.raises(NotActiveError, match="is suspended"):
        suspended_refund(client, key).restart()
    with pytest.raises(UnknownRunError):
        client.get_workflow("orderReport").get_run(f"no {key}").restart()


@pytest.mark.smoke
@pytest.mark.version_specific
def test_time_travel(client: MastraClient, server: SampleServer, key: str) -> None:
    run = client.get_workflow("flakyImport").get_run(key)
    with pytest.raises(RunFailedError, match="connection lost, try again"):
        run.start_async(input_data={"key": key}).raise_for_status()
    run.time_travel(step="store-rows")
    assert run.wait(timeout=30).result == {"stored": 3, "attempts": 2}
    assert server.executions(f"{key}/read-file") == 1  # kept
    assert server.executions(key) == 2


def test_time_travel_with_other_input(client: MastraClient, server: SampleServer, key: str) -> None:
    run = client.get_workflow("countedCharge").get_run(key)
    run.start_async(input_data=charge(key))
    run.time_travel(step="charge", input_data={"key": key, "amount": 7, "seconds": 0})
    assert run.wait(timeout=30).result == {"charged": 7}
    assert server.executions(key) == 2


def test_time_travel_returns_the_changed_record(client: MastraClient, key: str) -> None:
    def travel(number: int) -> dict[str, object]:
        run = client.get_workflow("countedCharge").get_run(f"{key}-{number}")
        run.start_async(input_data=charge(key))
        run.time_travel(step="charge", input_data={"key": key, "amount": 9, "seconds": 0.1})
        result: dict[str, object] = run.wait(timeout=30).result
        return result

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(travel, range(20))) == [{"charged": 9}] * 20


@pytest.mark.version_specific
@BOTH
def test_time_travel_to_an_unknown_step(generation: Generation, key: str) -> None:
    """`/time-travel` with such a step ends a 0.24 server."""
    with SampleServer(generation) as server, MastraClient(server.url) as client:
        run = client.get_workflow("countedCharge").get_run(key)
        run.start_async(input_data=charge(key))
        unknown: list[str | list[str]] = ["nope", "charge.x", ["charge", "x"], ["nope"]]
        for step in unknown:
            with pytest.raises(UnknownStepError, match=r"it has: 'charge'.*The run is unchanged"):
                run.time_travel(step=step)
        assert server.running
        assert run.read().is_success
        assert server.executions(key) == 1


@pytest.fixture(params=EVERY_SERVER)
def renaming_server(request: pytest.FixtureRequest) -> Iterator[SampleServer]:
    """A server whose workflow `renamed` has another name for its second step from release 2 on."""
    with SampleServer(request.param, workflows=WAITING_WORKFLOWS) as server:
        yield server


@pytest.mark.version_specific
def test_from_failed_step_renamed_by_a_deploy(
    renaming_server: SampleServer, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with MastraClient(renaming_server.url) as client:
        workflow = client.get_workflow("renamed")
        workflow.attach_or_start(key, input_data={"fails": True})
        failed = workflow.get_run(key).wait(timeout=60)
        assert failed.status == "failed"
        workflow.details()  # from now on the client holds the old names
        monkeypatch.setenv("WAITING_WORKFLOWS_RELEASE", "2")
        renaming_server.restart()
        with pytest.raises(
            UnknownStepError, match=r"no step 'approve'.*'approve-order'"
        ) as unknown:
            workflow.attach_or_start(
                key, input_data={"fails": True}, on_failed_run="from_failed_step"
            )
        assert unknown.value.run == failed
        assert workflow.get_run(key).read() == failed


async def test_async_time_travel_to_a_step_renamed_by_a_deploy(
    renaming_server: SampleServer, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with AsyncMastraClient(renaming_server.url) as client:
        workflow = client.get_workflow("renamed")
        run = workflow.get_run(key)
        await run.start(input_data={"fails": True})
        assert (await run.wait(timeout=60)).status == "failed"
        await workflow.details()
        monkeypatch.setenv("WAITING_WORKFLOWS_RELEASE", "2")
        await asyncio.to_thread(renaming_server.restart)
        with pytest.raises(UnknownStepError, match=r"no step 'approve'.*'approve-order'"):
            await run.time_travel(step="approve")


@pytest.mark.version_specific
@BOTH
def test_refused_requests_do_not_end_the_server(
    generation: Generation, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a deploy renames the step between the check and the call."""

    def unchecked(*_: object) -> Procedure[StepPath]:
        yield from ()
        return ("nope",)

    monkeypatch.setattr(travelling, "_path", unchecked)
    with SampleServer(generation) as server, MastraClient(server.url) as client:
        run = client.get_workflow("countedCharge").get_run(key)
        run.start_async(input_data=charge(key))
        with pytest.raises(UnknownStepError, match=r"no step 'nope'; it has: 'charge'"):
            run.time_travel(step="nope")
        assert server.running
        assert run.read().is_success


@pytest.mark.version_specific
@BOTH
def test_dropped_restart_request_does_not_stop_the_run(generation: Generation, key: str) -> None:
    with SampleServer(generation) as server, MastraClient(server.url) as client:
        run = client.get_workflow("countedCharge").get_run(key)
        run.start(input_data=charge(key, seconds=4))
        server.kill()
        server.start()
        assert run.restart().is_active
        assert run.wait(timeout=60).result == {"charged": 5}


def test_time_travel_of_a_running_run_is_refused(client: MastraClient, key: str) -> None:
    run = client.get_workflow("slowExport").get_run(key)
    run.start(input_data={"seconds": 3600})
    with pytest.raises(NotActiveError) as caught:
        run.time_travel(step="export")
    assert caught.value.run.status == "running"
    run.cancel()
