"""Batch: run a workflow once for each of many inputs, and collect the results in one task.

Each mapped task instance has its own run. Clear the failed ones individually to repeat them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from airflow.sdk import dag, task

from airflow_provider_mastra.operators.workflow import MastraRunWorkflowOperator


@dag(
    dag_id="mastra_batch",
    schedule=None,
    params={"cities": ["Berlin", "Hamburg", "Köln", "Leipzig", "München", "Wien"]},
    tags=["mastra"],
    doc_md=__doc__,
)
def batch() -> None:
    @task
    def list_inputs(params: dict[str, Any]) -> list[dict[str, Any]]:
        return [{"city": city} for city in params["cities"]]

    reports = MastraRunWorkflowOperator.partial(
        task_id="report",
        workflow_id="orderReport",
        max_active_tis_per_dagrun=4,
        map_index_template="{{ task.input_data['city'] }}",
    ).expand(input_data=list_inputs())

    @task
    def add_up(results: Iterable[dict[str, Any]]) -> dict[str, int]:
        """Add up the totals; this example prints them."""
        totals = {result["city"]: result["total"] for result in results}
        print(totals)
        return {"cities": len(totals), "total": sum(totals.values())}

    add_up(reports.output)


batch()
