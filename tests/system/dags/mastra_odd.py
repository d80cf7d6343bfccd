"""Define DAGs of deferrable tasks: many that are killed together, and some with odd text.

The DAG run's conf sets ``server`` (a connection id) and ``key``.
"""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_mastra.operators.workflow import MastraRunWorkflowOperator

TASKS = 20
ODD_ENDS = [
    {"kind": kind, "how": how, "seconds": 15}
    for kind in ("half-emoji", "nul", "forged", "reserved", "tuple", "deep", "numbers")
    for how in ("throw", "return", "suspend")
]
OPTIONS = {"mastra_conn_id": "{{ params.server }}", "deferrable": True, "retries": 0}
CONF = {"server": "", "key": ""}

with DAG("killed_together", schedule=None, params=CONF, max_active_tasks=64):
    MastraRunWorkflowOperator.partial(
        task_id="export",
        workflow_id="slowExport",
        run_id="{{ params.key }}-{{ ti.map_index }}",
        **OPTIONS,
    ).expand(input_data=[{"seconds": 600}] * TASKS)

with DAG("odd_ends", schedule=None, params=CONF, max_active_tasks=64):
    MastraRunWorkflowOperator.partial(
        task_id="end", workflow_id="oddEnd", on_suspend="return", **OPTIONS
    ).expand(input_data=ODD_ENDS)
