"""Define one DAG for each compared way of waiting for a workflow.

The DAG run's conf sets the end of the work as a Unix timestamp: ``ends_at``. The time that Airflow
takes to start the task therefore has no effect on the measurement.
"""

from __future__ import annotations

import time
from typing import Any

from airflow.providers.http.operators.http import HttpOperator
from airflow.providers.http.sensors.http import HttpSensor
from airflow.sdk import DAG

from airflow_provider_mastra.operators.workflow import MastraRunWorkflowOperator
from benchmarks.airflow_floor import WaitForInstant

WORKFLOW = "slowExport"


def seconds_until(instant: float) -> float:
    return max(0.0, instant - time.time())


def new_dag(name: str, **options: Any) -> DAG:
    dag = DAG(
        name,
        schedule=None,
        params={"ends_at": 0.0},
        user_defined_macros={"seconds_until": seconds_until},
        max_active_runs=250,
        max_active_tasks=250,
        **options,
    )
    globals()[dag.dag_id] = dag
    return dag


def is_over(response: Any) -> bool:
    return bool(response.json()["status"] == "success")


for name, ends_task in {"floor": False, "ended_by_trigger": True}.items():
    with new_dag(name):
        WaitForInstant(task_id="wait", ends_task=ends_task)

for name, deferrable in {"ours_deferrable": True, "ours_sync": False}.items():
    with new_dag(name, render_template_as_native_obj=True):
        MastraRunWorkflowOperator(
            task_id="wait",
            workflow_id=WORKFLOW,
            mastra_conn_id="mastra",
            input_data={"seconds": "{{ seconds_until(params.ends_at) }}"},
            deferrable=deferrable,
        )

# With a response_check the sensor never defers, even with `deferrable=True`. Its trigger treats any
# response but a 404 as the end, and a run's record is never a 404. The two sensors that do defer
# therefore poll a server that responds with 404 until the run has finished.
SENSORS: dict[str, dict[str, Any]] = {
    "http_5": {"http_conn_id": "http_404_until_over", "poke_interval": 5},
    "http_60": {"http_conn_id": "http_404_until_over", "poke_interval": 60},
    "http_checked_5": {"http_conn_id": "http", "poke_interval": 5, "response_check": is_over},
}
HTTP: dict[str, Any] = {
    "http_conn_id": "http",
    "headers": {"Content-Type": "application/json"},
}
for name, options in SENSORS.items():
    with new_dag(name):
        create = HttpOperator(
            task_id="create",
            endpoint=f"api/workflows/{WORKFLOW}/create-run?runId={{{{ run_id }}}}",
            data="{}",
            **HTTP,
        )
        start = HttpOperator(
            task_id="start",
            endpoint=f"api/workflows/{WORKFLOW}/start?runId={{{{ run_id }}}}",
            data='{"inputData": {"seconds": {{ seconds_until(params.ends_at) }}}}',
            **HTTP,
        )
        wait = HttpSensor(
            task_id="wait",
            endpoint=f"api/workflows/{WORKFLOW}/runs/{{{{ run_id }}}}",
            deferrable=True,
            **options,
        )
        create >> start >> wait
