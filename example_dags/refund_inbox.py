"""Inbox: show a form for every refund that waits for an approval, from any source.

Start the workflow in Mastra Studio or from an application. Its pending request appears on Airflow's
page *Required Actions*. Each pending request is one DAG run of this DAG.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import task

from airflow_provider_mastra.hitl.inbox import mastra_inbox

with mastra_inbox(
    dag_id="mastra_refund_inbox",
    workflow_id="refundApproval",
    dag_arguments={"doc_md": __doc__},
) as dag:

    @task
    def report(refund: dict[str, Any]) -> str:
        """Notify the customer; this example prints the message."""
        text = f"{refund['refunded']} cents are refunded for {refund['order']}"
        print(text)
        return text

    report(dag.get_task("ask").output)
