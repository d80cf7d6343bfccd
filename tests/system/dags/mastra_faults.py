"""DAGs that the fault tests trigger: one charge each, in every way of waiting for it.

The DAG run's conf says what to charge: ``server`` (a connection id), ``key`` and ``seconds``.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG

from airflow_provider_mastra.operators.workflow import MastraRunWorkflowOperator
from airflow_provider_mastra.sensors.workflow import MastraWorkflowRunSensor

CONF: dict[str, Any] = {"server": "mastra_1", "key": "", "seconds": 2}


def charge(task_id: str, **options: Any) -> MastraRunWorkflowOperator:
    arguments: dict[str, Any] = {
        "workflow_id": "{{ params.workflow or 'countedCharge' }}",
        "mastra_conn_id": "{{ params.server }}",
        "input_data": {
            "key": "{{ params.key }}",
            "amount": 7,
            "seconds": "{{ params.seconds }}",
        },
        "max_poll_interval": 1,
        "retries": 2,
        "retry_delay": timedelta(0),
        **options,
    }
    return MastraRunWorkflowOperator(task_id=task_id, **arguments)


for name, deferrable in {"sync": False, "deferrable": True}.items():
    with DAG(
        f"faults_{name}",
        schedule=None,
        params={**CONF, "workflow": None},
        render_template_as_native_obj=True,
    ) as dag:
        charge("charge", deferrable=deferrable, stall_timeout=4, on_stall="restart")
    globals()[dag.dag_id] = dag

with DAG(
    "faults_sensor",
    schedule=None,
    params={**CONF, "workflow": None},
    render_template_as_native_obj=True,
) as sensor_dag:
    start = charge("start", wait_for_completion=False)
    wait = MastraWorkflowRunSensor(
        task_id="charge",
        workflow_id="countedCharge",
        run_id="{{ ti.xcom_pull(task_ids='start', key='run_id') }}",
        mastra_conn_id="{{ params.server }}",
        poke_interval=1,
        retries=2,
        retry_delay=timedelta(0),
    )
    start >> wait
