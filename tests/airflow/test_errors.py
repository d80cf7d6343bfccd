"""Test the exceptions of tasks: errors of both Airflow and the client, with the run's record."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import airflow
import pytest
from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
)
from airflow.sdk import DAG

from airflow_provider_mastra.operators.workflow import MastraRunWorkflowOperator
from airflow_provider_mastra.sensors.workflow import MastraWorkflowRunSensor
from airflow_provider_mastra.utils._errors import as_airflow_error, as_airflow_errors
from mastra_workflows import MastraClient
from mastra_workflows.errors import (
    FINAL,
    AuthenticationError,
    ConfigurationError,
    MastraError,
    RunCanceledError,
    RunFailedError,
    RunSuspendedError,
    ServerLostError,
    WaitTimeoutError,
)
from testkit.processes import free_port
from testkit.sample_server import SampleServer
from tests.airflow.harness import Connect, DagResult, RunDag, StartRun

REFUND = {"order": "A-1", "amount": 100, "reason": "broken"}
WAYS = pytest.mark.parametrize("deferrable", [False, True], ids=["worker", "triggerer"])


def is_all(error: object, *kinds: type[Exception]) -> bool:
    """Whether an error is an instance of each class; mypy takes some for impossible together."""
    return all(isinstance(error, kind) for kind in kinds)


Failing = Callable[..., tuple[Any, DagResult]]


@pytest.fixture
def fail(connected: SampleServer, run_dag: RunDag) -> Failing:
    """Runs a task, and gives the exception that its callback received."""

    def fail(operator: Any, **arguments: Any) -> tuple[Any, DagResult]:
        seen: list[Any] = []
        with DAG("errors", schedule=None) as dag:
            operator(
                task_id="task",
                retry_delay=timedelta(0),
                on_failure_callback=lambda context: seen.append(context.get("exception")),
                **arguments,
            )
        result = run_dag(dag)
        if seen[-1] is None and airflow.__version__.startswith("3.1."):
            pytest.skip("dag.test() of Airflow 3.1 passes no exception to callbacks")
        return seen[-1], result

    return fail


def test_a_failed_run_may_be_retried(fail: Failing, key: str) -> None:
    error, result = fail(
        MastraRunWorkflowOperator, workflow_id="failingImport", run_id=key, retries=1
    )
    assert is_all(error, RunFailedError, AirflowException)
    assert not is_all(error, AirflowFailException)
    assert result.tries("task") == 2
    assert error.run.run_id == f"{key}-2"
    assert error.run.status == "failed"
    assert "RunFailedError: Run" in result.log


@WAYS
def test_a_suspended_run_is_final(fail: Failing, key: str, deferrable: bool) -> None:
    error, result = fail(
        MastraRunWorkflowOperator,
        workflow_id="refundApproval",
        run_id=key,
        input_data=REFUND,
        retries=3,
        deferrable=deferrable,
    )
    assert is_all(error, RunSuspendedError, AirflowFailException)
    assert result.tries("task") == 1
    assert (error.run.run_id, error.run.status) == (key, "suspended")


def test_run_cancelled_by_another_client_is_final(
    fail: Failing, client: MastraClient, start_run: StartRun
) -> None:
    run_id = start_run("slowExport", seconds=60)
    client.get_workflow("slowExport").get_run(run_id).cancel()
    error, result = fail(
        MastraRunWorkflowOperator,
        workflow_id="slowExport",
        run_id=run_id,
        input_data={"seconds": 60},
        retries=3,
    )
    assert is_all(error, RunCanceledError, AirflowFailException)
    assert result.tries("task") == 1
    assert (error.run.run_id, error.run.status) == (run_id, "canceled")


@WAYS
def test_a_timeout_may_be_retried(fail: Failing, key: str, deferrable: bool) -> None:
    error, _ = fail(
        MastraRunWorkflowOperator,
        workflow_id="slowExport",
        run_id=key,
        input_data={"seconds": 60},
        timeout=2,
        deferrable=deferrable,
    )
    assert is_all(error, WaitTimeoutError, AirflowException)
    assert not is_all(error, AirflowFailException)
    assert error.run.run_id == key


@WAYS
def test_a_failed_run_is_final_for_a_sensor(
    fail: Failing, start_run: StartRun, deferrable: bool
) -> None:
    run_id = start_run("failingImport")
    error, _ = fail(
        MastraWorkflowRunSensor, workflow_id="failingImport", run_id=run_id, deferrable=deferrable
    )
    assert is_all(error, RunFailedError, AirflowFailException)
    assert (error.run.run_id, error.run.status) == (run_id, "failed")


@pytest.mark.parametrize(
    "way", [{"mode": "poke"}, {"mode": "reschedule"}, {"deferrable": True}], ids=str
)
def test_a_timeout_of_a_sensor(fail: Failing, start_run: StartRun, way: dict[str, Any]) -> None:
    run_id = start_run("slowExport", seconds=60)
    error, _ = fail(
        MastraWorkflowRunSensor,
        workflow_id="slowExport",
        run_id=run_id,
        timeout=2,
        poke_interval=1,
        **way,
    )
    assert is_all(error, WaitTimeoutError, AirflowSensorTimeout)
    assert error.run.run_id == run_id


def test_error_without_a_run(fail: Failing, connect: Connect) -> None:
    connect(f"http://127.0.0.1:{free_port()}")
    error, _ = fail(
        MastraRunWorkflowOperator, workflow_id="orderReport", input_data={"city": "Hamburg"}
    )
    assert is_all(error, MastraError, AirflowException)
    assert error.run is None


@pytest.mark.parametrize("kind", FINAL, ids=lambda kind: str(kind.__name__))
def test_errors_that_a_retry_cannot_resolve_are_final(kind: type[MastraError]) -> None:
    error = kind.__new__(kind)
    with pytest.raises(AirflowFailException) as raised, as_airflow_errors():
        raise error
    assert is_all(raised.value, kind)
    assert type(raised.value).__name__ == kind.__name__


def test_an_error_is_converted_once() -> None:
    with pytest.raises(ServerLostError) as raised, as_airflow_errors(), as_airflow_errors():
        raise ServerLostError("gone")
    first = raised.value
    assert is_all(first, AirflowException)
    again = as_airflow_error(first, AirflowSkipException)
    assert is_all(again, ServerLostError)
    assert not is_all(again, AirflowFailException)
    assert str(again) == "gone"


def test_a_converted_error_can_be_pickled() -> None:
    error = as_airflow_error(AuthenticationError("no", status_code=401), AirflowFailException)
    again = pickle.loads(pickle.dumps(error))
    assert is_all(again, AuthenticationError, AirflowFailException)
    assert (again.status_code, str(again)) == (401, str(error))


def test_caught_error_keeps_its_class() -> None:
    cause = KeyError("x")
    with pytest.raises(ConfigurationError, match="bad") as raised, as_airflow_errors():
        raise ConfigurationError("bad") from cause
    assert raised.value.__cause__ is cause
    assert is_all(raised.value, ValueError)
