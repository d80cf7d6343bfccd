"""Define inboxes that the tests unpause: one per workflow, on a server of each generation."""

from __future__ import annotations

from airflow_provider_mastra.hitl.inbox import mastra_inbox

for generation in ("0", "1"):
    for workflow in ("refundApproval", "reviseLoop", "parallelReview"):
        mastra_inbox(
            dag_id=f"inbox_{generation}_{workflow}",
            workflow_id=workflow,
            mastra_conn_id=f"inbox-{generation}",
            poll_interval=0.5,
            max_poll_interval=1,
            # A short interval fails on a busy machine: a response that arrives during a poll of
            # the run wakes the task before its process has ended, and Airflow fails the try.
            response_poll_interval=45 if workflow == "parallelReview" else 600,
            dag_arguments={"is_paused_upon_creation": True},
        )
