"""Test MastraWorkflowRunSensor with `dag.test()` against real servers."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk import DAG, Context, PokeReturnValue

from airflow_provider_mastra.sensors.workflow import MastraWorkflowRunSensor
from mastra_workflows import MastraClient, Run, RunStatus, WorkflowRun
from mastra_workflows.errors import ConfigurationError, UnknownRunError
from testkit.sample_server import SampleServer
from tests.airflow.harness import STUDIO, Connect, DagResult, RunDag, StartRun, until_state

REFUND = {"order": "A-1", "amount": 100, "reason": "broken"}


class Watched(MastraWorkflowRunSensor):
    """Something happens a second after it began to look."""

    meanwhile: Callable[[], Any]

    def poke(self, context: Context) -> PokeReturnValue:
        """Look, and have it happen later."""
        threading.Timer(1.0, self.meanwhile).start()
        return super().poke(context)


@pytest.fixture
def sense(connected: SampleServer, run_dag: RunDag) -> Any:
    """Runs a DAG of one sensor, `wait`."""

    def sense(workflow_id: str, run_id: str, **arguments: Any) -> DagResult:
        with DAG("sensor", schedule=None) as dag:
            MastraWorkflowRunSensor(
                task_id="wait", workflow_id=workflow_id, run_id=run_id, **arguments
            )
        return run_dag(dag)

    return sense


def test_waits_for_the_end_and_returns_the_result(sense: Any, start_run: StartRun) -> None:
    run_id = start_run("slowExport", seconds=2)
    result = sense("slowExport", "{{ '" + run_id + "' }}")

    assert result.xcoms("wait") == {
        "return_value": {"exported": True},
        "run_id": run_id,
        "status": "success",
        "mastra_run_url": f"{STUDIO}/workflows/slowExport/graph/{run_id}",
    }
    started = result.log.index("Step 'export' started")
    assert started < result.log.index("Step 'export' succeeded after")
    assert f"Run '{run_id}' of workflow 'slowExport' succeeded. Steps: export" in result.log


def test_reschedule_mode_holds_no_worker_between_polls(
    sense: Any, client: MastraClient, start_run: StartRun
) -> None:
    run = client.get_workflow("refundApproval").get_run(
        start_run("refundApproval", order="A-1", amount=5, reason="broken")
    )

    def person() -> None:
        until_state("sensor", "wait", "up_for_reschedule")
        run.resume(resume_data={"approved": True})

    responding = threading.Thread(target=person)
    responding.start()
    result = sense(
        "refundApproval", run.run_id, mode="reschedule", poke_interval=1, on_suspend="wait"
    )
    responding.join()

    assert result.xcom("wait")["refunded"] == 5
    assert "marking task as UP_FOR_RESCHEDULE" in result.log
    assert "is suspended" in result.log
    assert result.tries("wait") == 1


@pytest.mark.parametrize("mode", ["poke", "reschedule"])
def test_failed_run_fails_the_sensor_without_retries(
    sense: Any, start_run: StartRun, mode: str
) -> None:
    result = sense(
        "failingImport", start_run("failingImport"), mode=mode, retries=3, retry_delay=timedelta(0)
    )
    assert (result.task_state("wait"), result.tries("wait")) == ("failed", 1)
    assert "failed in step 'store-rows': Error: disk full on import-7" in result.log
    assert result.xcoms("wait").keys() == {"run_id", "status", "error", "mastra_run_url"}
    assert result.xcom("wait", "status") == "failed"


def test_cancelled_run_fails_the_sensor(
    sense: Any, client: MastraClient, start_run: StartRun
) -> None:
    run_id = start_run("slowExport", seconds=60)
    client.get_workflow("slowExport").get_run(run_id).cancel()
    result = sense("slowExport", run_id)
    assert result.task_state("wait") == "failed"
    assert "was cancelled. It has finished; start a new run to do the work again." in result.log


def test_unknown_run_fails_the_sensor_at_once(sense: Any, key: str) -> None:
    result = sense("orderReport", key, retries=3, retry_delay=timedelta(0))
    assert (result.task_state("wait"), result.tries("wait")) == ("failed", 1)
    assert f"The server has no run '{key}'" in result.log


WAYS: list[dict[str, Any]] = [{"mode": "poke"}, {"mode": "reschedule"}, {"deferrable": True}]


class Early(MastraWorkflowRunSensor):
    """The run is started as soon as it was found missing."""

    start: Callable[[], Any]

    def follow(self, run: Run, arguments: Any) -> WorkflowRun:
        try:
            return super().follow(run, arguments)
        except UnknownRunError:
            self.start()
            raise


@pytest.mark.parametrize("way", WAYS, ids=lambda way: "-".join(map(str, way.values())))
def test_sensor_waits_for_a_run_that_does_not_exist_yet(
    connected: SampleServer,
    run_dag: RunDag,
    client: MastraClient,
    key: str,
    way: dict[str, Any],
) -> None:
    run = client.get_workflow("orderReport").get_run(key)
    with DAG("early", schedule=None) as dag:
        sensor = Early(
            task_id="wait",
            workflow_id="orderReport",
            run_id=key,
            wait_for_existence=True,
            poke_interval=1,
            timeout=120,
            **way,
        )
    sensor.start = functools.partial(run.start, input_data={"city": "Oslo"})
    result = run_dag(dag)
    assert result.xcom("wait")["city"] == "Oslo"
    assert "does not exist yet" in result.log


@pytest.mark.parametrize("soft_fail", [False, True])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: "-".join(map(str, way.values())))
def test_the_wait_for_a_run_that_never_exists_times_out(
    sense: Any, key: str, way: dict[str, Any], soft_fail: bool
) -> None:
    result = sense(
        "orderReport",
        key,
        wait_for_existence=True,
        soft_fail=soft_fail,
        poke_interval=1,
        timeout=3,
        **way,
    )
    assert result.task_state("wait") == ("skipped" if soft_fail else "failed")
    assert "does not exist yet" in result.log
    assert result.xcom("wait", "run_id") == key


def test_waiting_for_existence_does_not_hide_an_unknown_workflow(sense: Any, key: str) -> None:
    result = sense("orderRepport", key, wait_for_existence=True, retries=3, timeout=60)
    assert (result.task_state("wait"), result.tries("wait")) == ("failed", 1)
    assert "no workflow 'orderRepport'" in result.log


@pytest.mark.parametrize("option", ["soft_fail", "never_fail"])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: "-".join(map(str, way.values())))
def test_failed_run_skips_the_sensor_and_logs_the_reason(
    sense: Any, start_run: StartRun, way: dict[str, Any], option: str
) -> None:
    result = sense("failingImport", start_run("failingImport"), **way, **{option: True})
    assert result.task_state("wait") == "skipped"
    assert "Skipped: Run " in result.log
    assert "disk full on import-7" in result.log.partition("Skipped: ")[2]


@pytest.mark.parametrize(("option", "state"), [("soft_fail", "failed"), ("never_fail", "skipped")])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: "-".join(map(str, way.values())))
def test_unknown_workflow_is_not_a_soft_failure(
    sense: Any, start_run: StartRun, way: dict[str, Any], option: str, state: str
) -> None:
    run_id = start_run("orderReport", city="Oslo")
    result = sense(
        "orderRepport", run_id, retries=3, retry_delay=timedelta(0), **way, **{option: True}
    )
    assert (result.task_state("wait"), result.tries("wait")) == (state, 1)
    assert "no workflow 'orderRepport'" in result.log
    assert ("Skipped: " in result.log) is (state == "skipped")


@pytest.mark.parametrize("option", ["soft_fail", "never_fail"])
def test_timeout_in_the_triggerer_skips_the_sensor(
    sense: Any, start_run: StartRun, option: str
) -> None:
    run_id = start_run("slowExport", seconds=60)
    result = sense("slowExport", run_id, deferrable=True, timeout=2, **{option: True})
    assert result.task_state("wait") == "skipped"
    assert "Skipped: Run " in result.log


@pytest.mark.parametrize("mode", ["poke", "reschedule"])
@pytest.mark.parametrize(("soft_fail", "state"), [(False, "failed"), (True, "skipped")])
def test_run_continues_after_the_sensors_timeout(
    sense: Any, client: MastraClient, start_run: StartRun, mode: str, soft_fail: bool, state: str
) -> None:
    run_id = start_run("slowExport", seconds=60)
    result = sense(
        "slowExport",
        run_id,
        mode=mode,
        soft_fail=soft_fail,
        timeout=1,
        poke_interval=1,
        retries=3,
        retry_delay=timedelta(0),
    )
    assert (result.task_state("wait"), result.tries("wait")) == (state, 1)
    read = client.get_workflow("slowExport").run_execution_result(run_id)
    assert read.status == RunStatus.RUNNING


@pytest.mark.parametrize("mode", ["poke", "reschedule"])
def test_on_suspend_return_succeeds_with_the_suspensions(
    sense: Any, start_run: StartRun, mode: str
) -> None:
    result = sense(
        "refundApproval", start_run("refundApproval", **REFUND), on_suspend="return", mode=mode
    )
    assert result.xcoms("wait").keys() == {"run_id", "status", "suspensions", "mastra_run_url"}
    assert result.xcom("wait", "status") == "suspended"
    assert result.xcom("wait", "suspensions")[0]["payload"] == REFUND


@pytest.mark.parametrize(("soft_fail", "state"), [(False, "failed"), (True, "skipped")])
def test_suspension_fails_the_sensor_by_default(
    sense: Any, start_run: StartRun, soft_fail: bool, state: str
) -> None:
    result = sense("refundApproval", start_run("refundApproval", **REFUND), soft_fail=soft_fail)
    assert result.task_state("wait") == state
    assert "is suspended at 'approve'" in result.log


def test_on_suspend_wait_waits_through_a_suspension(
    connected: SampleServer, run_dag: RunDag, client: MastraClient, start_run: StartRun
) -> None:
    run = client.get_workflow("refundApproval").get_run(start_run("refundApproval", **REFUND))
    run.wait(timeout=120)
    with DAG("through", schedule=None) as dag:
        sensor = Watched(
            task_id="wait",
            workflow_id="refundApproval",
            run_id=run.run_id,
            on_suspend="wait",
            poke_interval=0.5,
        )
    sensor.meanwhile = functools.partial(run.resume, resume_data={"approved": True})
    assert run_dag(dag).xcom("wait")["refunded"] == 100


@pytest.mark.parametrize("mode", ["poke", "reschedule"])
def test_sensor_survives_an_outage(
    own_server: SampleServer, connect: Connect, run_dag: RunDag, key: str, mode: str
) -> None:
    connect(own_server.url)
    with MastraClient(own_server.url) as client:
        run = client.get_workflow("orderReport").get_run(key)
        run.start(input_data={"city": "Oslo"})
        run.wait(timeout=120)
    own_server.stop()
    with DAG("outage", schedule=None) as dag:
        sensor = Watched(task_id="wait", workflow_id="orderReport", run_id=key, mode=mode)
    sensor.meanwhile = own_server.start
    result = run_dag(dag)

    assert result.xcom("wait", "status") == "success"
    assert "Mastra server unavailable" in result.log
    assert "Mastra server available again." in result.log


def test_sensor_fails_after_outage_timeout(
    own_server: SampleServer, connect: Connect, run_dag: RunDag
) -> None:
    connect(own_server.url)
    own_server.stop()
    with DAG("lost", schedule=None) as dag:
        MastraWorkflowRunSensor(
            task_id="wait", workflow_id="orderReport", run_id="a-run", outage_timeout=1
        )
    result = run_dag(dag)

    assert result.task_state("wait") == "failed"
    assert "ServerLostError: The server has not responded for 1 s" in result.log


@pytest.mark.parametrize("deferrable", [True, False])
def test_lost_run_fails_the_sensor(
    own_server: SampleServer, connect: Connect, run_dag: RunDag, key: str, deferrable: bool
) -> None:
    connect(own_server.url)
    with MastraClient(own_server.url) as client:
        client.get_workflow("slowExport").get_run(key).start(input_data={"seconds": 60})
    own_server.kill()
    own_server.start()
    with DAG("stalled", schedule=None) as dag:
        sensor = MastraWorkflowRunSensor(
            task_id="wait",
            workflow_id="slowExport",
            run_id=key,
            deferrable=deferrable,
            poke_interval=0.5,
            timeout=30,
        )
    sensor.wait_arguments["stall_timeout"] = 2.0
    result = run_dag(dag)

    assert result.task_state("wait") == "failed"
    assert "RunStalledError: Run" in result.log
    assert "server lost the run by restarting" in result.log
    assert ("The trigger has fired (stalled)." in result.log) is deferrable
    assert "is running. Steps: export running." in result.log


@pytest.mark.parametrize(
    "option",
    [
        {"on_suspend": "never"},
        {"poll_interval": 0},
        {"poll_interval": "1s"},
        {"outage_timeout": -1},
        {"outage_timeout": "3m"},
    ],
    ids=lambda option: "{}={}".format(*next(iter(option.items()))),
)
def test_invalid_option_fails_the_dag_import(option: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(option))):
        MastraWorkflowRunSensor(task_id="wait", workflow_id="w", run_id="r", **option)
