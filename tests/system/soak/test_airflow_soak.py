"""Soak a complete Airflow: many runs under random faults are executed once, none lost, none left.

Mastra is not restarted here: it would lose the current step, and repeating that step is the purpose
of ``on_stall="restart"``.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from testkit.airflow_stack import COMPONENTS, AirflowStack
from testkit.json_api import ApiError
from testkit.postgres import PostgresServer
from testkit.processes import Service, parent_pid
from tests.system.soak.conftest import Soaking
from tests.system.soak.soaking import ComponentFault, Orchestrator, kill_process
from tests.system.soak.work import Slot, Work

pytest.importorskip("airflow", reason="Airflow is not installed")

pytestmark = [pytest.mark.soak, pytest.mark.timeout(7200)]

TASK = "charge"
SCHEDULER = {
    "SIGKILL of the scheduler": ComponentFault("scheduler"),
    "SIGKILL of the scheduler and its tasks": ComponentFault("scheduler", with_children=True),
}
TRIGGERER = {
    "SIGKILL of the triggerer": ComponentFault("triggerer"),
    "SIGTERM of the triggerer": ComponentFault("triggerer", signal.SIGTERM),
}
COMPONENT_FAULTS: dict[str, dict[str, ComponentFault]] = {
    "airflow-sync": SCHEDULER,
    "airflow-deferrable": {**SCHEDULER, **TRIGGERER},
    "airflow-sensor": SCHEDULER,
}
IDLE = b"LocalExecutor: <idle>"
THE_TASK = "the task"
THE_WORKER = "the task's worker"


class SoakedAirflow(Orchestrator):
    """One DAG, each of whose runs does one piece of work."""

    at_once = 20

    def __init__(self, stack: AirflowStack, mode: str) -> None:
        # A worker that dies leaves its task to go on unseen, until Airflow misses its heartbeat and
        # begins another try: rarer here, since it takes 20 s each time.
        whose = [THE_TASK] * 5 + [THE_WORKER]
        super().__init__(stack, COMPONENTS, whose, COMPONENT_FAULTS[mode])
        self._airflow = stack
        self._dag_id = mode.replace("airflow-", "soak_")

    def begin(self, work: Work) -> str:
        conf = {
            "server": f"mastra_{work.slot.name}",
            "key": work.key,
            "amount": work.plan.amount,
            "seconds": work.plan.seconds,
        }
        return self._airflow.trigger_dag(self._dag_id, conf=conf)

    def look(self, works: Mapping[str, Work]) -> dict[str, str]:
        self._end_idle_orphans()
        for task in self._list("~/taskInstances", "task_instances", "running"):
            run_id, pid = task["dag_run_id"], task["pid"]
            if run_id in works and pid is not None:
                works[run_id].sees_process((task["id"], pid), pid)
        alive = {run["dag_run_id"] for run in self._list("", "dag_runs", "queued", "running")}
        return {
            run_id: str(self._airflow.api.dag_run(self._dag_id, run_id)["state"])
            for run_id in works
            if run_id not in alive
        }

    def _end_idle_orphans(self) -> None:
        """End the workers of a dead scheduler once they have nothing more to do.

        Each has inherited its connection to the database, which so stays open with whatever the
        scheduler had locked there: no other scheduler could ever go on with those DAG runs.
        """
        scheduler = self._services["scheduler"]
        for pid in scheduler.members:
            with contextlib.suppress(OSError):  # it has ended meanwhile
                title = Path(f"/proc/{pid}/cmdline").read_bytes()
                if title.rstrip(b"\0").endswith(IDLE) and not self._has_parent(pid, scheduler):
                    kill_process(pid)

    @staticmethod
    def _has_parent(pid: int, service: Service) -> bool:
        return service.running and parent_pid(pid) == service.pid

    def _list(self, what: str, name: str, *states: str) -> list[dict[str, Any]]:
        asked = "&".join(["limit=100", *(f"state={state}" for state in states)])
        path = f"/dags/{self._dag_id}/dagRuns/{what}".rstrip("/")
        found: list[dict[str, Any]] = self._airflow.api.request("GET", f"{path}?{asked}")[name]
        return found

    def result(self, run_id: str) -> Any:
        try:
            return self._airflow.api.xcom(self._dag_id, run_id, TASK)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def log(self, run_id: str) -> str:
        api = self._airflow.api
        parts = []
        for task in api.task_instances(self._dag_id, run_id):
            for one in api.task_tries(self._dag_id, run_id, task["task_id"]):
                number = one["try_number"]
                parts.append(
                    f"{task['task_id']}, try {number}, {one['start_date']} to {one['end_date']}: "
                    f"{one['state']}"
                )
                parts.append(api.task_log(self._dag_id, run_id, task["task_id"], try_number=number))
        return "\n".join(parts)

    def kill(self, whose: str, pid: int) -> bool:
        ours = self._services["scheduler"].members
        if pid not in ours:
            return False
        if whose == THE_TASK:
            return kill_process(pid)
        worker = parent_pid(pid)
        return worker in ours and kill_process(worker)  # else it was killed before


@pytest.fixture(scope="module")
def airflow(postgres: PostgresServer, slots: list[Slot]) -> Iterator[AirflowStack]:
    """An Airflow with a connection for each way to a server."""
    connections = {
        f"AIRFLOW_CONN_MASTRA_{slot.name}": f'{{"conn_type": "mastra", "host": "{slot.proxy.url}"}}'
        for slot in slots
    }
    with AirflowStack(
        Path(__file__).parent / "dags",
        database_url=postgres.create_database("soak"),
        environment=connections,
    ) as stack:
        yield stack


@pytest.mark.parametrize("mode", list(COMPONENT_FAULTS), indirect=True)
def test_airflow_soak(mode: str, airflow: AirflowStack, soak: Soaking) -> None:
    soaked = soak(SoakedAirflow(airflow, mode), mode)
    assert (soaked.duplicates, soaked.lost, soaked.leaked) == (0, 0, 0), soaked.summary()
