"""A DAG file whose `retries` a test edits while its tasks wait for approvals.

The test copies it into a DAG folder of its own, and replaces it with a copy in which `IS_EDITED` is
True. Each run's input tells which task started it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG

from airflow_provider_mastra.operators.workflow import MastraRunWorkflowOperator

IS_EDITED = False
EDITS = [(0, 2), (1, 3), (3, 1)]


def approval(task_id: str) -> dict[str, Any]:
    """The input of the run that a task starts."""
    return {"order": "{{ run_id }}-{{ ti.task_id }}", "amount": 7, "reason": task_id}


for before, after in EDITS:
    arguments: dict[str, Any] = {
        "workflow_id": "refundApproval",
        "retries": after if IS_EDITED else before,
        "retry_delay": timedelta(0),
        "max_poll_interval": 1,
    }
    with DAG(f"edited_{before}_{after}", schedule=None):
        MastraRunWorkflowOperator(
            task_id="asked", input_data=approval("asked"), on_suspend="ask", **arguments
        )
        MastraRunWorkflowOperator(
            task_id="deferred",
            input_data=approval("deferred"),
            on_suspend="wait",
            deferrable=True,
            **arguments,
        )
        if before > 0:  # otherwise Airflow does not retry a task that is killed
            MastraRunWorkflowOperator(
                task_id="killed", input_data=approval("killed"), on_suspend="wait", **arguments
            )
            MastraRunWorkflowOperator.partial(
                task_id="killed_mapped", on_suspend="wait", **arguments
            ).expand(input_data=[approval("killed_mapped")])
