"""Test waiting in the triggerer with `dag.test()`, on both generations."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_provider_mastra.operators.workflow import (
    MastraResumeWorkflowOperator,
    MastraRunWorkflowOperator,
)
from airflow_provider_mastra.sensors.workflow import MastraWorkflowRunSensor
from airflow_provider_mastra.triggers.workflow import MastraWorkflowRunTrigger
from mastra_workflows import MastraClient, RunStatus
from testkit.sample_server import ROOT, SampleServer
from tests.airflow.harness import Connect, RunDag
from tests.conftest import EVERY_SERVER
from tests.support.fault_proxy import FaultProxy
from tests.support.faults import DropRequest

IN_TRIGGERER = "Deferring: the triggerer waits for the run."


def trigger(key: str, workflow_id: str = "slowExport", **options: Any) -> MastraWorkflowRunTrigger:
    arguments: dict[str, Any] = {
        "mastra_conn_id": "mastra_default",
        "workflow_id": workflow_id,
        "run_id": key,
        "wait": {"on_suspend": "return", "poll_interval": 0.1, "max_poll_interval": 0.2},
        "deadline": None,
        "cancel_on_kill": True,
        **options,
    }
    return MastraWorkflowRunTrigger(**arguments)


def first_event(waiting: MastraWorkflowRunTrigger) -> dict[str, Any]:
    """What a triggerer would be told, by the trigger as Airflow stores and makes it again."""
    path, arguments = waiting.serialize()
    assert path == "airflow_provider_mastra.triggers.workflow.MastraWorkflowRunTrigger"
    again = MastraWorkflowRunTrigger(**arguments)

    async def run() -> dict[str, Any]:
        async for event in again.run():
            payload: dict[str, Any] = event.payload
            return payload
        raise AssertionError("no event")

    return asyncio.run(run())


def test_run_is_awaited_in_the_triggerer(
    connected: SampleServer, run_dag: RunDag, key: str
) -> None:
    with DAG("deferred", schedule=None) as dag:
        MastraRunWorkflowOperator(
            task_id="charge",
            workflow_id="countedCharge",
            input_data={"key": key, "amount": 5, "seconds": 2},
            deferrable=True,
        )
    result = run_dag(dag)

    assert result.xcom("charge") == {"charged": 5}
    assert IN_TRIGGERER in result.log
    assert "The trigger has fired (over)." in result.log
    # In the triggerer, whose log may be lost, and again on the worker.
    assert result.log.count("Step 'charge' succeeded after") == 2
    assert connected.executions(key) == 1


@pytest.mark.parametrize("default", [True, False])
def test_default_deferrable_is_the_default(default: bool) -> None:
    """It is read when the operators are imported, so this needs a separate process."""
    program = (
        "from airflow_provider_mastra.operators.workflow import *\n"
        "from airflow_provider_mastra.sensors.workflow import *\n"
        "ids = {'task_id': 'task', 'workflow_id': 'w'}\n"
        "tasks = [MastraRunWorkflowOperator(**ids), MastraWorkflowRunSensor(**ids, run_id='r')]\n"
        "tasks.append(MastraResumeWorkflowOperator(**ids, run_id='r'))\n"
        "print([task.deferrable for task in tasks])"
    )
    environment = {**os.environ, "AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE": str(default)}
    printed = subprocess.check_output(
        [sys.executable, "-c", program], text=True, env=environment, cwd=ROOT
    )
    assert printed.splitlines()[-1] == str([default] * 3)


def test_a_short_run_is_not_deferred(connected: SampleServer, run_dag: RunDag) -> None:
    with DAG("short", schedule=None) as dag:
        MastraRunWorkflowOperator(
            task_id="report",
            workflow_id="slowExport",
            input_data={"seconds": 0.4},
            deferrable=True,
        )
    result = run_dag(dag)
    assert result.xcom("report", "status") == "success"
    assert IN_TRIGGERER not in result.log


@pytest.mark.parametrize(
    ("defer_after", "is_deferred"), [(0, True), (timedelta(seconds=60), False)]
)
def test_defer_after_is_the_time_on_the_worker(
    connected: SampleServer,
    run_dag: RunDag,
    defer_after: float | timedelta,
    is_deferred: bool,
) -> None:
    with DAG("defer_after", schedule=None) as dag:
        start: Any = MastraRunWorkflowOperator(
            task_id="export",
            workflow_id="slowExport",
            input_data={"seconds": 4},
            deferrable=True,
            defer_after=defer_after,
        )
        MastraWorkflowRunSensor(
            task_id="wait",
            workflow_id="slowExport",
            run_id=start.output["run_id"],
            deferrable=True,
            defer_after=defer_after,
        )
    result = run_dag(dag)
    assert result.xcom("export") == result.xcom("wait") == {"exported": True}
    assert (IN_TRIGGERER in result.log) is is_deferred


@pytest.mark.version_specific
def test_response_lost_at_the_end_of_defer_after_defers_the_task(
    server: SampleServer, connect: Connect, run_dag: RunDag, key: str
) -> None:
    """The worker has no more time to ask again; the triggerer has."""
    with FaultProxy(server.url) as proxy:
        connect(proxy.url)
        # 0.x is looked at now and then, 1.x once the time is over.
        last_look = 3 if server.generation == "1" else 5
        proxy.on("GET", "/runs/", DropRequest(), nth=last_look)
        with DAG("deferred_by_a_lost_response", schedule=None) as dag:
            MastraRunWorkflowOperator(
                task_id="charge",
                workflow_id="countedCharge",
                input_data={"key": key, "amount": 5, "seconds": 4},
                deferrable=True,
            )
        result = run_dag(dag)

    assert any(seen.fault is not None for seen in proxy.seen)
    assert result.xcom("charge") == {"charged": 5}
    assert result.tries("charge") == 1
    assert server.executions(key) == 1


def test_suspending_and_resuming(connected: SampleServer, run_dag: RunDag) -> None:
    with DAG("deferred_resume", schedule=None) as dag:
        ask: Any = MastraRunWorkflowOperator(
            task_id="ask",
            workflow_id="refundApproval",
            input_data={"order": "A-1", "amount": 5, "reason": "broken"},
            on_suspend="return",
            deferrable=True,
        )
        MastraResumeWorkflowOperator(
            task_id="resume",
            workflow_id="refundApproval",
            run_id=ask.output["run_id"],
            resume_data={"approved": True},
            deferrable=True,
        )
    result = run_dag(dag)
    assert result.xcom("ask", "suspensions")[0]["step"] == ["approve"]
    assert result.xcom("resume")["refunded"] == 5


def test_a_failed_run_fails_the_task(connected: SampleServer, run_dag: RunDag) -> None:
    with DAG("deferred_failure", schedule=None) as dag:
        MastraRunWorkflowOperator(task_id="import", workflow_id="failingImport", deferrable=True)
    result = run_dag(dag)
    assert result.task_state("import") == "failed"
    assert "disk full on import-7" in result.log


@pytest.mark.parametrize("limit", ["timeout", "execution_timeout"])
def test_deadline_wakes_the_task_which_cancels_the_run(
    connected: SampleServer, run_dag: RunDag, client: MastraClient, key: str, limit: str
) -> None:
    limits: Any = {limit: timedelta(seconds=3)}
    with DAG("deferred_timeout", schedule=None) as dag:
        MastraRunWorkflowOperator(
            task_id="export",
            workflow_id="slowExport",
            input_data={"seconds": 60},
            run_id=key,
            deferrable=True,
            **limits,
        )
    result = run_dag(dag)

    assert result.task_state("export") == "failed"
    assert "The trigger has fired (timeout)." in result.log
    assert result.xcom("export", key="status") == "canceled"
    record = client.get_workflow("slowExport").run_execution_result(key)
    assert record.status == RunStatus.CANCELED


def test_connection_from_the_database_is_used(
    server: SampleServer, run_dag: RunDag, key: str
) -> None:
    from airflow.models.connection import Connection  # the row, not what tasks are given
    from airflow.utils.session import create_session

    with create_session() as session:
        session.add(Connection(conn_id=key, conn_type="mastra", host=server.url))
    with DAG("of_the_database", schedule=None) as dag:
        MastraRunWorkflowOperator(
            task_id="export",
            workflow_id="slowExport",
            input_data={"seconds": 3},
            mastra_conn_id=key,
            deferrable=True,
        )
    result = run_dag(dag)

    assert IN_TRIGGERER in result.log
    assert result.task_state("export") == "success"


def test_the_event_holds_no_result(connected: SampleServer, client: MastraClient, key: str) -> None:
    client.get_workflow("orderReport").get_run(key).start_async(input_data={"city": "Oslo"})
    event = first_event(trigger(key, "orderReport"))
    assert event == {
        "workflow_id": "orderReport",
        "run_id": key,
        "reason": "over",
        "error": None,
        "deadline": None,
        "restarted": None,
    }


def test_event_is_delayed_until_the_deferral_has_settled(
    connected: SampleServer, client: MastraClient, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.get_workflow("orderReport").get_run(key).start_async(input_data={"city": "Oslo"})
    monkeypatch.setattr("airflow_provider_mastra.triggers.workflow.SETTLE_SECONDS", 1.0)
    deferred = time.time()
    first_event(trigger(key, "orderReport"))
    assert time.time() - deferred >= 1.0


def test_restarted_trigger_continues_to_wait(
    connected: SampleServer, client: MastraClient, key: str
) -> None:
    run = client.get_workflow("countedCharge").get_run(key)
    run.start(input_data={"key": key, "amount": 1, "seconds": 1})
    waiting = trigger(key, "countedCharge")

    async def leave() -> None:
        events = waiting.run()
        first = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first

    asyncio.run(leave())
    assert first_event(waiting)["reason"] == "over"
    assert connected.executions(key) == 1


def test_the_triggers_own_deadline(connected: SampleServer, client: MastraClient, key: str) -> None:
    run = client.get_workflow("slowExport").get_run(key)
    run.start(input_data={"seconds": 60})
    event = first_event(trigger(key, deadline=time.time() + 0.5))
    assert event["reason"] == "timeout"
    assert run.read().is_active  # what becomes of the run, the task decides
    run.cancel()


def test_errors_wake_the_task(connected: SampleServer, key: str) -> None:
    event = first_event(trigger(key))
    assert event["reason"] == "error"
    assert event["error"] == "UnknownRunError"


def test_a_trigger_waits_for_a_run_that_does_not_exist_yet(
    connected: SampleServer,
    client: MastraClient,
    key: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    waiting = trigger(key, "orderReport", wait_for_existence=True)
    _, arguments = waiting.serialize()
    assert arguments["wait_for_existence"]

    async def run() -> Any:
        first = asyncio.ensure_future(anext(waiting.run()))
        log = ""
        while "does not exist yet" not in log:
            assert not first.done(), log
            await asyncio.sleep(0.05)
            log += "".join(capfd.readouterr())
        start = client.get_workflow("orderReport").get_run(key).start
        await asyncio.to_thread(start, input_data={"city": "Oslo"})
        return await first

    assert asyncio.run(run()).payload["reason"] == "over"


def test_trigger_times_out_for_a_run_that_never_exists(connected: SampleServer, key: str) -> None:
    deadline = time.time() + 0.5
    event = first_event(trigger(key, wait_for_existence=True, deadline=deadline))
    assert event["reason"] == "timeout"


@pytest.fixture(params=EVERY_SERVER)
def mortal(request: pytest.FixtureRequest, connect: Connect) -> Iterator[SampleServer]:
    """A server that a test may kill."""
    with SampleServer(request.param) as server:
        connect(server.url)
        yield server


def test_a_lost_run_is_restarted_by_the_task(
    mortal: SampleServer, run_dag: RunDag, key: str
) -> None:
    class Unlucky(MastraRunWorkflowOperator):
        def start_or_resume(self, run: Any, context: Any) -> Any:
            started = super().start_or_resume(run, context)
            mortal.kill()
            mortal.start()
            return started

    with DAG("lost", schedule=None) as dag:
        Unlucky(
            task_id="charge",
            workflow_id="countedCharge",
            input_data={"key": key, "amount": 5, "seconds": 1},
            deferrable=True,
            max_poll_interval=0.5,
            stall_timeout=2,
            on_stall="restart",
        )
    result = run_dag(dag)

    assert result.xcom("charge") == {"charged": 5}
    assert "The trigger has fired (stalled)." in result.log
    assert result.log.count("Restarted the run.") == 1
    assert mortal.executions(key) == 2


def test_a_sensor_waits_in_the_triggerer(
    connected: SampleServer, run_dag: RunDag, key: str
) -> None:
    with DAG("deferred_sensor", schedule=None) as dag:
        # Started in the DAG, so that the run is not over before a busy machine has begun the DAG.
        start: Any = MastraRunWorkflowOperator(
            task_id="start",
            workflow_id="countedCharge",
            input_data={"key": key, "amount": 5, "seconds": 8},
            wait_for_completion=False,
        )
        MastraWorkflowRunSensor(
            task_id="wait",
            workflow_id="countedCharge",
            run_id=start.output["run_id"],
            deferrable=True,
        )
    result = run_dag(dag)
    assert result.xcom("wait") == {"charged": 5}
    assert result.log.count("Step 'charge' succeeded after") == 2


@pytest.mark.parametrize(("soft_fail", "state"), [(True, "skipped"), (False, "failed")])
def test_deferred_sensor_times_out(
    connected: SampleServer,
    run_dag: RunDag,
    client: MastraClient,
    key: str,
    soft_fail: bool,
    state: str,
) -> None:
    run = client.get_workflow("slowExport").get_run(key)
    run.start(input_data={"seconds": 60})
    with DAG("late_sensor", schedule=None) as dag:
        MastraWorkflowRunSensor(
            task_id="wait",
            workflow_id="slowExport",
            run_id=key,
            deferrable=True,
            timeout=2,
            soft_fail=soft_fail,
        )
    assert run_dag(dag).task_state("wait") == state
    assert run.read().is_active  # the run is not the sensor's own
    run.cancel()


def test_deferred_sensor_of_a_failed_run(
    connected: SampleServer, run_dag: RunDag, client: MastraClient, key: str
) -> None:
    client.get_workflow("failingImport").get_run(key).start_async()
    with DAG("failed_sensor", schedule=None) as dag:
        MastraWorkflowRunSensor(
            task_id="wait", workflow_id="failingImport", run_id=key, deferrable=True
        )
    result = run_dag(dag)
    assert result.task_state("wait") == "failed"
    assert "disk full on import-7" in result.log
