"""An approval: a workflow suspends and asks, its question is answered, and it goes on.

While the workflow is suspended nothing runs, neither here nor on the Mastra server.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import dag, task

from airflow_provider_mastra.operators.workflow import (
    MastraResumeWorkflowOperator,
    MastraRunWorkflowOperator,
)


@dag(
    dag_id="mastra_refund_approval",
    schedule=None,
    params={"order": "A-1042", "amount": 4200, "reason": "arrived broken"},
    tags=["mastra"],
    doc_md=__doc__,
)
def refund_approval() -> None:
    @task
    def read_request(params: dict[str, Any]) -> dict[str, Any]:
        """A task, since a template would make a text of the amount."""
        return {name: params[name] for name in ("order", "amount", "reason")}

    ask = MastraRunWorkflowOperator(
        task_id="ask",
        workflow_id="refundApproval",
        input_data=read_request(),
        on_suspend="return",
    )

    @task
    def decide(outcome: dict[str, Any]) -> dict[str, Any]:
        """Here somebody would be asked; the suspension says what, and what an answer looks like."""
        (suspension,) = outcome["suspensions"]
        refund = suspension["payload"]
        approved = refund["amount"] <= 5000
        answer = {"approved": approved, "note": "within the limit" if approved else "too much"}
        return {"step": suspension["step"], "answer": answer}

    decision = decide(ask.output)
    resume = MastraResumeWorkflowOperator(
        task_id="resume",
        workflow_id="refundApproval",
        run_id=ask.output["run_id"],
        step=decision["step"],
        resume_data=decision["answer"],
    )

    @task
    def tell(outcome: dict[str, Any]) -> str:
        """Here the customer would be told."""
        refund = outcome["result"]
        text = f"{refund['refunded']} cents are refunded for {refund['order']}: {refund['note']}"
        print(text)
        return text

    tell(resume.output)


refund_approval()
