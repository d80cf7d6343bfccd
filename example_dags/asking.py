"""Human-in-the-loop: a suspended step becomes a form on Airflow's page *Required Actions*.

While a task waits for a response, it holds no worker, pool slot or triggerer, and nothing executes
on the Mastra server. A run can also be resumed in Mastra Studio. The first response counts.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import dag, task

from airflow_provider_mastra.hitl.gates import ask_each, ask_in_turn
from airflow_provider_mastra.operators.workflow import MastraRunWorkflowOperator

RETRIES = {
    "retries": 2
}  # If a try dies after it received a response, the next try uses that response.


@dag(
    dag_id="mastra_approval_by_a_person",
    schedule=None,
    default_args=RETRIES,
    tags=["mastra"],
    doc_md=__doc__,
)
def approval() -> None:
    """One pending request: the task shows the form itself."""
    MastraRunWorkflowOperator(
        task_id="refund",
        workflow_id="refundApproval",
        input_data={"order": "A-1042", "amount": 4200, "reason": "arrived broken"},
        on_suspend="ask",
        response_timeout=timedelta(days=2),
        on_response_timeout="respond",
        default_response={"approved": False, "note": "Nobody has responded."},
    )


@dag(
    dag_id="mastra_revise_loop",
    schedule=None,
    default_args=RETRIES,
    tags=["mastra"],
    doc_md=__doc__,
)
def revise_loop() -> None:
    """A pending request in each round of a loop: one gate for each, up to five."""
    write = MastraRunWorkflowOperator(
        task_id="write",
        workflow_id="reviseLoop",
        input_data={"topic": "bees in the city"},
        on_suspend="return",
    )
    approved = ask_in_turn(write, most=5)

    @task
    def publish(result: dict[str, Any]) -> str:
        """Publish the approved text; this example prints it."""
        text: str = result["text"]
        print(text)
        return text

    publish(approved.output)


@dag(
    dag_id="mastra_parallel_reviewers",
    schedule=None,
    default_args=RETRIES,
    tags=["mastra"],
    doc_md=__doc__,
)
def parallel_reviewers() -> None:
    """Two parallel requests: one form for each, completed in any order, by different people."""
    review = MastraRunWorkflowOperator(
        task_id="review",
        workflow_id="parallelReview",
        input_data={"document": "The plan for next year"},
        on_suspend="return",
    )
    ask_each(review)


approval()
revise_loop()
parallel_reviewers()
