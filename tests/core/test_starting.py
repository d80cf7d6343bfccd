"""Test `create_run`, `start`, `start_async` and `stream` on real servers."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from mastra_workflows import MastraClient, Receipt, Run, WorkflowRun
from mastra_workflows.errors import InvalidInputError, RunAlreadyStartedError, RunNotStartedError
from testkit.sample_server import SampleServer
from tests.core.samples import REFUND, REPORT, charge, names, suspended_refund
from tests.support.fault_proxy import FaultProxy

ONE_REQUEST: list[Callable[..., object]] = [Run.start_async, Run.stream]


def test_a_run_is_created(client: MastraClient, key: str) -> None:
    run = client.get_workflow("orderReport").create_run(key)
    assert run.run_id == key
    assert run.read().is_pending
    assert client.get_workflow("orderReport").create_run(key).run_id == key  # harmless


def test_create_run_generates_a_unique_id(client: MastraClient) -> None:
    workflow = client.get_workflow("orderReport")
    ids = {workflow.create_run().run_id for _ in range(3)}
    assert len(ids) == 3
    assert all(workflow.get_run(run_id).read().is_pending for run_id in ids)


def test_create_run_leaves_a_run_that_was_started_alone(client: MastraClient, key: str) -> None:
    run = client.get_workflow("orderReport").get_run(key)
    run.start_async(input_data=REPORT)
    client.get_workflow("orderReport").create_run(key)
    assert run.read().is_success


def test_start_does_not_wait(client: MastraClient, key: str) -> None:
    run = client.get_workflow("slowExport").create_run(key)
    run.start(input_data={"seconds": 3600})
    assert run.read().is_active
    run.cancel()


def test_start_and_wait(client: MastraClient, key: str) -> None:
    run = client.get_workflow("orderReport").create_run(key)
    run.start(input_data=REPORT)
    record = run.wait(timeout=30).raise_for_status()
    assert record.result["text"] == "Köln: 2 orders, 22.5 EUR"
    assert [step.status for step in record.steps] == ["success"] * 3


def test_start_async_waits(client: MastraClient, key: str) -> None:
    record = client.get_workflow("orderReport").get_run(key).start_async(input_data=REPORT)
    assert record.is_success
    assert record.run_id == key
    assert record.payload["city"] == "Köln"


def test_start_async_ends_at_a_suspension(client: MastraClient, key: str) -> None:
    assert names(suspended_refund(client, key).read()) == ["approve"]


@pytest.mark.version_specific
def test_start_options_reach_the_run(client: MastraClient, server: SampleServer, key: str) -> None:
    workflow = client.get_workflow("orderReport")
    run = workflow.get_run(key)
    receipt = run.start(
        input_data=REPORT,
        initial_state={},
        request_context={"user": "7"},
        tracing_options={"metadata": {"from": "tests"}},
        resource_id=f"owner of {key}",
    )
    assert receipt == Receipt(key, None)
    record = run.wait(timeout=30)
    assert record.is_success
    if server.generation == "1":
        assert record.resource_id == f"owner of {key}"
        owned = list(workflow.runs(resource_id=f"owner of {key}"))
        assert [found.run_id for found in owned] == [key]


def test_start_twice_executes_once(client: MastraClient, server: SampleServer, key: str) -> None:
    run = client.get_workflow("countedCharge").get_run(key)
    assert run.start(input_data=charge(key)).found is None
    run.wait(timeout=30)
    found = run.start(input_data=charge(key)).found
    assert found is not None
    assert found.result == {"charged": 5}
    assert server.executions(key) == 1


def test_start_while_the_run_executes(client: MastraClient, server: SampleServer, key: str) -> None:
    run = client.get_workflow("countedCharge").get_run(key)
    run.start(input_data=charge(key, seconds=3600))
    found = run.start(input_data=charge(key, seconds=3600)).found
    assert found is not None
    assert found.is_active
    run.cancel(confirm_timeout=0)
    assert server.executions(key) == 1


def test_start_leaves_a_suspended_run_alone(client: MastraClient, key: str) -> None:
    # /stream of a suspended run would execute it anew.
    run = suspended_refund(client, key)
    since = run.read().suspensions[0].suspended_at
    found = run.start(input_data=REFUND).found
    assert found is not None
    assert found.suspensions[0].suspended_at == since
    assert found.suspensions[0].payload["order"] == "A-17"


def test_ten_concurrent_starts_execute_once(
    client: MastraClient, server: SampleServer, key: str
) -> None:
    # It lasts until every client has sent its start: 0.x takes one that comes after the end.
    def ensure(_: int) -> WorkflowRun:
        run = client.get_workflow("countedCharge").get_run(key)
        run.start(input_data=charge(key, seconds=3))
        return run.wait(timeout=30)

    with ThreadPoolExecutor(10) as pool:
        records = list(pool.map(ensure, range(10)))
    assert {record.status for record in records} == {"success"}
    assert server.executions(key) == 1


@pytest.mark.smoke
@pytest.mark.version_specific
def test_ten_concurrent_clients_execute_once(server: SampleServer, key: str) -> None:
    def ensure(_: int) -> str:
        with MastraClient(server.url) as client:
            run = client.get_workflow("countedCharge").get_run(key)
            run.start(input_data=charge(key, seconds=3))
            return run.wait(timeout=30).status

    with ThreadPoolExecutor(10) as pool:
        assert set(pool.map(ensure, range(10))) == {"success"}
    assert server.executions(key) == 1


def test_run_continues_after_start_drops_the_stream(
    proxied: MastraClient, proxy: FaultProxy, server: SampleServer, key: str
) -> None:
    run = proxied.get_workflow("countedCharge").get_run(key)
    run.start(input_data=charge(key, seconds=0.5))
    assert run.read().is_active
    assert run.wait(timeout=30, poll_interval=0.1, observe=False).is_success
    assert proxy.count("POST") == proxy.count("POST", "/stream$") == 1
    assert server.executions(key) == 1


@pytest.mark.parametrize("start", ONE_REQUEST)
def test_a_run_that_was_started_is_not_started_again(
    client: MastraClient, server: SampleServer, key: str, start: Callable[..., object]
) -> None:
    run = client.get_workflow("countedCharge").get_run(key)
    run.start_async(input_data=charge(key))
    with pytest.raises(RunAlreadyStartedError) as caught:
        start(run, input_data=charge(key))
    assert caught.value.run.run_id == key
    assert caught.value.run.result == {"charged": 5}
    assert server.executions(key) == 1


@pytest.mark.parametrize("start", [Run.start, *ONE_REQUEST])
def test_invalid_input_starts_nothing(
    proxied: MastraClient, proxy: FaultProxy, key: str, start: Callable[..., object]
) -> None:
    run = proxied.get_workflow("orderReport").get_run(key)
    for data, problems in (
        ({"day": 3}, ("$.city: required", "$.day: expected string, got integer")),
        (None, ("$.city: required",)),
        ([], ("$: expected object, got array",)),
    ):
        with pytest.raises(InvalidInputError, match="Nothing was started") as caught:
            start(run, input_data=data)
        assert caught.value.validation_errors == problems
    assert proxy.count("POST") == 0


@pytest.mark.version_specific
def test_input_refused_by_the_server_raises(server: SampleServer, key: str) -> None:
    if server.generation == "0":
        pytest.skip("0.x does not validate input")
    with MastraClient(server.url, check_data=False, start_timeout=2) as client:
        workflow = client.get_workflow("orderReport")
        for verb in (Run.start, Run.start_async):
            with pytest.raises(InvalidInputError, match=r"city: .*Nothing was executed"):
                verb(workflow.get_run(f"{key}-{verb.__name__}"), input_data={"day": 3})
        run = workflow.create_run(key)
        with pytest.raises(RunNotStartedError, match="not started within 2 s"):
            run.wait(poll_interval=0.5)
        assert run.read().is_pending


def test_unknown_fields_are_logged(
    client: MastraClient, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    run = client.get_workflow("orderReport").get_run(key)
    assert run.start_async(input_data={**REPORT, "town": "s3cret"}).is_success
    assert "$.town: not in the schema; the server may drop it" in caplog.text
    assert "s3cret" not in caplog.text
