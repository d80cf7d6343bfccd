"""Test `cancel` on real servers: the returned state of the run, and its text."""

from __future__ import annotations

import pytest

from mastra_workflows import MastraClient
from mastra_workflows.errors import UnknownRunError
from testkit.sample_server import SampleServer
from tests.core.samples import REPORT, suspended_refund
from tests.support.fault_proxy import FaultProxy


@pytest.mark.smoke
@pytest.mark.version_specific
def test_cancel_of_a_step_that_honours_its_abort_signal(client: MastraClient, key: str) -> None:
    run = client.get_workflow("slowExport").get_run(key)
    run.start(input_data={"seconds": 3600})
    cancellation = run.cancel()
    assert cancellation.requested
    assert cancellation.is_confirmed
    assert cancellation.run.status == "canceled"
    assert str(cancellation) == f"Run '{key}' of workflow 'slowExport' was cancelled."


@pytest.mark.version_specific
def test_cancel_of_a_step_that_ignores_its_abort_signal(
    client: MastraClient, server: SampleServer, key: str
) -> None:
    run = client.get_workflow("stubbornExport").get_run(key)
    run.start(input_data={"seconds": 2})
    cancellation = run.cancel(confirm_timeout=0.2)
    assert cancellation.requested
    assert not cancellation.is_confirmed
    assert "ignores its abort signal" in str(cancellation)
    if server.generation == "1":
        assert "still shows step 'export' as running" in str(cancellation)
    else:
        assert "the run continues" in str(cancellation)
    assert run.wait(timeout=30, poll_interval=0.2).status == "canceled"


@pytest.mark.version_specific
def test_cancel_of_a_sleeping_run(client: MastraClient, server: SampleServer, key: str) -> None:
    run = client.get_workflow("coolDown").get_run(key)
    run.start(input_data={"seconds": 1})
    cancellation = run.cancel(confirm_timeout=0.2)
    assert cancellation.is_confirmed == (server.generation == "1")  # it sleeps to the end first
    record = run.wait(timeout=30, poll_interval=0.2)
    assert record.status == "canceled"
    assert record.step(("second-call",)) is None


def test_cancel_of_a_finished_run(proxied: MastraClient, proxy: FaultProxy, key: str) -> None:
    # 1.x would rewrite its record as canceled.
    run = proxied.get_workflow("orderReport").get_run(key)
    run.start_async(input_data=REPORT)
    cancellation = run.cancel()
    assert not cancellation.requested
    assert cancellation.is_confirmed
    assert "succeeded. It had already finished; nothing was cancelled." in str(cancellation)
    assert proxy.count("POST", "/cancel$") == 0
    assert run.read().is_success


def test_cancel_twice(client: MastraClient, key: str) -> None:
    run = client.get_workflow("slowExport").get_run(key)
    run.start(input_data={"seconds": 3600})
    assert run.cancel().requested
    assert not run.cancel().requested


@pytest.mark.version_specific
def test_cancel_of_a_suspended_run(client: MastraClient, server: SampleServer, key: str) -> None:
    run = suspended_refund(client, key)
    cancellation = run.cancel(confirm_timeout=0.2)
    if server.generation == "1":
        assert cancellation.run.status == "canceled"
        assert cancellation.is_confirmed
        return
    assert not cancellation.is_confirmed
    assert cancellation.run.is_suspended
    assert "servers before 1.0 do not end a suspended run" in str(cancellation)
    record = run.resume_async(resume_data={"approved": True})
    assert record.status == "canceled"
    assert record.step(("pay-back",)) is None


@pytest.mark.version_specific
def test_cancel_of_a_pending_run(client: MastraClient, server: SampleServer, key: str) -> None:
    run = client.get_workflow("orderReport").create_run(key)
    cancellation = run.cancel()
    assert cancellation.requested
    assert cancellation.is_confirmed
    if server.generation == "0":
        assert "never started; nothing executes" in str(cancellation)


def test_cancel_of_an_unknown_run(client: MastraClient, key: str) -> None:
    with pytest.raises(UnknownRunError, match=f"no run '{key}'"):
        client.get_workflow("orderReport").get_run(key).cancel()


def test_cancel_work_cancels_the_active_run(client: MastraClient, key: str) -> None:
    workflow = client.get_workflow("slowExport")
    with pytest.raises(UnknownRunError):
        workflow.cancel_work(key)
    for run_id in (key, f"{key}-2"):
        assert workflow.attach_or_start(key, input_data={"seconds": 3600}).run_id == run_id
        cancellation = workflow.cancel_work(key, allow_retry=True)
        assert cancellation.requested
        assert (cancellation.run.run_id, cancellation.run.status) == (run_id, "canceled")
    assert not workflow.cancel_work(key, allow_retry=True).requested


def test_cancel_work_ignores_runs_after_a_success(client: MastraClient, key: str) -> None:
    """Its id may look like that of the next run, which only follows a failure."""
    workflow = client.get_workflow("slowExport")
    workflow.get_run(key).start_async(input_data={"seconds": 0})
    other = workflow.get_run(f"{key}-2")
    other.start(input_data={"seconds": 3600})
    assert not workflow.cancel_work(key).requested
    assert other.read().is_active
    other.cancel()


@pytest.mark.version_specific
def test_cancel_work_ignores_other_work_with_a_similar_id(client: MastraClient, key: str) -> None:
    """On 0.x a started run ``<id>-2`` is otherwise the sign that run ``<id>`` was cancelled."""
    workflow = client.get_workflow("slowExport")
    run, other = workflow.get_run(key), workflow.get_run(f"{key}-2")
    run.start(input_data={"seconds": 3600})
    other.start(input_data={"seconds": 3599})
    assert workflow.attach_or_start(key, input_data={"seconds": 3600}).run_id == key
    assert workflow.cancel_work(key).run.run_id == key
    assert other.read().is_active
    other.cancel()
