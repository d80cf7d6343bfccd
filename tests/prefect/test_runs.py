"""Test the tasks and the flow: every end of a run, and the log lines about it."""

from __future__ import annotations

import json
import pickle
import time
from typing import Any

import pytest
from prefect import State, flow
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.sorting import TaskRunSort
from prefect.events.worker import EventsWorker

from mastra_workflows import MastraClient
from mastra_workflows.errors import (
    ConfigurationError,
    InvalidInputError,
    InvalidResumeDataError,
    NotSuspendedError,
    RunCanceledError,
    RunFailedError,
    RunSuspendedError,
    UnknownRunError,
    UnknownWorkflowError,
    WaitTimeoutError,
)
from prefect_mastra import (
    MastraServer,
    cancel_workflow_run,
    resume_workflow,
    run_workflow,
    start_workflow,
    wait_for_workflow_run,
)
from testkit.sample_server import SampleServer
from tests.support.fault_proxy import FaultProxy
from tests.support.faults import Respond

Outcome = dict[str, Any]

REFUND = {"order": "A-1", "amount": 100, "reason": "broken"}


@pytest.mark.smoke
@pytest.mark.version_specific
def test_run_workflow_gives_the_outcome(mastra: MastraServer, logs_of: Any) -> None:
    state = run_workflow(mastra, "orderReport", {"city": "Oslo"}, return_state=True)
    outcome = state.result()
    assert outcome == json.loads(json.dumps(outcome))
    assert outcome["status"] == "success"
    assert outcome["workflow_id"] == "orderReport"
    assert outcome["result"]["city"] == "Oslo"
    assert outcome["error"] is None
    assert outcome["suspensions"] == []
    run_id = outcome["run_id"]
    assert outcome["url"] == f"http://studio.example/workflows/orderReport/graph/{run_id}"

    log = logs_of(state)
    assert outcome["url"] in log
    for step in ("fetch-orders", "summarise", "render"):
        assert f"Step '{step}' succeeded after" in log
    summary = next(line for line in log.splitlines() if "Steps: fetch-orders" in line)
    assert f"Run '{run_id}' of workflow 'orderReport' succeeded" in summary


def test_a_run_that_fails_fails_the_flow(mastra: MastraServer, logs_of: Any) -> None:
    state = run_workflow(mastra, "failingImport", return_state=True)
    assert state.is_failed()
    with pytest.raises(RunFailedError, match="disk full on import-7") as caught:
        state.result()
    assert caught.value.run.status == "failed"
    assert "Step 'store-rows' failed" in logs_of(state)


def test_a_suspension_fails_by_default(mastra: MastraServer) -> None:
    with pytest.raises(RunSuspendedError, match="'approve'") as caught:
        run_workflow(mastra, "refundApproval", REFUND)
    assert caught.value.suspensions[0].payload == REFUND


def test_a_suspension_can_be_an_outcome_that_tasks_resume(mastra: MastraServer) -> None:
    @flow
    def approval() -> Outcome:
        asked = run_workflow(mastra, "refundApproval", REFUND, on_suspend="return")
        (suspension,) = asked["suspensions"]
        assert asked["status"] == "suspended"
        assert suspension["payload"] == REFUND
        assert suspension["resume_schema"]["required"] == ["approved"]
        with pytest.raises(InvalidResumeDataError, match=r"\$\.approved"):
            resume_workflow(mastra, asked, {"note": "maybe"})
        with pytest.raises(NotSuspendedError, match="'approve'"):
            resume_workflow(mastra, asked, {"approved": True}, step="pay-back")
        resumed = resume_workflow(mastra, asked, {"approved": True}, step=suspension["step"])
        return wait_for_workflow_run(mastra, resumed)

    assert approval()["result"]["refunded"] == 100


def test_a_suspension_can_be_waited_through(mastra: MastraServer) -> None:
    @flow
    def approval() -> Outcome:
        started = start_workflow(mastra, "refundApproval", REFUND)
        waiting = wait_for_workflow_run.submit(
            mastra, started, on_suspend="wait", max_poll_interval=0.5
        )
        asked = wait_for_workflow_run(mastra, started, on_suspend="return")
        resume_workflow(mastra, asked, {"approved": False})
        return waiting.result()

    assert approval()["result"]["refunded"] == 0


def test_outage_is_logged_in_the_flow_run(logs_of: Any) -> None:
    with SampleServer("1") as server:
        mastra = MastraServer(base_url=server.url)

        @flow
        def approval() -> None:
            started = start_workflow(mastra, "refundApproval", REFUND)
            server.stop()
            waiting = wait_for_workflow_run.submit(mastra, started, on_suspend="return")
            server.start()
            waiting.result()

        log = logs_of(approval(return_state=True))
    assert "Mastra server unavailable" in log
    assert "Mastra server available again" in log


def test_invalid_first_response_is_an_outage(
    mastra: MastraServer, server: SampleServer, logs_of: Any
) -> None:
    """As by a token that was rotated, where the run is known to have been started."""
    with FaultProxy(server.url) as proxy:
        proxied = MastraServer(base_url=proxy.url)

        @flow
        def report() -> Outcome:
            started = start_workflow(mastra, "orderReport", {"city": "Oslo"})
            proxy.on("GET", "/runs/", Respond(401), nth=1)
            return wait_for_workflow_run(proxied, started)

        state = report(return_state=True)
    assert state.result()["status"] == "success"
    assert "Mastra server unavailable" in logs_of(state)


def test_timeout_ends_the_wait(mastra: MastraServer, client: MastraClient, key: str) -> None:
    run = client.get_workflow("slowExport").get_run(key)
    slow: dict[str, Any] = {"seconds": 60}
    with pytest.raises(WaitTimeoutError, match="continues"):
        run_workflow(mastra, "slowExport", slow, run_id=key, timeout=0.2, cancel_on_timeout=False)
    assert run.read().is_active
    with pytest.raises(WaitTimeoutError, match="cancel_on_timeout is on"):
        run_workflow(mastra, "slowExport", slow, run_id=key, timeout=0.2)
    assert run.read().status == "canceled"


@pytest.mark.smoke
@pytest.mark.version_specific
def test_a_run_is_cancelled(mastra: MastraServer, logs_of: Any) -> None:
    @flow
    def short_lived() -> Outcome:
        started = start_workflow(mastra, "slowExport", {"seconds": 60})
        cancelled = cancel_workflow_run(mastra, started)
        with pytest.raises(RunCanceledError):
            wait_for_workflow_run(mastra, started)
        return cancelled

    state = short_lived(return_state=True)
    assert state.result()["status"] == "canceled"
    assert "was cancelled" in logs_of(state)


def test_invalid_arguments_start_nothing(mastra: MastraServer, key: str, has_run: Any) -> None:
    @flow
    def wrong() -> None:
        with pytest.raises(InvalidInputError, match=r"\$\.city: required"):
            start_workflow(mastra, "orderReport", {"town": "Oslo"}, run_id=key)
        with pytest.raises(InvalidInputError, match=r"\$\.city: required"):
            run_workflow(mastra, "orderReport", run_id=key)
        with pytest.raises(UnknownWorkflowError, match="orderReport"):
            start_workflow(mastra, "orderReports", {"city": "Oslo"}, run_id=key)
        with pytest.raises(UnknownRunError, match=key):
            wait_for_workflow_run(mastra, {"workflow_id": "orderReport", "run_id": key})
        with pytest.raises(ConfigurationError, match="'workflow_id' and 'run_id'"):
            wait_for_workflow_run(mastra, {"id": key})

    wrong()
    assert not has_run("orderReport", key)


@pytest.mark.parametrize(
    "workflow_id", ['odd key/50% + "quotes" é', "translation"], ids=["odd key", "plain key"]
)
def test_ids_and_data_with_special_characters(
    mastra: MastraServer, key: str, workflow_id: str
) -> None:
    run_id = f"{key} /%+\"'é"
    data = {"text": "Grüße 東京"} if "odd" in workflow_id else {"words": {"Grüße": "東京"}}
    outcome = run_workflow(mastra, workflow_id, data, run_id=run_id)
    assert outcome["run_id"] == run_id
    assert "東京" in str(outcome["result"])


def test_an_error_can_be_stored(mastra_1: MastraServer) -> None:
    """A result that Prefect keeps, or gets from another process, is a pickle."""
    with pytest.raises(RunFailedError) as caught:
        run_workflow(mastra_1, "failingImport")
    again = pickle.loads(pickle.dumps(caught.value))
    assert isinstance(again, RunFailedError)
    assert str(again) == str(caught.value)
    assert again.run == caught.value.run


@pytest.mark.parametrize(
    ("workflow_id", "error"),
    [("orderReport", "InvalidInputError"), ("orderReports", "UnknownWorkflowError")],
)
def test_no_retry_for_final_errors(
    mastra_1: MastraServer, api: SyncPrefectClient, workflow_id: str, error: str
) -> None:
    @flow
    def tries_once() -> None:
        start_workflow.with_options(retries=3)(mastra_1, workflow_id)

    state = tries_once(return_state=True)
    assert error in str(state.message)
    assert _tries(api, state) == 1


def test_no_retry_for_a_cancelled_run(
    mastra_1: MastraServer, api: SyncPrefectClient, key: str
) -> None:
    @flow
    def waits() -> None:
        run = start_workflow(mastra_1, "slowExport", {"seconds": 60}, run_id=key)
        with mastra_1.get_client() as client:
            client.get_workflow("slowExport").get_run(key).cancel()
        wait_for_workflow_run.with_options(retries=3)(mastra_1, run)

    state = waits(return_state=True)
    assert "RunCanceledError" in str(state.message)
    assert _tries(api, state) == 1


def test_no_retry_for_a_suspension(mastra_1: MastraServer, api: SyncPrefectClient) -> None:
    @flow
    def waits() -> None:
        run = start_workflow(mastra_1, "refundApproval", REFUND)
        wait_for_workflow_run.with_options(retries=3)(mastra_1, run)

    state = waits(return_state=True)
    assert "RunSuspendedError" in str(state.message)
    assert "on_suspend" in str(state.message)  # it says what else could be set
    assert _tries(api, state) == 1


@pytest.mark.parametrize(
    "name", ["timeout", "poll_interval", "max_poll_interval", "outage_timeout", "stall_timeout"]
)
def test_invalid_duration_error_names_the_option(
    mastra_1: MastraServer, key: str, name: str
) -> None:
    wrong: Any = {name: "3m"}
    with pytest.raises(ConfigurationError, match=f"{name}.*'3m'"):
        run_workflow.fn(mastra_1, "orderReport", {"city": "Oslo"}, run_id=key, **wrong)
    with pytest.raises(ConfigurationError, match=f"{name}.*'3m'"):
        wait_for_workflow_run.fn(mastra_1, {"workflow_id": "orderReport", "run_id": key}, **wrong)
    with mastra_1.get_client() as client, pytest.raises(UnknownRunError):
        client.get_workflow("orderReport").get_run(key).read()  # nothing was started


@pytest.mark.smoke
def test_retry_continues_to_wait(mastra_1: MastraServer, api: SyncPrefectClient, key: str) -> None:
    @flow
    def waits() -> None:
        started = start_workflow(mastra_1, "slowExport", {"seconds": 60}, run_id=key)
        try:
            wait_for_workflow_run.with_options(retries=2)(
                mastra_1, started, timeout=0.1, cancel_on_timeout=False
            )
        finally:
            cancel_workflow_run(mastra_1, started)

    state = waits(return_state=True)
    assert "WaitTimeoutError" in str(state.message)
    assert _tries(api, state) == 3


def _tries(api: SyncPrefectClient, state: State[Any]) -> int:
    """How often the task was tried that failed the flow."""
    flow_run_id = state.state_details.flow_run_id
    assert flow_run_id is not None
    EventsWorker.drain_all()  # Prefect's server learns of task runs by events
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        runs = api.read_task_runs(
            flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id])),
            limit=10,
            sort=TaskRunSort.ID_DESC,
        )
        for run in runs:
            if run.state_type == StateType.FAILED:
                return run.run_count
        time.sleep(0.1)
    raise AssertionError("Prefect's server shows no failed task run.")
