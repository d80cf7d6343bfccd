"""Test the gates: `MastraHITLOperator`, `ask_in_turn` and `ask_each`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
from airflow.sdk import DAG

from airflow_provider_mastra.hitl.gates import ask_each, ask_in_turn
from airflow_provider_mastra.operators.hitl import MastraHITLOperator
from airflow_provider_mastra.operators.workflow import MastraRunWorkflowOperator
from mastra_workflows import MastraClient
from mastra_workflows.errors import ConfigurationError
from mastra_workflows.hitl import PendingRequest
from testkit.sample_server import SampleServer
from tests.airflow.harness import RunDag, StartRun
from tests.airflow.person import Person

People = Callable[..., Person]
REVISE, APPROVE = {"verdict": "revise", "remarks": "Shorter."}, {"verdict": "approve"}


def writing(most: int, on_suspend: Any = "return", *, is_shipped: bool = False) -> DAG:
    """A loop that asks for a verdict in each round; then, maybe, another run that asks."""
    with DAG("writing", schedule=None) as dag:
        write = MastraRunWorkflowOperator(
            task_id="write",
            workflow_id="reviseLoop",
            input_data={"topic": "bees"},
            on_suspend=on_suspend,
        )
        last = ask_in_turn(write, most=most)
        if is_shipped:
            ship = MastraRunWorkflowOperator(
                task_id="ship",
                workflow_id="refundApproval",
                input_data={"order": "A-17", "amount": 1, "reason": "broken"},
                on_suspend="return",
            )
            last >> ship
            ask_in_turn(ship, most=1)
    return dag


def test_rounds_of_a_loop(connected: SampleServer, run_dag: RunDag, people: People) -> None:
    with people(REVISE, REVISE, APPROVE) as ann:
        result = run_dag(writing(4))

    assert [form.task_id for form in ann.forms] == [
        f"write_requests.request_{number}" for number in (1, 2, 3)
    ]
    assert "About bees." in ann.forms[0].body
    assert "About bees. Shorter. Shorter." in ann.forms[2].body
    last = result.xcoms("write_requests.request_4")
    assert last["return_value"] == {
        "text": "About bees. Shorter. Shorter.",
        "round": 3,
        "done": True,
    }
    assert "responses" not in last  # it has passed the run through
    [response] = result.xcom("write_requests.request_2", "responses")
    assert (response["step"], response["resume_data"]) == ("review", REVISE)


@pytest.mark.parametrize("is_shipped", [False, True])
def test_more_rounds_than_gates(
    connected: SampleServer,
    run_dag: RunDag,
    people: People,
    client: MastraClient,
    is_shipped: bool,
) -> None:
    """A gate for another run further on asks nothing of this one."""
    with people(REVISE, REVISE):
        result = run_dag(writing(1, on_suspend="ask", is_shipped=is_shipped))

    assert result.task_state("write") == "success"
    assert result.task_state("write_requests.request_1") == "failed"
    assert "this task cannot show its form" in result.log
    assert "ask_in_turn(task)" in result.log
    run_id = result.xcom("write", "run_id")
    run = client.get_workflow("reviseLoop").get_run(run_id)
    assert run.read().is_suspended
    run.cancel()


def test_parallel_requests(connected: SampleServer, run_dag: RunDag, people: People) -> None:
    with DAG("parallel", schedule=None) as dag:
        review = MastraRunWorkflowOperator(
            task_id="review",
            workflow_id="parallelReview",
            input_data={"document": "plan"},
            on_suspend="return",
        )
        ask_each(review)
    with people({"approved": True}, {"approved": True}) as ann:
        result = run_dag(dag)

    assert {form.map_index for form in ann.forms} == {0, 1}
    assert {form.subject for form in ann.forms} == {
        "parallelReview: legal",
        "parallelReview: finance",
    }
    assert result.xcom("review_requests.outcome") == {"approved": True}


def test_response_waits_for_a_running_branch(
    connected: SampleServer, run_dag: RunDag, client: MastraClient
) -> None:
    def respond(pending_request: PendingRequest) -> Any:
        run = client.get_workflow("slowReview").get_run(pending_request.run_id)
        run.resume(step="first", resume_data={"approved": False})  # and it works on for a while
        return {"approved": True}

    with DAG("slow", schedule=None) as dag:
        review = MastraRunWorkflowOperator(
            task_id="review",
            workflow_id="slowReview",
            input_data={"seconds": 1},
            on_suspend="return",
        )
        MastraHITLOperator(
            task_id="second",
            workflow_id="slowReview",
            run_id=cast(Any, review.output)["run_id"],
            step="second",
            responses=respond,
        )
    result = run_dag(dag)

    expected = {"first": {"approved": False}, "second": {"approved": True}}
    assert result.xcom("second") == expected
    assert "waiting until it is suspended or finished" in result.log


@pytest.mark.version_specific
@pytest.mark.parametrize("workflow", ["photoReview", "photoReviewAtOnce"])
def test_items_of_a_foreach(
    connected: SampleServer, run_dag: RunDag, people: People, workflow: str
) -> None:
    with DAG("items", schedule=None) as dag:
        review = MastraRunWorkflowOperator(
            task_id="review",
            workflow_id=workflow,
            input_data={"photos": ["a", "b"]},
            on_suspend="return",
        )
        ask_each(review)
    with people({"approved": True}, {"approved": False}) as ann:
        result = run_dag(dag)

    is_one_response_for_all = workflow == "photoReviewAtOnce" and connected.generation == "0"
    assert len(ann.forms) == (1 if is_one_response_for_all else 2)
    reviewed = result.xcom("review_requests.outcome")
    approved = {item["photo"]: item["approved"] for item in reviewed}
    assert approved == {"a": True, "b": is_one_response_for_all}


def test_finished_run_passes_through_the_gate(
    connected: SampleServer, run_dag: RunDag, client: MastraClient, start_run: StartRun
) -> None:
    run_id = start_run("orderReport", city="Oslo")
    client.get_workflow("orderReport").get_run(run_id).wait(timeout=120)
    with DAG("over", schedule=None) as dag:
        MastraHITLOperator(task_id="gate", workflow_id="orderReport", run_id=run_id)
    result = run_dag(dag)
    assert result.xcom("gate")["city"] == "Oslo"
    assert result.xcoms("gate").keys() == {"return_value", "run_id", "status", "mastra_run_url"}


def test_task_without_on_suspend_return_before_a_gate() -> None:
    with DAG("wrong", schedule=None):
        run = MastraRunWorkflowOperator(task_id="run", workflow_id="reviseLoop")
        with pytest.raises(ConfigurationError, match='set its on_suspend to "return"'):
            ask_in_turn(run)


def test_several_requests_without_a_gate_fail(
    connected: SampleServer, run_dag: RunDag, client: MastraClient
) -> None:
    with DAG("parallel", schedule=None) as dag:
        MastraRunWorkflowOperator(
            task_id="review",
            workflow_id="parallelReview",
            input_data={"document": "plan"},
            on_suspend="ask",
            retries=2,
        )
    result = run_dag(dag)
    assert (result.task_state("review"), result.tries("review")) == ("failed", 1)
    assert "has several pending requests ('legal', 'finance')" in result.log
    assert "ask_each(task)" in result.log
    assert result.xcom("review", "status") == "suspended"
    assert len(result.xcom("review", "suspensions")) == 2
    client.get_workflow("parallelReview").get_run(result.xcom("review", "run_id")).cancel()
