"""Test what a task does with task state that somebody has edited by hand."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_provider_mastra.hitl import _state
from airflow_provider_mastra.hitl._required_action import SUPPORTS_AWAITING_INPUT
from airflow_provider_mastra.hitl._state import HITLState
from airflow_provider_mastra.operators.workflow import (
    MastraResumeWorkflowOperator,
    MastraRunWorkflowOperator,
)
from airflow_provider_mastra.utils import _identity, _resume_state
from airflow_provider_mastra.utils._identity import Identity, current
from airflow_provider_mastra.utils._resume_state import ResumeState
from mastra_workflows import MastraClient
from mastra_workflows.errors import ConfigurationError
from testkit.sample_server import SampleServer
from tests.airflow.harness import RunDag, StartRun
from tests.airflow.person import Person

pytestmark = pytest.mark.skipif(
    not SUPPORTS_AWAITING_INPUT, reason="Airflow before 3.3 has no task state"
)
REFUND = {"order": "A-1", "amount": 100, "reason": "broken"}
JUNK: list[Any] = [["x"], {"run_id": 5}]


def damaging(operator: type[Any], key: str, value: object) -> type[Any]:
    """Return an operator class whose task state is edited before each try."""

    class Damaged(operator):  # type: ignore[misc]
        def execute(self, context: Any) -> Any:
            context["task_state_store"].set(key, value)
            return super().execute(context)

    return Damaged


@pytest.mark.parametrize("value", JUNK, ids=repr)
def test_a_damaged_identity_starts_nothing(
    connected: SampleServer, run_dag: RunDag, key: str, value: Any
) -> None:
    with DAG("damaged_identity", schedule=None) as dag:
        damaging(MastraRunWorkflowOperator, _identity.KEY, value)(
            task_id="charge",
            workflow_id="countedCharge",
            input_data={"key": key, "amount": 1, "seconds": 0},
            retries=1,
        )
    result = run_dag(dag)
    assert (result.task_state("charge"), result.tries("charge")) == ("failed", 1)
    assert "The task state 'mastra_run' is invalid (" in result.log
    assert connected.executions(key) == 0


@pytest.mark.parametrize("value", JUNK, ids=repr)
def test_a_damaged_resume_state_resumes_nothing(
    connected: SampleServer,
    run_dag: RunDag,
    client: MastraClient,
    start_run: StartRun,
    value: Any,
) -> None:
    run = client.get_workflow("refundApproval").get_run(start_run("refundApproval", **REFUND))
    run.wait(timeout=120, on_suspend="return")
    with DAG("damaged_resume", schedule=None) as dag:
        damaging(MastraResumeWorkflowOperator, _resume_state.KEY, value)(
            task_id="resume",
            workflow_id="refundApproval",
            run_id=run.run_id,
            resume_data={"approved": True},
            retries=1,
        )
    result = run_dag(dag)
    assert (result.task_state("resume"), result.tries("resume")) == ("failed", 1)
    assert "The task state 'mastra_resumed' is invalid (" in result.log
    assert run.read().is_suspended


@pytest.mark.parametrize("key", [_state.ASKED, _state.UNDELIVERED])
@pytest.mark.parametrize("value", JUNK, ids=repr)
def test_a_damaged_form_state_fails_with_the_key(
    connected: SampleServer, run_dag: RunDag, key: str, value: Any
) -> None:
    with DAG("damaged_form", schedule=None) as dag:
        damaging(MastraRunWorkflowOperator, key, value)(
            task_id="ask",
            workflow_id="refundApproval",
            input_data=REFUND,
            on_suspend="ask",
            retries=1,
        )
    result = run_dag(dag)
    assert (result.task_state("ask"), result.tries("ask")) == ("failed", 1)
    assert f"The task state '{key}' is invalid (" in result.log
    assert "Delete the key from the task's state" in result.log


@pytest.mark.parametrize("value", JUNK, ids=repr)
def test_damaged_responses_do_not_fail_a_run_that_succeeded(
    connected: SampleServer, run_dag: RunDag, people: Callable[..., Person], value: Any
) -> None:
    with DAG("damaged_responses", schedule=None) as dag:
        damaging(MastraRunWorkflowOperator, _state.RESPONSES, value)(
            task_id="ask", workflow_id="refundApproval", input_data=REFUND, on_suspend="ask"
        )
    with people({"approved": True}):
        result = run_dag(dag)
    assert result.state == "success"
    assert "The task state 'mastra_responses' is invalid (" in result.log
    assert [response["step"] for response in result.xcom("ask", "responses")] == ["approve"]


class Store:
    """Task state that returns the same value for every key."""

    def __init__(self, value: object) -> None:
        self._value = value

    def get(self, key: str) -> object:
        return self._value


WORDS = (
    *("run_id", "key", "look", "fields", "response", "option", "values", "user", "at", "responses"),
    *("suspended_at", "is_resumed", "generation", "given", "earlier", "is_attached", "ti_id"),
    *("try_number", "max_tries", "clear_number", "has_ended"),
)
SCALARS = (None, True, 0, 1, -1, 1.5, float("inf"), float("nan"), "r", "k-1", "")


def any_value(rng: random.Random, depth: int = 3) -> Any:
    kind = rng.random() if depth else 0
    if kind < 0.3:
        return rng.choice(SCALARS)
    if kind < 0.5:
        return [any_value(rng, depth - 1) for _ in range(rng.randrange(3))]
    words = rng.sample(WORDS, rng.randrange(len(WORDS)))
    return {word: any_value(rng, depth - 1) for word in words}


def read_all(value: object) -> None:
    """Read the value as each key of the task state."""
    context: Any = {"task_state_store": Store(value), "ti": None}
    resumed = ResumeState(context, Identity("r"))
    hitl = _hitl_state(context)
    for read in (
        lambda: current(context),
        lambda: resumed.is_resumed,
        lambda: resumed.suspended_at,
        lambda: hitl.undelivered_before,
    ):
        with contextlib.suppress(ConfigurationError):
            read()
    assert isinstance(hitl.responses, list)


@pytest.mark.parametrize("seed", range(5))
def test_any_value_is_read_or_refused_with_an_error_of_this_project(seed: int) -> None:
    rng = random.Random(seed)
    for value in ["x", 5, *(any_value(rng) for _ in range(500))]:
        read_all(value)


def _hitl_state(context: Any) -> HITLState:
    state = HITLState.__new__(HITLState)
    state.__dict__.update(_store=context["task_state_store"], _run_id="r", _generation=1)
    return state
