"""Define DAGs that verify an Airflow installation, without Mastra."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
from airflow.sdk import DAG, BaseOperator, Context, get_current_context, task


class DeferringOperator(BaseOperator):
    """Waits in the triggerer for as many seconds as the DAG run's conf says."""

    def execute(self, context: Context) -> None:
        delay = timedelta(seconds=float((context["dag_run"].conf or {})["seconds"]))
        self.defer(trigger=TimeDeltaTrigger(delay), method_name="resume")

    def resume(self, context: Context, event: Any) -> str:
        return "resumed"


with DAG("stack_probe_mapped", schedule=None):

    @task
    def double(number: int) -> dict[str, int]:
        print(f"doubling {number}")
        return {"doubled": 2 * number}

    double.expand(number=[1, 2])

with DAG("stack_probe_deferrable", schedule=None):
    DeferringOperator(task_id="wait")

with DAG("stack_probe_slow", schedule=None):

    @task(retries=1, retry_delay=timedelta(0))
    def slow_at_first() -> int:
        """Lasts a minute in its first try, and no time in a later one."""
        try_number = get_current_context()["ti"].try_number
        if try_number == 1:
            time.sleep(60)
        return try_number

    slow_at_first()
