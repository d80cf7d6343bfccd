"""Define a DAG whose `retries` a test edits while its tasks wait for approvals.

The test copies this file to a separate DAG folder, and replaces it with a copy in which `IS_EDITED`
is True. Some tasks set `retries` as an argument, others through their DAG's `default_args`. Each
run's input identifies the task that started it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG

from airflow_provider_mastra.operators.workflow import (
    MastraResumeWorkflowOperator,
    MastraRunWorkflowOperator,
)

IS_EDITED = False
EDITS = [(0, 2), (1, 3), (3, 1)]
OPTIONS: dict[str, Any] = {"retry_delay": timedelta(0), "max_poll_interval": 1}


def approval(task_id: str) -> dict[str, Any]:
    """The arguments of a task whose run asks once."""
    order = "{{ run_id }}-" + task_id
    return {
        "workflow_id": "refundApproval",
        "input_data": {"order": order, "amount": 7, "reason": "edited"},
    }


def resumed_once(task_id: str, **arguments: Any) -> None:
    """A task that resumes a run, and waits for it while that asks again."""
    start = MastraRunWorkflowOperator(
        task_id=f"start_{task_id}",
        workflow_id="reviseLoop",
        input_data={"topic": "{{ run_id }}-" + task_id},
        on_suspend="return",
        **OPTIONS,
    )
    resume = MastraResumeWorkflowOperator(
        task_id=task_id,
        workflow_id="reviseLoop",
        run_id=f"{{{{ ti.xcom_pull(task_ids='start_{task_id}', key='run_id') }}}}",
        resume_data={"verdict": "revise", "remarks": "By code."},
        on_suspend="wait",
        **OPTIONS,
        **arguments,
    )
    start >> resume


for before, after in EDITS:
    retries = after if IS_EDITED else before
    with DAG(f"edited_{before}_{after}", schedule=None, default_args={"retries": retries}):
        MastraRunWorkflowOperator(
            task_id="asked", on_suspend="ask", retries=retries, **approval("asked"), **OPTIONS
        )
        MastraRunWorkflowOperator(
            task_id="deferred",
            on_suspend="wait",
            deferrable=True,
            **approval("deferred"),
            **OPTIONS,
        )
        resumed_once("resumed_deferred", deferrable=True, retries=retries)
        if before > 0:  # otherwise Airflow does not retry a task that is killed
            MastraRunWorkflowOperator(
                task_id="killed",
                on_suspend="wait",
                retries=retries,
                **approval("killed"),
                **OPTIONS,
            )
            MastraRunWorkflowOperator.partial(
                task_id="killed_mapped",
                workflow_id="refundApproval",
                on_suspend="wait",
                **OPTIONS,
            ).expand(input_data=[approval("killed_mapped")["input_data"]])
            resumed_once("resumed_killed")
