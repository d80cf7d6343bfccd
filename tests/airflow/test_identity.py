"""Test which facts the derived run id of a task depends on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_provider_mastra.hitl._required_action import SUPPORTS_AWAITING_INPUT
from airflow_provider_mastra.operators.workflow import MastraRunWorkflowOperator
from mastra_workflows import MastraClient
from testkit.sample_server import SampleServer
from tests.airflow.harness import RunDag, store, try_again

HAS_STATE = SUPPORTS_AWAITING_INPUT
"""Whether this Airflow keeps a task's state over its tries; both came with Airflow 3.3."""
needs_state = pytest.mark.skipif(not HAS_STATE, reason="Airflow before 3.3 has no task state")


def charge_dag(
    key: str,
    *,
    amount: int | str = 1,
    seconds: float = 0,
    default_args: dict[str, Any] | None = None,
    **arguments: Any,
) -> Any:
    """A DAG of one task, `charge`, that counts its executions."""
    with DAG(
        "identity",
        schedule=None,
        default_args=default_args or {},
        render_template_as_native_obj=True,
    ) as dag:
        MastraRunWorkflowOperator(
            task_id="charge",
            workflow_id="countedCharge",
            input_data={"key": key, "amount": amount, "seconds": seconds},
            **arguments,
        )
    return dag


def mapped_charge_dag(
    key: str, *, default_args: dict[str, Any] | None = None, **arguments: Any
) -> Any:
    """As `charge_dag`, with a mapped task that has one instance."""
    with DAG("identity_mapped", schedule=None, default_args=default_args or {}) as dag:
        MastraRunWorkflowOperator.partial(
            task_id="charge", workflow_id="countedCharge", **arguments
        ).expand(input_data=[{"key": key, "amount": 1}])
    return dag


def test_a_cleared_task_starts_a_new_run_and_its_retries_share_it(
    connected: SampleServer, run_dag: RunDag, key: str
) -> None:
    dag = charge_dag(key, retries=2)
    result = run_dag(dag)
    first = result.xcom("charge", "run_id")
    assert connected.executions(key) == 1

    # Another try of the same work, as after a worker's death between the run's end and the XCom.
    try_again(dag, result.task("charge"))
    assert result.xcom("charge", "run_id") == first
    assert connected.executions(key) == 1

    try_again(dag, result.task("charge"), clear=True)
    second = result.xcom("charge", "run_id")
    assert second != first
    assert connected.executions(key) == 2

    try_again(dag, result.task("charge"))
    assert result.xcom("charge", "run_id") == second
    assert connected.executions(key) == 2
    assert result.tries("charge") == 4


def test_another_dag_run_has_another_run(
    connected: SampleServer, run_dag: RunDag, key: str
) -> None:
    dag = charge_dag(key)
    ids = {run_dag(dag).xcom("charge", "run_id") for _ in range(2)}
    assert len(ids) == 2
    assert connected.executions(key) == 2


@pytest.mark.parametrize(("before", "after"), [(0, 2), (1, 3), (3, 1), (2, 0)])
@pytest.mark.parametrize("mapped", [False, True], ids=["plain", "mapped"])
def test_editing_retries_between_tries_changes_nothing(
    connected: SampleServer, run_dag: RunDag, key: str, before: int, after: int, mapped: bool
) -> None:
    map_index = 0 if mapped else -1
    new_dag = mapped_charge_dag if mapped else charge_dag
    result = run_dag(new_dag(key, retries=before))
    first = result.xcom("charge", "run_id", map_index)

    edited = new_dag(key, default_args={"retries": after})
    store(edited)
    try_again(edited, result.task("charge", map_index))
    assert result.xcom("charge", "run_id", map_index) == first
    assert connected.executions(key) == 1

    if not HAS_STATE and before == 2 + after:
        return  # a clear sets `max_tries` to what it was, and so is not seen
    try_again(edited, result.task("charge", map_index), clear=True)
    assert result.xcom("charge", "run_id", map_index) != first
    assert connected.executions(key) == 2


@needs_state
def test_clear_is_detected_despite_edited_retries(
    connected: SampleServer, run_dag: RunDag, key: str
) -> None:
    """`max_tries` is then what it was: 1 (the tries there were) + 2 (retries now) = 3."""
    result = run_dag(charge_dag(key, retries=3))
    edited = charge_dag(key, retries=2)
    store(edited)
    try_again(edited, result.task("charge"), clear=True)
    assert result.task("charge").max_tries == 3
    assert connected.executions(key) == 2


@needs_state
def test_a_dag_run_that_is_deleted_and_created_again_has_another_run(
    connected: SampleServer, run_dag: RunDag, key: str
) -> None:
    when = datetime(2026, 1, 31, tzinfo=UTC)
    results = [run_dag(charge_dag(key), logical_date=when, run_after=when) for _ in range(2)]
    assert results[0].dag_run.run_id == results[1].dag_run.run_id
    assert connected.executions(key) == 2


def test_an_explicit_id_runs_again_after_a_clear(
    connected: SampleServer, run_dag: RunDag, key: str
) -> None:
    dag = charge_dag(key, run_id=f"order-{key}")
    result = run_dag(dag)
    assert result.xcom("charge", "run_id") == f"order-{key}"

    try_again(dag, result.task("charge"))
    assert result.xcom("charge", "run_id") == f"order-{key}"
    assert connected.executions(key) == 1

    try_again(dag, result.task("charge"), clear=True)
    try_again(dag, result.task("charge"))
    second = "try-3" if HAS_STATE else "tries-2"
    assert result.xcom("charge", "run_id") == f"order-{key}-{second}"
    assert connected.executions(key) == 2

    try_again(dag, result.task("charge"), clear=True)
    third = "try-5" if HAS_STATE else "tries-4"
    assert result.xcom("charge", "run_id") == f"order-{key}-{third}"
    assert connected.executions(key) == 3


@pytest.mark.parametrize(("choice", "state"), [("fail", "failed"), ("attach", "success")])
def test_an_explicit_id_with_other_input(
    connected: SampleServer, run_dag: RunDag, key: str, choice: str, state: str
) -> None:
    run_dag(charge_dag(key, run_id=f"order-{key}"))
    other = 987_654_321_012  # no time, port or id holds it by chance
    dag = charge_dag(key, amount=other, run_id=f"order-{key}", on_other_input=choice, retries=2)
    result = run_dag(dag)
    assert result.task_state("charge") == state
    assert result.tries("charge") == 1
    assert connected.executions(key) == 1
    assert str(other) not in result.log


@needs_state
def test_input_of_an_explicit_id_may_change_between_retries(
    connected: SampleServer, run_dag: RunDag, key: str
) -> None:
    arguments: dict[str, Any] = {"run_id": f"order-{key}", "amount": "{{ ti.try_number }}"}
    dag = charge_dag(key, **arguments)
    result = run_dag(dag)
    try_again(dag, result.task("charge"))
    assert result.xcom("charge") == {"charged": 1}
    assert connected.executions(key) == 1


def test_clear_can_reuse_a_successful_run(
    connected: SampleServer, run_dag: RunDag, key: str
) -> None:
    dag = charge_dag(key, on_clear="reuse_run")
    result = run_dag(dag)
    first = result.xcoms("charge")
    for clears in (True, False, True):
        try_again(dag, result.task("charge"), clear=clears)
        assert result.xcoms("charge") == first
    assert connected.executions(key) == 1


def test_variable_sets_on_clear(
    connected: SampleServer, run_dag: RunDag, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dag = charge_dag(key)
    result = run_dag(dag)
    monkeypatch.setenv("AIRFLOW_VAR_MASTRA_ON_CLEAR", "reuse_run")
    try_again(dag, result.task("charge"), clear=True)
    assert connected.executions(key) == 1
    monkeypatch.delenv("AIRFLOW_VAR_MASTRA_ON_CLEAR")
    if HAS_STATE:
        try_again(dag, result.task("charge"))  # a retry keeps what was decided
        assert connected.executions(key) == 1
    try_again(dag, result.task("charge"), clear=True)
    assert connected.executions(key) == 2


def test_a_cancelled_run_is_not_reused(
    connected: SampleServer, run_dag: RunDag, key: str, client: MastraClient
) -> None:
    dag = charge_dag(key, seconds=6, timeout=1, on_clear="reuse_run", retries=0)
    result = run_dag(dag)
    assert result.task_state("charge") == "failed"
    # The step ignores its abort signal on 0.x.
    client.get_workflow("countedCharge").get_run(result.xcom("charge", "run_id")).wait(timeout=60)
    patient = charge_dag(key, on_clear="reuse_run", retries=0)
    try_again(patient, result.task("charge"), clear=True)
    assert result.task_state("charge") == "success"


@pytest.mark.version_specific
def test_a_cancelled_run_that_still_executes_is_not_reused(
    connected: SampleServer, run_dag: RunDag, key: str
) -> None:
    """On 0.x it reads as running until its step, which ignores the abort signal, has ended."""
    dag = charge_dag(key, seconds=60, timeout=1, on_clear="reuse_run", retries=0)
    result = run_dag(dag)
    cancelled = result.xcom("charge", "run_id")
    patient = charge_dag(key, seconds=0, on_clear="reuse_run", retries=0)
    try_again(patient, result.task("charge"), clear=True)
    assert result.task_state("charge") == "success"
    assert result.xcom("charge", "run_id") != cancelled


def test_retry_does_not_replace_a_run_cancelled_by_a_person(
    connected: SampleServer, run_dag: RunDag, key: str, client: MastraClient
) -> None:
    dag = charge_dag(key, seconds=60, timeout=1, cancel_on_timeout=False)
    result = run_dag(dag)
    run_id = result.xcom("charge", "run_id")
    client.get_workflow("countedCharge").get_run(run_id).cancel()
    try_again(dag, result.task("charge"))
    assert result.task_state("charge") == "failed"
    assert connected.executions(key) == 1


def test_without_the_derived_id_a_retry_executes_again(
    connected: SampleServer, run_dag: RunDag, key: str
) -> None:
    """The guard is what keeps the work from being done twice: here it is switched off."""
    with DAG("unguarded", schedule=None) as dag:
        MastraRunWorkflowOperator(
            task_id="charge",
            workflow_id="countedCharge",
            input_data={"key": key, "amount": 42, "seconds": 4},
            run_id="{{ macros.uuid.uuid4() }}",
            timeout=timedelta(seconds=1.5),
            cancel_on_timeout=False,
            retries=1,
            retry_delay=timedelta(0),
        )
    run_dag(dag)

    assert connected.executions(key) == 2
