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
def test_a_step_that_honours_its_abort_signal(client: MastraClient, key: str) -> None:
    run = client.get_workflow("slowExport").get_run(key)
    run.start(input_data={"seconds": 3600})
    cancellation = run.cancel()
    assert cancellation.requested
    assert cancellation.is_confirmed
    assert cancellation.run.status == "canceled"
    assert str(cancellation) == f"Run '{key}' of workflow 'slowExport' was cancelled."


@pytest.mark.version_specific
def test_a_step_that_does_not(client: MastraClient, server: SampleServer, key: str) -> None:
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
def test_a_run_that_sleeps(client: MastraClient, server: SampleServer, key: str) -> None:
    run = client.get_workflow("coolDown").get_run(key)
    run.start(input_data={"seconds": 1})
    cancellation = run.cancel(confirm_timeout=0.2)
    assert cancellation.is_confirmed == (server.generation == "1")  # it sleeps to the end first
    record = run.wait(timeout=30, poll_interval=0.2)
    assert record.status == "canceled"
    assert record.step(("second-call",)) is None


def test_a_run_that_is_over(proxied: MastraClient, proxy: FaultProxy, key: str) -> None:
    # 1.x would rewrite its record as canceled.
    run = proxied.get_workflow("orderReport").get_run(key)
    run.start_async(input_data=REPORT)
    cancellation = run.cancel()
    assert not cancellation.requested
    assert cancellation.is_confirmed
    assert "succeeded. It had already finished; nothing was cancelled." in str(cancellation)
    assert proxy.count("POST", "/cancel$") == 0
    assert run.read().is_success


def test_cancelling_twice(client: MastraClient, key: str) -> None:
    run = client.get_workflow("slowExport").get_run(key)
    run.start(input_data={"seconds": 3600})
    assert run.cancel().requested
    assert not run.cancel().requested


@pytest.mark.version_specific
def test_a_suspended_run(client: MastraClient, server: SampleServer, key: str) -> None:
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
def test_a_run_that_nobody_started(client: MastraClient, server: SampleServer, key: str) -> None:
    run = client.get_workflow("orderReport").create_run(key)
    cancellation = run.cancel()
    assert cancellation.requested
    assert cancellation.is_confirmed
    if server.generation == "0":
        assert "never started; nothing executes" in str(cancellation)


def test_a_run_that_is_not_there(client: MastraClient, key: str) -> None:
    with pytest.raises(UnknownRunError, match=f"no run '{key}'"):
        client.get_workflow("orderReport").get_run(key).cancel()


def test_a_piece_of_work_is_cancelled_where_it_is_in_its_line(
    client: MastraClient, key: str
) -> None:
    workflow = client.get_workflow("slowExport")
    with pytest.raises(UnknownRunError):
        workflow.cancel_work(key)
    for run_id in (key, f"{key}-2"):
        assert workflow.attach_or_start(key, input_data={"seconds": 3600}).run_id == run_id
        cancellation = workflow.cancel_work(key, allow_retry=True)
        assert cancellation.requested
        assert (cancellation.run.run_id, cancellation.run.status) == (run_id, "canceled")
    assert not workflow.cancel_work(key, allow_retry=True).requested


def test_what_follows_a_success_is_other_work(client: MastraClient, key: str) -> None:
    """Its id may look like the next in line; the line goes on after a failure only."""
    workflow = client.get_workflow("slowExport")
    workflow.get_run(key).start_async(input_data={"seconds": 0})
    other = workflow.get_run(f"{key}-2")
    other.start(input_data={"seconds": 3600})
    assert not workflow.cancel_work(key).requested
    assert other.read().is_active
    other.cancel()


@pytest.mark.version_specific
def test_other_work_whose_id_looks_like_the_next_in_line_is_left_alone(
    client: MastraClient, key: str
) -> None:
    """On 0.x a started run ``<id>-2`` is otherwise the sign that run ``<id>`` was cancelled."""
    workflow = client.get_workflow("slowExport")
    run, other = workflow.get_run(key), workflow.get_run(f"{key}-2")
    run.start(input_data={"seconds": 3600})
    other.start(input_data={"seconds": 3599})
    assert workflow.attach_or_start(key, input_data={"seconds": 3600}).run_id == key
    assert workflow.cancel_work(key).run.run_id == key
    assert other.read().is_active
    other.cancel()
