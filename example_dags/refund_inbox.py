"""An inbox: a person is asked about every refund that waits for an approval, whoever began it.

Start the workflow anywhere, in Mastra Studio or by an application; what it asks shows up on
Airflow's page of required actions. Each question is a DAG run of this DAG.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import task

from airflow_provider_mastra.inbox import mastra_inbox

with mastra_inbox(
    dag_id="mastra_refund_inbox",
    workflow_id="refundApproval",
    dag_arguments={"doc_md": __doc__},
) as dag:

    @task
    def tell(outcome: dict[str, Any]) -> str:
        """Here the customer would be told."""
        refund = outcome["result"]
        text = f"{refund['refunded']} cents are refunded for {refund['order']}"
        print(text)
        return text

    tell(dag.get_task("ask").output)
