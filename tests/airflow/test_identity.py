"""The identity of a piece of work: what a run's derived id depends on, and on what it does not."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import conf
from airflow.sdk import DAG

from airflow_provider_mastra import identity
from airflow_provider_mastra.operators.workflow import MastraRunWorkflowOperator
from scripts.sample_server import SampleServer
from tests.airflow.harness import RunDag, try_again


def charge_dag(key: str, **arguments: Any) -> Any:
    """A DAG of one task, `charge`, that counts its executions."""
    with DAG("identity", schedule=None) as dag:
        MastraRunWorkflowOperator(
            task_id="charge",
            workflow_id="countedCharge",
            input_data={"key": key, "amount": 1},
            **arguments,
        )
    return dag


def test_a_cleared_task_starts_a_new_run_and_its_retries_share_it(
    connected: SampleServer, run_dag: RunDag, key: str
) -> None:
    dag = charge_dag(key, retries=2)
    result = run_dag(dag)
    first = result.xcom("charge")["run_id"]
    assert connected.executions(key) == 1

    # Another try of the same work, as after a worker's death between the run's end and the XCom.
    try_again(dag, result.task("charge"))
    assert result.xcom("charge")["run_id"] == first
    assert connected.executions(key) == 1

    try_again(dag, result.task("charge"), clear=True)
    second = result.xcom("charge")["run_id"]
    assert second != first
    assert connected.executions(key) == 2

    try_again(dag, result.task("charge"))
    assert result.xcom("charge")["run_id"] == second
    assert connected.executions(key) == 2
    assert result.tries("charge") == 4


def test_another_dag_run_has_another_run(
    connected: SampleServer, run_dag: RunDag, key: str
) -> None:
    dag = charge_dag(key)
    ids = {run_dag(dag).xcom("charge")["run_id"] for _ in range(2)}
    assert len(ids) == 2
    assert connected.executions(key) == 2


class Instance:
    """A task instance, as far as its identity goes."""

    def __init__(self, **changes: Any) -> None:
        self.dag_id, self.task_id, self.run_id = "a_dag", "a_task", "scheduled__2026-01-31"
        self.map_index, self.max_tries = -1, 2
        self.task = type("Task", (), {"retries": 2})
        vars(self).update(changes)


def run_id(**changes: Any) -> str:
    context: Any = {"ti": Instance(**changes)}
    return identity.task_run_id(context)


def test_each_part_of_the_identity_counts() -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"dag_id": "b_dag"},
        {"task_id": "b_task"},
        {"run_id": "scheduled__2026-02-01"},
        {"map_index": 0},
        {"map_index": 1},
        {"max_tries": 3},
        {"dag_id": "a_dag.a", "task_id": "task"},
    ]
    assert len({run_id(**change) for change in changes}) == len(changes)


def test_it_is_readable_safe_and_bounded() -> None:
    assert re.fullmatch(
        r"a_dag\.a_task\.3\.scheduled__2026-01-31-[0-9a-f]{20}", run_id(map_index=3)
    )
    long = run_id(dag_id="d" * 250, task_id="t" * 250, run_id="Ärger/50% +" * 25)
    assert re.fullmatch(r"[A-Za-z0-9_.-]{1,120}", long)


def test_two_deployments_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "key-of-staging")
    staging = run_id()
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "key-of-production")
    production = run_id()
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example")
    assert len({staging, production, run_id()}) == 3


def test_a_deployment_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__MASTRA__DEPLOYMENT", "production")
    named = run_id()
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "another-key")
    assert identity.deployment() == "production"
    assert run_id() == named
    monkeypatch.setenv("AIRFLOW__MASTRA__DEPLOYMENT", "staging")
    assert run_id() != named


def test_rotating_keys_leaves_it_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "old")
    before = identity.deployment()
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "new,old")
    assert identity.deployment() == before


def test_the_key_itself_is_not_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "hush")
    assert re.fullmatch("[0-9a-f]{64}", identity.deployment())


def test_a_key_that_a_host_made_for_itself_does_not_count_among_many_hosts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in identity.KEY_VARIABLES:
        monkeypatch.delenv(name, raising=False)

    def deployment_with_key_in_file(key: str) -> str:
        conf.set("core", "fernet_key", key)
        try:
            return identity.deployment()
        finally:
            conf.remove_option("core", "fernet_key", remove_default=False)

    assert deployment_with_key_in_file("a") != deployment_with_key_in_file("b")
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTION_API_SERVER_URL", "http://api.example/execution/")
    assert deployment_with_key_in_file("a") == deployment_with_key_in_file("b")


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
