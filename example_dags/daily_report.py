"""Daily report: start a workflow, wait for it with a sensor, and use its result in a task.

The sensor reschedules itself and holds no worker between two polls, so a run may take hours.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import dag, task

from airflow_provider_mastra.operators.workflow import MastraRunWorkflowOperator
from airflow_provider_mastra.sensors.workflow import MastraWorkflowRunSensor


@dag(
    dag_id="mastra_daily_report",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=1)},
    tags=["mastra"],
    doc_md=__doc__,
)
def daily_report() -> None:
    start = MastraRunWorkflowOperator(
        task_id="start",
        workflow_id="orderReport",
        input_data={"city": "Hamburg", "day": "{{ dag_run.run_after | ds }}"},
        wait_for_completion=False,
    )
    report = MastraWorkflowRunSensor(
        task_id="wait",
        workflow_id="orderReport",
        run_id=start.output["run_id"],
        mode="reschedule",
        poke_interval=60,
        timeout=6 * 60 * 60,
    )

    @task
    def publish(result: dict[str, Any]) -> str:
        """Send the report; this example prints it."""
        text: str = result["text"]
        print(text)
        return text

    publish(report.output)


daily_report()
