"""`on_suspend="ask"`: a person answers on Airflow's page of required actions."""

from __future__ import annotations

from collections.abc import Callable

from airflow.sdk import DAG

from airflow_provider_mastra.operators.workflow import MastraRunWorkflowOperator
from scripts.sample_server import SampleServer
from tests.airflow.harness import RunDag
from tests.airflow.person import Person

REFUND = {"order": "A-1", "amount": 100, "reason": "broken"}
People = Callable[..., Person]


def test_a_person_approves(connected: SampleServer, run_dag: RunDag, people: People) -> None:
    with DAG("asked", schedule=None) as dag:
        MastraRunWorkflowOperator(
            task_id="refund", workflow_id="refundApproval", input_data=REFUND, on_suspend="ask"
        )
    with people({"approved": True, "note": "ok"}) as ann:
        result = run_dag(dag)
    outcome = result.xcom("refund")
    print(outcome, ann.forms[0].__dict__)
    assert outcome["result"] == {"order": "A-1", "refunded": 100, "note": "ok"}
