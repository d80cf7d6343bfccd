"""Test options of wrong types or values: an error of this project, before any request is sent."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_provider_mastra.operators.hitl import MastraHITLOperator
from airflow_provider_mastra.operators.inbox import MastraInboxOperator
from airflow_provider_mastra.operators.workflow import (
    MastraCancelWorkflowRunOperator,
    MastraResumeWorkflowOperator,
    MastraRunWorkflowOperator,
)
from airflow_provider_mastra.sensors.workflow import MastraWorkflowRunSensor
from mastra_workflows.errors import ConfigurationError
from testkit.processes import free_port
from tests.airflow.harness import Connect, RunDag

RUN: tuple[Any, dict[str, Any]] = (MastraRunWorkflowOperator, {})
RESUME = (MastraResumeWorkflowOperator, {"run_id": "r"})
CANCEL = (MastraCancelWorkflowRunOperator, {"run_id": "r"})
GATE = (MastraHITLOperator, {"run_id": "r"})
SENSOR = (MastraWorkflowRunSensor, {"run_id": "r"})
FLAGS = {
    "wait_for_completion": [RUN, RESUME],
    "deferrable": [RUN, RESUME, GATE, SENSOR],
    "observe": [RUN, RESUME, GATE, SENSOR],
    "cancel_on_kill": [RUN, RESUME, GATE],
    "cancel_on_timeout": [RUN, RESUME, GATE],
    "wait_for_existence": [SENSOR],
    "check_data": [RUN, RESUME, GATE],
}


def make(operator: tuple[Any, dict[str, Any]], **options: Any) -> Any:
    cls, needed = operator
    return cls(task_id="task", workflow_id="orderReport", **needed, **options)


@pytest.mark.parametrize("value", ["False", "", 0, 1, None, math.nan, [True]], ids=repr)
@pytest.mark.parametrize("name", FLAGS)
def test_flags_are_validated(name: str, value: object) -> None:
    for operator in FLAGS[name]:
        with pytest.raises(ConfigurationError, match=f"{name}: expected True or False, got"):
            make(operator, **{name: value})


@pytest.mark.parametrize("value", [timedelta.max, 1e300, 10**400, math.inf, 0, -1, "2 days"])
def test_response_timeout(value: Any) -> None:
    for operator in (RUN, RESUME, GATE):
        asks = {} if operator is GATE else {"on_suspend": "ask"}
        with pytest.raises(ConfigurationError, match="response_timeout"):
            make(operator, response_timeout=value, **asks)


@pytest.mark.parametrize("value", [5, "ann", ["ann"], {"name": "Ann"}, [{"id": 5, "name": "Ann"}]])
def test_assigned_users(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="assigned_users: expected a user"):
        make(GATE, assigned_users=value)


@pytest.mark.parametrize("value", [5, "mail", [print], {"a": 1}])
def test_notifiers(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="notifiers: expected a notifier"):
        make(GATE, notifiers=value)


@pytest.mark.parametrize("value", [None, "1h", 0, -5, math.inf, True, [5]])
def test_lookback(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="lookback"):
        MastraInboxOperator(task_id="task", workflow_id="w", lookback=value)


@pytest.mark.parametrize("value", [None, "1s", -1, math.inf, math.nan, True])
def test_defer_after(value: Any) -> None:
    for operator in (RUN, RESUME, GATE, SENSOR):
        with pytest.raises(ConfigurationError, match="defer_after"):
            make(operator, defer_after=value)


def test_a_gate_takes_no_on_suspend() -> None:
    with pytest.raises(TypeError, match="MastraHITLOperator got an unexpected argument"):
        make(GATE, on_suspend="wait")


@pytest.mark.parametrize(
    "options",
    [
        {"on_suspend": "ask", "responses": "approve"},
        {"on_suspend": "ask", "responses": ["approve"]},
        {"on_suspend": "ask", "responses": 5},
        {"on_clear": "nonsense"},
    ],
    ids=repr,
)
def test_templated_options_are_validated_before_any_request(
    connect: Connect, run_dag: RunDag, options: dict[str, Any]
) -> None:
    connect(f"http://127.0.0.1:{free_port()}")  # where a request would fail otherwise
    with DAG("options", schedule=None) as dag:
        make(RUN, retries=2, **options)
    result = run_dag(dag)

    name = next(reversed(options))
    assert result.task_state("task") == "failed"
    assert result.tries("task") == 1
    assert "ConfigurationError" in result.log or "AirflowFailException" in result.log
    assert name in result.log
    assert "unavailable" not in result.log


def test_responses_may_be_a_template() -> None:
    make(RUN, on_suspend="ask", responses="{{ params.responses }}")
