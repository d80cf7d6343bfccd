"""Define a DAG of many deferrable tasks whose runs finish at about the time of deferral, or before.

The DAG run's conf sets ``server`` (a connection id) and ``key``. Each task counts its executions
under the key, followed by its map index.
"""

from __future__ import annotations

import random

from airflow.sdk import DAG

from airflow_provider_mastra.operators.workflow import MastraRunWorkflowOperator

TASKS = 50
LONGEST_SECONDS = 3.0

draw = random.Random(4)
with DAG(
    "short_runs",
    schedule=None,
    params={"server": "", "key": ""},
    max_active_runs=16,
    max_active_tasks=64,
):
    MastraRunWorkflowOperator.partial(
        task_id="charge",
        workflow_id="countedCharge",
        mastra_conn_id="{{ params.server }}",
        deferrable=True,
        retries=0,
    ).expand(
        input_data=[
            {
                "key": "{{ params.key }}-{{ ti.map_index }}",
                "amount": 7,
                "seconds": draw.uniform(0, LONGEST_SECONDS),
            }
            for _ in range(TASKS)
        ]
    )
