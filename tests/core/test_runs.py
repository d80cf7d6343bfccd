"""Test `runs`, which requests pages lazily, and `delete`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest

from mastra_workflows import MastraClient, Workflow, WorkflowRun
from mastra_workflows.errors import ConfigurationError, UnknownRunError, UnsupportedError
from testkit.sample_server import Generation, SampleServer
from tests.conftest import EVERY_SERVER
from tests.core.samples import REFUND, REPORT
from tests.support.fault_proxy import FaultProxy

SEVEN = [f"run-{number}" for number in range(7)]


@pytest.fixture(scope="module", params=EVERY_SERVER)
def own_proxy(request: pytest.FixtureRequest) -> Iterator[FaultProxy]:
    """A server of this module's own, with seven runs of one workflow, behind a proxy."""
    generation: Generation = request.param
    with SampleServer(generation) as server, FaultProxy(server.url) as proxy:
        with MastraClient(server.url) as client:
            for run_id in SEVEN:
                client.get_workflow("orderReport").get_run(run_id).start_async(input_data=REPORT)
        yield proxy


@pytest.fixture
def reports(own_proxy: FaultProxy) -> Iterator[Workflow]:
    """The workflow with the seven runs; the proxy has counted nothing yet."""
    with MastraClient(own_proxy.url) as client:
        workflow = client.get_workflow("orderReport")
        own_proxy.clear()
        yield workflow


def pages(proxy: FaultProxy) -> int:
    return proxy.count("GET", "/runs$")


def test_all_runs_are_listed(reports: Workflow, own_proxy: FaultProxy) -> None:
    runs = list(reports.runs())
    assert sorted(run.run_id for run in runs) == SEVEN
    assert {run.status for run in runs} == {"success"}
    assert all(run.result["city"] == "Köln" for run in runs)
    assert all(run.created_at and run.created_at.tzinfo for run in runs)
    assert pages(own_proxy) == 1


def test_pages_are_requested_lazily(reports: Workflow, own_proxy: FaultProxy) -> None:
    runs = reports.runs(page_size=3)
    assert pages(own_proxy) == 0
    first = list(islice(runs, 3))
    assert pages(own_proxy) == 1
    second = next(runs)
    assert pages(own_proxy) == 2
    rest = list(runs)
    assert pages(own_proxy) == 3
    assert sorted(run.run_id for run in [*first, second, *rest]) == SEVEN


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8])
def test_pages_of_any_size(reports: Workflow, own_proxy: FaultProxy, size: int) -> None:
    assert sorted(run.run_id for run in reports.runs(page_size=size)) == SEVEN
    assert pages(own_proxy) <= 7 // size + 1


@pytest.mark.parametrize("size", [0, -1])
def test_page_size_zero_is_rejected(reports: Workflow, own_proxy: FaultProxy, size: int) -> None:
    with pytest.raises(ConfigurationError, match="page_size"):
        list(reports.runs(page_size=size))
    assert pages(own_proxy) == 0


def test_runs_of_a_time_range(reports: Workflow) -> None:
    now, hour = datetime.now(UTC), timedelta(hours=1)
    assert len(list(reports.runs(from_date=now - hour, to_date=now + hour))) == 7
    assert list(reports.runs(from_date=now + hour)) == []
    assert list(reports.runs(to_date=now - hour)) == []
    ordered = sorted(reports.runs(), key=lambda run: run.created_at or now)
    since = ordered[3].created_at
    assert [run.run_id for run in reports.runs(from_date=since)][-1:] == [ordered[3].run_id]


def test_naive_datetime_is_rejected(reports: Workflow, own_proxy: FaultProxy) -> None:
    with pytest.raises(ConfigurationError, match=r"from_date: .*aware"):
        list(reports.runs(from_date=datetime(2026, 1, 31)))  # noqa: DTZ001
    assert pages(own_proxy) == 0


def test_runs_of_one_resource(reports: Workflow, own_proxy: FaultProxy) -> None:
    assert list(reports.runs(resource_id="nobody + 50%")) == []


@pytest.mark.parametrize("size", [1, 2, 20])
def test_runs_of_one_status(client: MastraClient, key: str, size: int) -> None:
    """A 0.x server sends them all; a page without any of these is not the last one for that."""
    waiting = client.get_workflow("refundApproval")
    for number in range(3):
        waiting.get_run(f"{key}-{number}").start_async(input_data=REFUND)
    resumed = waiting.get_run(f"{key}-1")
    resumed.resume(step="approve", resume_data={"approved": True})

    def ids(status: str) -> list[str]:
        runs = list(waiting.runs(status=status, page_size=size))
        assert {run.status for run in runs} <= {status}
        return [run.run_id for run in runs if run.run_id.startswith(key)]

    assert ids("suspended") == [f"{key}-2", f"{key}-0"]
    assert ids("success") == [f"{key}-1"]
    assert ids("waiting") == []


def test_runs_of_a_workflow_without_any(own_proxy: FaultProxy) -> None:
    with MastraClient(own_proxy.url) as client:
        assert list(client.get_workflow("earlyExit").runs()) == []


@pytest.mark.version_specific
def test_deleting(client: MastraClient, server: SampleServer, key: str) -> None:
    run = client.get_workflow("orderReport").get_run(key)
    record: WorkflowRun = run.start_async(input_data=REPORT)
    if server.generation == "0":
        with pytest.raises(UnsupportedError, match=r"before 1.0 cannot delete"):
            run.delete()
        assert run.read() == record
        return
    run.delete()
    with pytest.raises(UnknownRunError):
        run.read()
    with pytest.raises(UnknownRunError, match=f"no run '{key}'"):
        run.delete()
