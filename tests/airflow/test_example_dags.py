"""Test the example DAGs, unmodified, against both generations."""

from __future__ import annotations

import re
from typing import Any

import pytest

from mastra_workflows import MastraClient
from mastra_workflows.hitl import pending_request_reference, pending_requests
from testkit.sample_server import SampleServer
from tests.airflow import harness
from tests.airflow.harness import EXAMPLE_DAGS, RunDag


@pytest.fixture(scope="module")
def examples(airflow_database: None) -> dict[str, Any]:
    """The DAGs of the folder, read as Airflow reads them."""
    bag = harness.read_dags(EXAMPLE_DAGS)
    assert bag.import_errors == {}
    return dict(bag.dags)


def test_example_dags_have_the_expected_ids(examples: dict[str, Any]) -> None:
    assert set(examples) == {
        "mastra_approval_by_a_person",
        "mastra_batch",
        "mastra_daily_report",
        "mastra_parallel_reviewers",
        "mastra_refund_approval",
        "mastra_refund_inbox",
        "mastra_revise_loop",
    }


def test_daily_report(connected: SampleServer, run_dag: RunDag, examples: dict[str, Any]) -> None:
    result = run_dag(examples["mastra_daily_report"])

    assert result.state == "success"
    assert result.xcom("wait", "run_id") == result.xcom("start", "run_id")
    day = result.dag_run.run_after.date().isoformat()
    assert result.xcom("publish") == f"Hamburg on {day}: 10 orders, 212.5 EUR"


def test_the_dag_of_the_readme_runs_without_a_logical_date(
    connected: SampleServer, run_dag: RunDag
) -> None:
    readme = (EXAMPLE_DAGS.parent / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    (block,) = [text for text in blocks if "@dag(" in text]
    module: dict[str, Any] = {}
    exec(block.replace("\ndaily_report()\n", "\ndag = daily_report()\n"), module)
    result = run_dag(module["dag"], logical_date=None)

    assert result.dag_run.logical_date is None
    assert result.state == "success"
    assert "Hamburg on " in result.log


@pytest.mark.parametrize(
    ("amount", "told"),
    [
        (4200, "4200 cents are refunded for A-1042: within the limit"),
        (9900, "0 cents are refunded for A-1042: too much"),
    ],
)
def test_refund_approval(
    connected: SampleServer,
    run_dag: RunDag,
    examples: dict[str, Any],
    amount: int,
    told: str,
) -> None:
    result = run_dag(examples["mastra_refund_approval"], run_conf={"amount": amount})

    assert result.state == "success"
    assert result.xcom("ask", "status") == "suspended"
    assert result.xcom("report") == told


def test_batch(connected: SampleServer, run_dag: RunDag, examples: dict[str, Any]) -> None:
    cities = ["Bremen", "Düsseldorf", "Aachen"]
    result = run_dag(examples["mastra_batch"], run_conf={"cities": cities})

    assert result.state == "success"
    assert result.xcom("add_up") == {"cities": 3, "total": 3 * 21250}
    assert [result.task("report", index).rendered_map_index for index in range(3)] == cities


def test_refund_inbox(
    connected: SampleServer,
    client: MastraClient,
    run_dag: RunDag,
    examples: dict[str, Any],
    key: str,
) -> None:
    """The DAG run of a request that somebody has responded to in Mastra Studio meanwhile."""
    run = client.get_workflow("refundApproval").get_run(key)
    run.start_async(input_data={"order": key, "amount": 4200, "reason": "arrived broken"})
    (pending_request,) = pending_requests(run.read())
    run.resume(resume_data={"approved": True})

    result = run_dag(
        examples["mastra_refund_inbox"],
        run_conf={"mastra_pending_request": pending_request_reference(pending_request)},
    )

    assert result.state == "success"
    assert result.xcom("report") == f"4200 cents are refunded for {key}"
