"""Approval by code: a workflow suspends, a task decides, and the workflow resumes.

While the run is suspended, no task holds a worker and nothing executes on the Mastra server.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import dag, task

from airflow_provider_mastra.operators.workflow import MastraResumeWorkflowOperator


@dag(
    dag_id="mastra_refund_approval",
    schedule=None,
    params={"order": "A-1042", "amount": 4200, "reason": "arrived broken"},
    tags=["mastra"],
    doc_md=__doc__,
)
def refund_approval() -> None:
    @task.mastra(workflow_id="refundApproval", on_suspend="return")
    def ask(params: dict[str, Any]) -> dict[str, Any]:
        """Return the workflow's input; a template would turn the amount into a string."""
        return {name: params[name] for name in ("order", "amount", "reason")}

    asked: Any = ask()

    @task
    def decide(suspensions: list[dict[str, Any]]) -> dict[str, Any]:
        """Decide by the suspension's payload; its resume schema describes the response."""
        (suspension,) = suspensions
        refund = suspension["payload"]
        approved = refund["amount"] <= 5000
        resume_data = {"approved": approved, "note": "within the limit" if approved else "too much"}
        return {"step": suspension["step"], "resume_data": resume_data}

    decision = decide(asked["suspensions"])
    resume = MastraResumeWorkflowOperator(
        task_id="resume",
        workflow_id="refundApproval",
        run_id=asked["run_id"],
        step=decision["step"],
        resume_data=decision["resume_data"],
    )

    @task
    def report(refund: dict[str, Any]) -> str:
        """Notify the customer; this example prints the message."""
        text = f"{refund['refunded']} cents are refunded for {refund['order']}: {refund['note']}"
        print(text)
        return text

    report(resume.output)


refund_approval()
