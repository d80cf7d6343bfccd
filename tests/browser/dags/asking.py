"""Define DAGs whose tasks wait for a response. The DAG run's conf selects the run.

Its keys are ``server``, a connection id; ``workflow``, a registry key; and ``input``.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG

from airflow_provider_mastra.hitl.gates import ask_each, ask_in_turn
from airflow_provider_mastra.hitl.inbox import mastra_inbox
from airflow_provider_mastra.operators.workflow import MastraRunWorkflowOperator

CONF: dict[str, Any] = {"server": "", "workflow": "", "input": {}}
SERVERS = ("mastra_0", "mastra_1")


def new_dag(dag_id: str) -> DAG:
    dag = DAG(dag_id, schedule=None, params=CONF, render_template_as_native_obj=True)
    globals()[f"dag_{dag_id}"] = dag  # where Airflow finds it
    return dag


def run(**options: Any) -> MastraRunWorkflowOperator:
    return MastraRunWorkflowOperator(
        task_id="run",
        mastra_conn_id="{{ params.server }}",
        workflow_id="{{ params.workflow }}",
        input_data="{{ params.input }}",
        max_poll_interval=1,
        **options,
    )


with new_dag("ask"):
    run(on_suspend="ask")

with new_dag("ask_in_turn"):
    ask_in_turn(run(on_suspend="return"), most=3, max_poll_interval=1)

with new_dag("ask_each"):
    ask_each(run(on_suspend="return"), max_poll_interval=1)

for server in SERVERS:
    globals()[server] = mastra_inbox(
        dag_id=f"inbox_of_{server}",
        workflow_id="refundApproval",
        mastra_conn_id=server,
        poll_interval=1,
        max_poll_interval=2,
    )
