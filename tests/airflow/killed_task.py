"""Execute one task in a separate process that a test kills: ``killed_task.py <run id>``."""

from __future__ import annotations

import sys

from airflow.sdk import DAG

from airflow_provider_mastra.operators.workflow import MastraRunWorkflowOperator
from tests.airflow import harness

with DAG("killed", schedule=None) as dag:
    MastraRunWorkflowOperator(
        task_id="export",
        workflow_id="slowExport",
        input_data={"seconds": 60},
        run_id=sys.argv[1],
        max_poll_interval=1,
    )

harness.store(dag)
state = dag.test().state
print(f"The DAG run is {state}", flush=True)
