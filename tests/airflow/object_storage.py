"""Execute a DAG with its XComs in an object store: ``object_storage.py WORKFLOW INPUT``.

It needs a separate process, since Airflow selects the XCom backend on import.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_mastra.operators.workflow import MastraRunWorkflowOperator
from tests.airflow import harness

with DAG("object_storage", schedule=None) as dag:
    report = MastraRunWorkflowOperator(
        task_id="report", workflow_id=sys.argv[1], input_data=json.loads(sys.argv[2])
    )

    @task
    def count(result: dict[str, Any]) -> int:
        return len(result["rows"])

    count(report.output)

harness.store(dag)
dag_run = dag.test()
counted = dag_run.get_task_instance("count").xcom_pull(task_ids="count")
print(f"The DAG run is {dag_run.state}; the next task counted {counted} rows", flush=True)
