"""Execute one DAG run in the deployment of AIRFLOW_HOME: ``deployed.py WORKFLOW KEY``.

The DAG run has the same id and the same logical date in every deployment.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime

from airflow.sdk import DAG

from airflow_provider_mastra.operators.workflow import MastraRunWorkflowOperator
from tests.airflow import harness

WHEN = datetime(2026, 1, 31, tzinfo=UTC)
workflow, key = sys.argv[1:]
with DAG("deployed", schedule=None) as dag:
    MastraRunWorkflowOperator(
        task_id="work",
        workflow_id=workflow,
        input_data={"key": key, "amount": 7, "seconds": 0 if workflow == "countedCharge" else 600},
        max_poll_interval=1,
    )

harness.make_database()
harness.store(dag)
dag_run = dag.test(logical_date=WHEN, run_after=WHEN)
print(f"DAG run {dag_run.run_id!r} is {dag_run.state}", flush=True)
