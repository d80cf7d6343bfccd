"""Test MastraResumeWorkflowOperator and MastraCancelWorkflowRunOperator with `dag.test()`."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_provider_mastra.hitl._required_action import SUPPORTS_AWAITING_INPUT
from airflow_provider_mastra.operators.workflow import (
    MastraCancelWorkflowRunOperator,
    MastraResumeWorkflowOperator,
    MastraRunWorkflowOperator,
)
from mastra_workflows import MastraClient, RunStatus
from testkit.sample_server import SampleServer
from tests.airflow.harness import STUDIO, RunDag, StartRun, try_again

REFUND = {"order": "A-1", "amount": 100, "reason": "broken"}


def test_suspend_resume_result(connected: SampleServer, run_dag: RunDag) -> None:
    with DAG("approval", schedule=None) as dag:
        ask: Any = MastraRunWorkflowOperator(
            task_id="ask", workflow_id="refundApproval", input_data=REFUND, on_suspend="return"
        )
        MastraResumeWorkflowOperator(
            task_id="resume",
            workflow_id="refundApproval",
            run_id=ask.output["run_id"],
            step="{{ ti.xcom_pull('ask', key='suspensions')[0]['step'][0] }}",
            resume_data={"approved": True, "note": "{{ task.task_id }}"},
        )
    result = run_dag(dag)

    asked, resumed = result.xcoms("ask"), result.xcoms("resume")
    assert asked.keys() == {"run_id", "status", "suspensions", "mastra_run_url"}
    assert asked["status"] == "suspended"
    assert resumed == {
        "return_value": {"order": "A-1", "refunded": 100, "note": "resume"},
        "run_id": asked["run_id"],
        "status": "success",
        "mastra_run_url": f"{STUDIO}/workflows/refundApproval/graph/{asked['run_id']}",
    }
    assert "The step was resumed." in result.log
    assert "Step 'pay-back' succeeded after" in result.log


@pytest.mark.parametrize("step", ["inner.approve", ["inner", "approve"], None])
def test_a_step_in_a_nested_workflow(
    connected: SampleServer,
    run_dag: RunDag,
    client: MastraClient,
    start_run: StartRun,
    step: str | list[str] | None,
) -> None:
    run = client.get_workflow("nestedApproval").get_run(start_run("nestedApproval", document="d"))
    run.wait(timeout=120)
    with DAG("nested", schedule=None) as dag:
        MastraResumeWorkflowOperator(
            task_id="resume",
            workflow_id="nestedApproval",
            run_id=run.run_id,
            step=step,
            resume_data={"approved": True},
        )
    assert run_dag(dag).xcom("resume") == {"document": "d", "published": True}


def test_foreach_items_with_a_templated_index(
    connected: SampleServer, run_dag: RunDag, client: MastraClient, start_run: StartRun
) -> None:
    run = client.get_workflow("photoReview").get_run(start_run("photoReview", photos=["a", "b"]))
    run.wait(timeout=120)
    with DAG("items", schedule=None) as dag:
        first, second = (
            MastraResumeWorkflowOperator(
                task_id=f"review_{index}",
                workflow_id="photoReview",
                run_id=run.run_id,
                for_each_index=f"{{{{ {index} }}}}",
                resume_data={"approved": index == 1},
                on_suspend="return",
            )
            for index in range(2)
        )
        first >> second
    result = run_dag(dag)

    assert result.xcom("review_0", "status") == "suspended"
    assert [item["for_each_index"] for item in result.xcom("review_0", "suspensions")] == [1]
    assert result.xcom("review_1") == [
        {"photo": "a", "approved": False},
        {"photo": "b", "approved": True},
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"resume_data": {"note": "yes"}}, "$.approved: required"),
        ({"resume_data": None}, "$.approved: required"),
        ({"for_each_index": "first"}, "for_each_index: expected an integer, got 'first'"),
    ],
)
def test_invalid_resume_data_fails_without_retries(
    connected: SampleServer,
    run_dag: RunDag,
    client: MastraClient,
    start_run: StartRun,
    arguments: dict[str, Any],
    message: str,
) -> None:
    run = client.get_workflow("refundApproval").get_run(start_run("refundApproval", **REFUND))
    run.wait(timeout=120)
    with DAG("bad_response", schedule=None) as dag:
        MastraResumeWorkflowOperator(
            task_id="resume",
            workflow_id="refundApproval",
            run_id=run.run_id,
            retries=3,
            retry_delay=timedelta(0),
            **arguments,
        )
    result = run_dag(dag)

    assert (result.task_state("resume"), result.tries("resume")) == ("failed", 1)
    assert message in result.log
    assert run.read().is_suspended


@pytest.mark.skipif(not SUPPORTS_AWAITING_INPUT, reason="Airflow before 3.3 has no task state")
def test_retry_does_not_resume_the_next_round_of_a_loop(
    connected: SampleServer, run_dag: RunDag, client: MastraClient, start_run: StartRun
) -> None:
    """A record shows the latest response alone; that of 0.x none while the step waits again."""
    run = client.get_workflow("reviseLoop").get_run(start_run("reviseLoop", topic="cats"))
    run.wait(timeout=120)
    with DAG("next_round", schedule=None) as dag:
        MastraResumeWorkflowOperator(
            task_id="resume",
            workflow_id="reviseLoop",
            run_id=run.run_id,
            resume_data={"verdict": "revise", "remarks": "By code."},
            on_suspend="return",
        )

    def waits_in_round() -> object:
        [suspension] = run.wait(timeout=120).suspensions
        assert isinstance(suspension.payload, dict)
        return suspension.payload["round"]

    result = run_dag(dag)
    assert waits_in_round() == 2
    try_again(dag, result.task("resume"))
    assert waits_in_round() == 2

    run.resume(resume_data={"verdict": "revise", "remarks": "By a person."})
    assert waits_in_round() == 3
    try_again(dag, result.task("resume"))
    assert waits_in_round() == 3

    try_again(dag, result.task("resume"), clear=True)
    assert waits_in_round() == 4

    run.resume(resume_data={"verdict": "approve"})
    run.wait(timeout=120)
    try_again(dag, result.task("resume"))
    assert result.xcom("resume", "status") == "success"
    assert result.xcom("resume")["round"] == 4


def test_retry_attaches_while_the_resumed_step_executes(
    connected: SampleServer, run_dag: RunDag, client: MastraClient, start_run: StartRun
) -> None:
    """As after the worker of an earlier try was killed; 1.71 shows that in the stream alone."""
    run = client.get_workflow("slowReview").get_run(start_run("slowReview", seconds=20))
    run.wait(timeout=120, on_suspend="return")
    run.resume(step="first", resume_data={"approved": True})
    with DAG("attaching", schedule=None) as dag:
        MastraResumeWorkflowOperator(
            task_id="resume",
            workflow_id="slowReview",
            run_id=run.run_id,
            step="first",
            resume_data={"approved": True},
            on_suspend="return",
        )
    result = run_dag(dag)
    assert result.task_state("resume") == "success"
    assert [item["step"] for item in result.xcom("resume", "suspensions")] == [["second"]]


def test_resuming_without_waiting(
    connected: SampleServer, run_dag: RunDag, client: MastraClient, start_run: StartRun
) -> None:
    run = client.get_workflow("twoRequests").get_run(start_run("twoRequests", campaign="spring"))
    run.wait(timeout=120)
    with DAG("resume_no_wait", schedule=None) as dag:
        MastraResumeWorkflowOperator(
            task_id="resume",
            workflow_id="twoRequests",
            run_id=run.run_id,
            step="ask-budget",
            resume_data={"budget": 5},
            wait_for_completion=False,
        )
    assert run_dag(dag).task_state("resume") == "success"
    (waits,) = run.wait(timeout=120).suspensions
    assert waits.name == "ask-deadline"


def test_resume_of_a_run_that_is_not_suspended(
    connected: SampleServer, run_dag: RunDag, client: MastraClient, start_run: StartRun
) -> None:
    run = client.get_workflow("orderReport").get_run(start_run("orderReport", city="Oslo"))
    run.wait(timeout=120)
    with DAG("not_suspended", schedule=None) as dag:
        MastraResumeWorkflowOperator(
            task_id="resume", workflow_id="orderReport", run_id=run.run_id, resume_data={}
        )
    result = run_dag(dag)
    assert result.task_state("resume") == "failed"
    assert "succeeded. Only a suspended run can be resumed. Nothing was sent." in result.log


def test_cancel_of_a_running_run(
    connected: SampleServer, run_dag: RunDag, client: MastraClient, start_run: StartRun
) -> None:
    run_id = start_run("slowExport", seconds=60)
    with DAG("cancel", schedule=None) as dag:
        MastraCancelWorkflowRunOperator(
            task_id="cancel", workflow_id="{{ 'slowExport' }}", run_id=run_id
        )
    result = run_dag(dag)

    assert result.xcoms("cancel") == {
        "run_id": run_id,
        "status": "canceled",
        "mastra_run_url": f"{STUDIO}/workflows/slowExport/graph/{run_id}",
    }
    read = client.get_workflow("slowExport").run_execution_result(run_id)
    assert read.status == RunStatus.CANCELED


@pytest.mark.version_specific
def test_unconfirmed_cancellation_is_logged(
    connected: SampleServer, run_dag: RunDag, client: MastraClient, start_run: StartRun
) -> None:
    run = client.get_workflow("refundApproval").get_run(start_run("refundApproval", **REFUND))
    run.wait(timeout=120)
    with DAG("cancel_suspended", schedule=None) as dag:
        MastraCancelWorkflowRunOperator(
            task_id="cancel", workflow_id="refundApproval", run_id=run.run_id
        )
    result = run_dag(dag)

    assert result.task_state("cancel") == "success"
    stays = connected.generation == "0"
    assert result.xcom("cancel", "status") == ("suspended" if stays else "canceled")
    assert ("servers before 1.0 do not end a suspended run" in result.log) == stays


def test_cancel_of_a_finished_run_changes_nothing(
    connected: SampleServer, run_dag: RunDag, client: MastraClient, start_run: StartRun
) -> None:
    run = client.get_workflow("orderReport").get_run(start_run("orderReport", city="Oslo"))
    run.wait(timeout=120)
    with DAG("cancel_finished", schedule=None) as dag:
        MastraCancelWorkflowRunOperator(
            task_id="cancel", workflow_id="orderReport", run_id=run.run_id
        )
    result = run_dag(dag)

    assert result.xcom("cancel", "status") == "success"
    assert result.xcom("cancel")["city"] == "Oslo"
    assert "It had already finished; nothing was cancelled." in result.log


def test_cancel_of_an_unknown_run(connected: SampleServer, run_dag: RunDag, key: str) -> None:
    with DAG("cancel_unknown", schedule=None) as dag:
        MastraCancelWorkflowRunOperator(
            task_id="cancel",
            workflow_id="orderReport",
            run_id=key,
            retries=3,
            retry_delay=timedelta(0),
        )
    result = run_dag(dag)

    assert (result.task_state("cancel"), result.tries("cancel")) == ("failed", 1)
    assert f"The server has no run '{key}' of workflow 'orderReport'." in result.log
