"""Test that editing `retries` between attempts, or during a wait, executes nothing twice."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from mastra_workflows import MastraClient, WorkflowRun
from testkit.airflow_stack import AirflowStack
from testkit.sample_server import SampleServer
from tests.system.airflow_forms import Forms

pytest.importorskip("airflow", reason="Airflow is not installed")

from airflow_provider_mastra.hitl._required_action import SUPPORTS_AWAITING_INPUT

DAG_FILE = Path(__file__).with_name("edited_retries.py")
EDITS = [(0, 2), (1, 3), (3, 1)]  # as in that file
PARKED = {"awaiting_input"} if SUPPORTS_AWAITING_INPUT else {"deferred"}
KILLED = {"killed": -1, "killed_mapped": 0, "resumed_killed": -1}
"""The map index of each task that is killed."""
WAITING = {"asked": PARKED, "deferred": {"deferred"}, "resumed_deferred": {"deferred"}}
"""The states that the other tasks wait in."""
SECONDS = 240.0


@pytest.fixture
def dags(tmp_path: Path) -> Path:
    """A DAG folder with the file as it was before the edit."""
    folder = tmp_path / "dags"
    folder.mkdir()
    (folder / DAG_FILE.name).write_text(DAG_FILE.read_text())
    return folder


@pytest.fixture
def airflow(
    dags: Path, server: SampleServer, request: pytest.FixtureRequest
) -> Iterator[AirflowStack]:
    """A separate Airflow, since it needs its own DAG folder."""
    postgres = request.getfixturevalue("postgres")
    with AirflowStack(
        dags,
        database_url=postgres.create_database(f"edited_{server.generation}"),
        environment={
            "AIRFLOW_CONN_MASTRA_DEFAULT": f'{{"conn_type": "mastra", "host": "{server.url}"}}',
            # So many tasks at once keep a busy machine from their heartbeats.
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "300",
        },
    ) as airflow:
        yield airflow


def test_edited_retries_execute_nothing_twice(
    airflow: AirflowStack, dags: Path, server: SampleServer
) -> None:
    """Runs are counted by the server's own list. Some tasks are killed after the edit."""
    mark = f"run-{uuid.uuid4().hex}"
    tasks = {
        f"edited_{before}_{after}": [*WAITING, *(KILLED if before else ())]
        for before, after in EDITS
    }
    with MastraClient(server.url) as client:
        workflows = [client.get_workflow(name) for name in ("refundApproval", "reviseLoop")]

        def runs(dag_id: str) -> list[tuple[str, WorkflowRun]]:
            """Every run that the server has of a DAG's tasks, with the task that started it."""
            mine = f"{mark}-{dag_id}-"
            return [
                (started.removeprefix(mine), run)
                for workflow in workflows
                for run in workflow.runs()
                if (started := started_by(run)).startswith(mine)
            ]

        def are_waiting(dag_id: str) -> bool:
            found = {name: (run.status, asked_again(run)) for name, run in runs(dag_id)}
            return found == {
                name: ("suspended", name.startswith("resumed")) for name in tasks[dag_id]
            }

        for dag_id in tasks:
            airflow.trigger_dag(dag_id, run_id=f"{mark}-{dag_id}")
        for dag_id in tasks:
            airflow.wait_until(
                f"the runs of {dag_id}", partial(are_waiting, dag_id), timeout=SECONDS
            )
            for task_id, states in WAITING.items():
                airflow.wait_for_task(dag_id, f"{mark}-{dag_id}", task_id, states, timeout=SECONDS)

        edit(airflow, dags)

        for dag_id, expected in tasks.items():
            for task_id in set(expected) & set(KILLED):
                kill(airflow, dag_id, f"{mark}-{dag_id}", task_id)
            forms = Forms(airflow, dag_id)
            [asked] = forms.open
            forms.respond(asked, approved=True, note="by a person")
            for name, run in runs(dag_id):
                if name != "asked":
                    approve(client, run)

        for dag_id, expected in tasks.items():
            dag_run = f"{mark}-{dag_id}"
            state = airflow.wait_for_dag_run(dag_id, dag_run, timeout=SECONDS)
            assert state == "success", failures(airflow, dag_id, dag_run)
            ended = sorted((name, str(run.status), rounds(run)) for name, run in runs(dag_id))
            assert ended == sorted(
                (name, "success", 2 if name.startswith("resumed") else 1) for name in expected
            )


def started_by(run: WorkflowRun) -> str:
    """The DAG run and the task in a run's input."""
    told = run.payload if isinstance(run.payload, dict) else {}
    return str(told.get("order", told.get("topic", "")))


def asked_again(run: WorkflowRun) -> bool:
    """Whether a run waits in the second round of a loop."""
    asked = [one.payload for one in run.suspensions if isinstance(one.payload, dict)]
    return any(payload.get("round") == 2 for payload in asked)


def rounds(run: WorkflowRun) -> object:
    """How often a run that is over has asked."""
    return run.result.get("round", 1) if isinstance(run.result, dict) else None


def failures(airflow: AirflowStack, dag_id: str, run_id: str) -> str:
    """The logs of the tasks that did not succeed."""
    logs = []
    for one in airflow.api.task_instances(dag_id, run_id):
        if one["state"] != "success":
            task_id, index = one["task_id"], one["map_index"]
            for number in range(1, one["try_number"] + 1):
                log = airflow.api.task_log(
                    dag_id, run_id, task_id, try_number=number, map_index=index
                )
                logs.append(f"{task_id}[{index}] {one['state']}, try {number}:\n{log}")
    return "\n".join(logs)


def kill(airflow: AirflowStack, dag_id: str, run_id: str, task_id: str) -> None:
    """End a task's process (SIGKILL), and return when the next try runs."""
    index = KILLED[task_id]
    pid = airflow.task_pid(dag_id, run_id, task_id, map_index=index)
    tries = len(airflow.api.task_tries(dag_id, run_id, task_id, index))
    os.kill(pid, signal.SIGKILL)
    airflow.wait_for_task(
        dag_id, run_id, task_id, {"running"}, map_index=index, try_number=tries + 1, timeout=SECONDS
    )


def approve(client: MastraClient, run: WorkflowRun) -> None:
    """Give the last response that a run waits for."""
    [suspension] = run.suspensions
    is_loop = run.workflow_id == "reviseLoop"
    response = {"verdict": "approve"} if is_loop else {"approved": True, "note": "by code"}
    handle = client.get_workflow(run.workflow_id).get_run(run.run_id)
    handle.resume(step=suspension.step, resume_data=response)


def edit(airflow: AirflowStack, dags: Path) -> None:
    """Edit `retries` in the DAG file, and wait until Airflow knows of it."""

    def retries_are(path: str, number: int) -> bool:
        return bool(airflow.api.request("GET", path)["retries"] == number)

    text = DAG_FILE.read_text()
    edited = text.replace("IS_EDITED = False", "IS_EDITED = True")
    assert edited != text
    (dags / DAG_FILE.name).write_text(edited)
    for before, after in EDITS:
        for task_id in WAITING:
            path = f"/dags/edited_{before}_{after}/tasks/{task_id}"
            airflow.wait_until("the edited DAG", partial(retries_are, path, after), timeout=SECONDS)
