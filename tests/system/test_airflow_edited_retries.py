"""Editing `retries` between two tries of a task, or while it waits, starts no second run."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from mastra_workflows import MastraClient, WorkflowRun
from scripts.airflow_stack import AirflowStack
from scripts.sample_server import Generation, SampleServer
from tests.system.airflow_forms import Forms

pytest.importorskip("airflow", reason="Airflow is not in this environment")

from airflow_provider_mastra.required_action import CAN_PARK

DAG_FILE = Path(__file__).with_name("edited_retries.py")
EDITS = [(0, 2), (1, 3), (3, 1)]  # as in that file
PARKED = {"awaiting_input"} if CAN_PARK else {"deferred"}
KILLED = {"killed": -1, "killed_mapped": 0}
"""The map index of each task that is killed."""
SECONDS = 180.0


@pytest.fixture
def dags(tmp_path: Path) -> Path:
    """A DAG folder with the file as it was before the edit."""
    folder = tmp_path / "dags"
    folder.mkdir()
    (folder / DAG_FILE.name).write_text(DAG_FILE.read_text())
    return folder


@pytest.fixture
def server(servers: Callable[[Generation], SampleServer]) -> SampleServer:
    return servers("1")


@pytest.fixture
def airflow(
    dags: Path, server: SampleServer, request: pytest.FixtureRequest
) -> Iterator[AirflowStack]:
    """An Airflow of its own, for the folder is its own."""
    postgres = request.getfixturevalue("postgres")
    with AirflowStack(
        dags,
        database_url=postgres.create_database("edited"),
        environment={
            "AIRFLOW_CONN_MASTRA_DEFAULT": f'{{"conn_type": "mastra", "host": "{server.url}"}}'
        },
    ) as airflow:
        yield airflow


@pytest.mark.timeout(900)
def test_editing_retries_starts_no_second_run(
    airflow: AirflowStack, dags: Path, server: SampleServer
) -> None:
    """Runs are counted by the server's own list. Some tasks are killed after the edit."""
    run_id = f"run-{uuid.uuid4().hex}"
    tasks = {
        f"edited_{before}_{after}": ["asked", "deferred", *(KILLED if before else ())]
        for before, after in EDITS
    }
    with MastraClient(server.url) as client:
        workflow = client.get_workflow("refundApproval")

        def runs(dag_id: str) -> list[WorkflowRun]:
            """Every run that the server has of a DAG's tasks; the ids of the DAG runs differ."""
            mine = f"{run_id}-{dag_id}-"
            return [run for run in workflow.runs() if told(run, "order").startswith(mine)]

        def are_suspended(dag_id: str, number: int) -> bool:
            return [run.status for run in runs(dag_id)] == ["suspended"] * number

        for dag_id in tasks:
            airflow.trigger_dag(dag_id, run_id=f"{run_id}-{dag_id}")
        for dag_id, expected in tasks.items():
            dag_run = f"{run_id}-{dag_id}"
            airflow.wait_until(
                f"the runs of {dag_id}",
                partial(are_suspended, dag_id, len(expected)),
                timeout=SECONDS,
            )
            airflow.wait_for_task(dag_id, dag_run, "asked", PARKED, timeout=SECONDS)
            airflow.wait_for_task(dag_id, dag_run, "deferred", {"deferred"}, timeout=SECONDS)

        edit(airflow, dags)

        for dag_id, expected in tasks.items():
            dag_run = f"{run_id}-{dag_id}"
            for task_id in set(expected) & set(KILLED):
                index = KILLED[task_id]
                os.kill(airflow.task_pid(dag_id, dag_run, task_id, map_index=index), signal.SIGKILL)
                airflow.wait_for_task(
                    dag_id,
                    dag_run,
                    task_id,
                    {"running"},
                    map_index=index,
                    try_number=2,
                    timeout=SECONDS,
                )
            forms = Forms(airflow, dag_id)
            [asked] = forms.open
            forms.answer(asked, approved=True, note="by a person")
            for run in runs(dag_id):
                if told(run, "reason") != "asked":
                    answer = {"approved": True, "note": "by code"}
                    workflow.run(run.run_id).resume(step="approve", resume_data=answer)

        for dag_id, expected in tasks.items():
            assert airflow.wait_for_dag_run(dag_id, f"{run_id}-{dag_id}", timeout=SECONDS) == (
                "success"
            )
            ended = {told(run, "reason"): str(run.status) for run in runs(dag_id)}
            assert ended == dict.fromkeys(expected, "success")
            assert len(runs(dag_id)) == len(expected)


def told(run: WorkflowRun, name: str) -> str:
    """A field of a run's input."""
    return str(run.payload[name]) if isinstance(run.payload, dict) else ""


def edit(airflow: AirflowStack, dags: Path) -> None:
    """Edit `retries` in the DAG file, and wait until Airflow knows of it."""

    def retries_are(path: str, number: int) -> bool:
        return bool(airflow.api.request("GET", path)["retries"] == number)

    text = DAG_FILE.read_text()
    edited = text.replace("IS_EDITED = False", "IS_EDITED = True")
    assert edited != text
    (dags / DAG_FILE.name).write_text(edited)
    for before, after in EDITS:
        path = f"/dags/edited_{before}_{after}/tasks/asked"
        airflow.wait_until("the edited DAG", partial(retries_are, path, after), timeout=SECONDS)
