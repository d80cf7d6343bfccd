"""Define the DAGs of a soak: one charge each, for every mode of waiting.

The DAG run's conf describes the charge: ``server`` (a connection id), ``key``, ``amount`` and
``seconds``.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG

from airflow_provider_mastra.operators.workflow import MastraRunWorkflowOperator
from airflow_provider_mastra.sensors.workflow import MastraWorkflowRunSensor

DAG_OPTIONS: dict[str, Any] = {
    "params": {"server": "", "key": "", "amount": 0, "seconds": 0},
    "render_template_as_native_obj": True,
    "max_active_runs": 100,
    "max_active_tasks": 100,
}
# More than any plan uses up: a dead scheduler takes a try of every running task.
RETRIES: dict[str, Any] = {"retries": 12, "retry_delay": timedelta(0)}


def charge(task_id: str, **options: Any) -> MastraRunWorkflowOperator:
    return MastraRunWorkflowOperator(
        task_id=task_id,
        workflow_id="countedCharge",
        mastra_conn_id="{{ params.server }}",
        input_data={
            "key": "{{ params.key }}",
            "amount": "{{ params.amount }}",
            "seconds": "{{ params.seconds }}",
        },
        max_poll_interval=1,
        **RETRIES,
        **options,
    )


with DAG("soak_sync", schedule=None, **DAG_OPTIONS):
    charge("charge", deferrable=False)

with DAG("soak_deferrable", schedule=None, **DAG_OPTIONS):
    charge("charge", deferrable=True)

with DAG("soak_sensor", schedule=None, **DAG_OPTIONS):
    sensor = MastraWorkflowRunSensor(
        task_id="charge",
        workflow_id="countedCharge",
        run_id="{{ ti.xcom_pull(task_ids='start', key='run_id') }}",
        mastra_conn_id="{{ params.server }}",
        poke_interval=1,
        **RETRIES,
    )
    charge("start", wait_for_completion=False) >> sensor
