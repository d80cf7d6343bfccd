"""Test the simulated people: which forms they respond to, and the result if nobody responds."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from airflow.sdk import DAG

from airflow_provider_mastra.hitl._required_action import SUPPORTS_AWAITING_INPUT
from airflow_provider_mastra.operators.workflow import MastraRunWorkflowOperator
from testkit.sample_server import SampleServer
from tests.airflow.harness import RunDag
from tests.airflow.person import NOBODY_IS_ASKED, Person

pytestmark = pytest.mark.skipif(not SUPPORTS_AWAITING_INPUT, reason=NOBODY_IS_ASKED)


def test_form_without_response_does_not_affect_later_dag_runs(
    connected: SampleServer, run_dag: RunDag, people: Callable[..., Person]
) -> None:
    with DAG("without_response", schedule=None) as dag:
        MastraRunWorkflowOperator(
            task_id="refund",
            workflow_id="refundApproval",
            input_data={"order": "A-1", "amount": 100, "reason": "broken"},
            on_suspend="ask",
        )
    with (
        people() as ann,
        pytest.raises(
            AssertionError, match=r"would not end: .*\['refund'\] \(ann has replied to \[\]"
        ),
    ):
        run_dag(dag)
    assert ann.forms == []

    with people({"approved": True}) as bob:
        result = run_dag(dag)
    assert (len(bob.forms), bob.statuses) == (1, [200])
    assert result.state == "success"
