"""Test `@task.mastra` with `dag.test()` against real servers."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, cast

import pytest
from airflow.sdk import DAG, task

from airflow_provider_mastra.decorators.mastra import mastra_task
from airflow_provider_mastra.hitl._required_action import SUPPORTS_AWAITING_INPUT
from mastra_workflows.errors import ConfigurationError
from testkit.sample_server import SampleServer
from tests.airflow.harness import RunDag, try_again


def test_airflow_registers_it() -> None:
    assert task.mastra is mastra_task


def test_the_function_returns_the_input(connected: SampleServer, run_dag: RunDag) -> None:
    with DAG("decorated", schedule=None, params={"limit": 2}) as dag:

        @task
        def choose() -> str:
            return "Oslo"

        @task.mastra(workflow_id="{{ 'orderReport' }}")
        def report(city: str, params: Any) -> dict[str, Any]:
            """The annotation is about the input and pushes no keys of the result."""
            return {"city": city, "limit": params["limit"]}

        @task
        def publish(result: dict[str, Any], mastra_run_id: str) -> list[str]:
            return [result["text"], mastra_run_id]

        reported = cast(Any, report)(choose())
        publish(reported, reported["run_id"])
    result = run_dag(dag)

    assert result.state == "success"
    text, run_id = result.xcom("publish")
    assert text == "Oslo: 2 orders, 22.5 EUR"
    assert run_id.startswith("decorated.report.manual__")
    assert result.xcoms("report").keys() == {"return_value", "run_id", "status", "mastra_run_url"}


def test_each_mapped_function_call_has_a_run(connected: SampleServer, run_dag: RunDag) -> None:
    with DAG("decorated_mapped", schedule=None) as dag:

        @task.mastra(workflow_id="orderReport", map_index_template="{{ task.input_data['city'] }}")
        def report(city: str, limit: int) -> Any:
            return {"city": city, "limit": limit}

        @task
        def collect(results: Any) -> list[str]:
            return [result["text"].partition(",")[0] for result in results]

        collect(report.partial(limit=1).expand(city=["Oslo", "Bergen"]))
    result = run_dag(dag)

    assert result.xcom("collect") == ["Oslo: 1 orders", "Bergen: 1 orders"]
    assert len({result.xcom("report", "run_id", index) for index in range(2)}) == 2


def test_override_changes_the_operators_arguments(
    connected: SampleServer, run_dag: RunDag, key: str
) -> None:
    with DAG("decorated_override", schedule=None) as dag:

        @task.mastra(workflow_id="orderReport")
        def report(city: str) -> Any:
            return {"city": city}

        report("Oslo")
        report.override(task_id="other", run_id=key)("Bergen")
    result = run_dag(dag)

    assert result.xcom("report")["city"] == "Oslo"
    assert result.xcom("other")["city"] == "Bergen"
    assert result.xcom("other", "run_id") == key


def test_a_deferred_task_calls_the_function_once(connected: SampleServer, run_dag: RunDag) -> None:
    calls: list[int] = []
    with DAG("decorated_deferred", schedule=None) as dag:

        @task.mastra(workflow_id="slowExport", deferrable=True)
        def export() -> Any:
            calls.append(1)
            return {"seconds": 2}

        export()
    result = run_dag(dag)

    assert result.xcom("export") == {"exported": True}
    assert calls == [1]


def test_returned_text_is_not_rendered(connected: SampleServer, run_dag: RunDag) -> None:
    template = "{{ 7 * 7 }}"
    with DAG("decorated_template", schedule=None) as dag:

        @task.mastra(workflow_id="orderReport")
        def report() -> Any:
            return {"city": template}

        report()
    assert run_dag(dag).xcom("report")["city"] == template


def test_invalid_input_fails_without_retries(connected: SampleServer, run_dag: RunDag) -> None:
    with DAG("decorated_invalid", schedule=None) as dag:

        @task.mastra(workflow_id="orderReport", retries=3, retry_delay=timedelta(0))
        def report() -> Any:
            return {"town": "Oslo"}

        report()
    result = run_dag(dag)

    assert (result.task_state("report"), result.tries("report")) == ("failed", 1)
    assert "$.city: required" in result.log


def test_invalid_options_are_rejected() -> None:
    def report() -> None: ...

    async def asynchronous() -> None: ...

    with pytest.raises(ConfigurationError, match="takes no input_data"):
        cast(Any, mastra_task(report, workflow_id="w", input_data={}))()
    with pytest.raises(ConfigurationError, match="synchronous function, got 'asynchronous'"):
        cast(Any, mastra_task(asynchronous, workflow_id="w"))()


@pytest.mark.skipif(not SUPPORTS_AWAITING_INPUT, reason="Airflow before 3.3 has no task state")
def test_a_function_that_fails_in_a_retry_names_the_run_of_the_first_try(
    connected: SampleServer, run_dag: RunDag, key: str, capfd: pytest.CaptureFixture[str]
) -> None:
    calls: list[int] = []
    with DAG("decorated_failing", schedule=None) as dag:

        @task.mastra(workflow_id="countedCharge", retries=1)
        def charge() -> Any:
            calls.append(1)
            if len(calls) > 1:
                raise RuntimeError("no input today")
            return {"key": key, "amount": 1, "seconds": 0}

        charge()
    result = run_dag(dag)
    run_id = result.xcom("charge", "run_id")
    capfd.readouterr()
    try_again(dag, result.task("charge"))
    log = "".join(capfd.readouterr())
    assert f"Run '{run_id}' of workflow 'countedCharge'" in log
    assert "may still be running; a retry attaches to it." in log
    assert connected.executions(key) == 1
