"""Define the same deferred task, ended by a worker and by its trigger, and record the effects.

A record is an empty file in the folder ``noted`` of AIRFLOW_HOME, named after the DAG run.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, Asset, Context

from benchmarks.airflow_floor import WaitForInstant


def note(what: str) -> Callable[..., None]:
    def write(context: Context, result: Any = None) -> None:
        folder = Path(os.environ["AIRFLOW_HOME"]) / "noted"
        folder.mkdir(exist_ok=True)
        (folder / f"{context['ti'].run_id}-{what}").touch()

    return write


for dag_id, ends_task in {"ends_on_worker": False, "ends_in_triggerer": True}.items():
    with DAG(dag_id, schedule=None, params={"ends_at": 0.0}) as dag:
        WaitForInstant(
            task_id="wait",
            ends_task=ends_task,
            outlets=[Asset(dag_id)],
            post_execute=note("post_execute"),
            on_success_callback=note("callback"),
        )
    globals()[dag_id] = dag
