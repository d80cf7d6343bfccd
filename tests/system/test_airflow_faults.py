"""One execution for one piece of work, whatever dies: a whole Airflow, broken on purpose."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mastra_workflows import MastraClient, WorkflowRun
from scripts.airflow_stack import AirflowStack
from scripts.json_api import ApiError
from scripts.postgres import PostgresServer
from scripts.processes import parent_pid
from scripts.sample_server import Generation, SampleServer
from tests.support.fault_proxy import FaultProxy
from tests.support.faults import CutAnswer, DropRequest, Fault, LoseAnswer, Respond
from tests.support.reliability import ReliabilityTable

pytest.importorskip("airflow", reason="Airflow is not in this environment")

GENERATIONS: tuple[Generation, ...] = ("1", "0")
MODES = ("faults_sync", "faults_deferrable", "faults_sensor")


@pytest.fixture(scope="module")
def mastras() -> Iterator[dict[Generation, SampleServer]]:
    """Servers that the tests of this module may restart."""
    with SampleServer("1") as new, SampleServer("0") as old:
        yield {"1": new, "0": old}


@pytest.fixture(scope="module")
def proxies(mastras: dict[Generation, SampleServer]) -> Iterator[dict[Generation, FaultProxy]]:
    """What stands between Airflow and each of those servers."""
    with FaultProxy(mastras["1"].url) as new, FaultProxy(mastras["0"].url) as old:
        yield {"1": new, "0": old}


@pytest.fixture(scope="module")
def airflow(
    postgres: PostgresServer, proxies: dict[Generation, FaultProxy]
) -> Iterator[AirflowStack]:
    """An Airflow of this module's own, connected to those servers."""
    connections = {
        f"AIRFLOW_CONN_MASTRA_{generation}": f'{{"conn_type": "mastra", "host": "{proxy.url}"}}'
        for generation, proxy in proxies.items()
    }
    with AirflowStack(
        Path(__file__).parent / "dags",
        database_url=postgres.create_database("faults"),
        environment=connections,
    ) as stack:
        yield stack


TABLE = ReliabilityTable("airflow")


@pytest.fixture(scope="module", autouse=True)
def _table() -> Iterator[None]:
    yield
    TABLE.write()


class Work:
    """One DAG run that charges once."""

    def __init__(
        self,
        airflow: AirflowStack,
        server: SampleServer,
        proxy: FaultProxy,
        fault: str,
        dag_id: str,
        **conf: Any,
    ) -> None:
        self.fault = fault
        self.airflow, self.server, self.proxy, self.dag_id = airflow, server, proxy, dag_id
        self.key = uuid.uuid4().hex
        conf = {"server": f"mastra_{server.generation}", "key": self.key, "seconds": 3, **conf}
        self.run_id = airflow.trigger_dag(dag_id, conf=conf)

    def until_executing(self) -> WorkflowRun:
        """Wait until the workflow works, and give its record."""
        task = "start" if self.dag_id == "faults_sensor" else "charge"
        return self.airflow.wait_until(
            f"a run of {self.dag_id}", lambda: self._active(task), timeout=60
        )

    def _active(self, task: str) -> WorkflowRun | None:
        try:
            run_id = self.airflow.api.xcom(self.dag_id, self.run_id, task, key="run_id")
        except ApiError:
            return None
        record = self.record(str(run_id))
        return record if record is not None and record.is_active else None

    def record(self, mastra_run_id: str) -> WorkflowRun | None:
        from mastra_workflows.errors import UnknownRunError

        with MastraClient(self.server.url) as client:
            for workflow in ("countedCharge", "slowExport"):
                try:
                    return client.get_workflow(workflow).run_execution_result(mastra_run_id)
                except UnknownRunError:
                    continue
        return None

    def until_waited_for(self) -> WorkflowRun:
        """Wait until the task, or its trigger, waits for the run.

        A task that is ended before a triggerer has taken its trigger up has nobody to cancel.
        """
        record = self.until_executing()
        states = {"deferred"} if self.dag_id == "faults_deferrable" else {"running"}
        self.airflow.wait_for_task(self.dag_id, self.run_id, "charge", states)
        looks = self.proxy.count("GET", record.run_id)
        self.airflow.wait_until(
            "another look at the run",
            lambda: self.proxy.count("GET", record.run_id) > looks + 1,
            timeout=60,
        )
        return record

    def until_over(self, state: str = "success") -> None:
        assert self.airflow.wait_for_dag_run(self.dag_id, self.run_id, timeout=120) == state

    def check(self, executions: int = 1) -> None:
        """The work was done as often as it should be, and its result has arrived."""
        self.until_over()
        outcome = self.airflow.api.xcom(self.dag_id, self.run_id, "charge")
        assert outcome["result"] == {"charged": 7}
        assert self.server.executions(self.key) == executions
        self.tell(f"{executions}", "succeeds with the right result")

    def tell(self, executions: str, outcome: str) -> None:
        mode = self.dag_id.removeprefix("faults_")
        TABLE.add(self.fault, mode, self.server.version, executions, outcome)

    def log(self, try_number: int = 1) -> str:
        return self.airflow.api.task_log(self.dag_id, self.run_id, "charge", try_number=try_number)


Begin = Callable[..., Work]


@pytest.fixture(params=GENERATIONS, ids=lambda generation: f"mastra-{generation}.x")
def begin(
    request: pytest.FixtureRequest,
    airflow: AirflowStack,
    mastras: dict[Generation, SampleServer],
    proxies: dict[Generation, FaultProxy],
) -> Iterator[Begin]:
    """Begins a piece of work on a server of each generation."""
    server, proxy = mastras[request.param], proxies[request.param]
    fault = request.node.originalname.removeprefix("test_").replace("_", " ")
    parameters = request.node.callspec.params
    detail = ", ".join(
        str(parameters[name]) for name in ("fault", "how", "state") if name in parameters
    )
    what = f"{fault}: {detail}" if detail else fault
    yield lambda dag_id, **conf: Work(airflow, server, proxy, what, dag_id, **conf)
    proxy.clear()


@pytest.mark.parametrize("mode", MODES)
def test_nothing_dies(begin: Begin, mode: str) -> None:
    begin(mode).check()


@pytest.mark.parametrize("mode", ["faults_sync", "faults_sensor"])
def test_the_task_is_killed_while_it_waits(begin: Begin, mode: str) -> None:
    work = begin(mode, seconds=8)
    work.until_executing()
    pid = work.airflow.task_pid(work.dag_id, work.run_id, "charge")
    os.kill(pid, signal.SIGKILL)
    work.check()
    assert len(work.airflow.api.task_tries(work.dag_id, work.run_id, "charge")) == 2


@pytest.mark.parametrize("how", ["kill", "terminate"])
def test_the_triggerer_dies(begin: Begin, how: str) -> None:
    work = begin("faults_deferrable", seconds=6)
    work.airflow.wait_for_task(work.dag_id, work.run_id, "charge", {"deferred"})
    getattr(work.airflow, how)("triggerer")
    work.airflow.start_component("triggerer")
    work.check()


@pytest.mark.parametrize("mode", MODES)
def test_the_scheduler_is_killed(begin: Begin, mode: str) -> None:
    work = begin(mode, seconds=6)
    work.until_executing()
    work.airflow.kill("scheduler", with_children=True)
    work.airflow.start_component("scheduler")
    work.check()


@pytest.mark.parametrize("mode", ["faults_sync", "faults_deferrable"])
@pytest.mark.parametrize("state", ["failed", "success"])
def test_a_marked_task_cancels_its_run(begin: Begin, mode: str, state: str) -> None:
    work = begin(mode, seconds=60, workflow="slowExport")
    record = work.until_waited_for()
    work.airflow.api.set_task_state(work.dag_id, work.run_id, "charge", state)  # type: ignore[arg-type]
    work.airflow.wait_until(
        "the cancelled run", lambda: is_status(work, record, "canceled"), timeout=60
    )
    work.tell("-", "is over; its run is cancelled")


@pytest.mark.parametrize("mode", ["faults_sync", "faults_deferrable"])
def test_a_failed_dag_run_cancels_the_run(begin: Begin, mode: str) -> None:
    work = begin(mode, seconds=60, workflow="slowExport")
    record = work.until_waited_for()
    work.airflow.api.set_dag_run_state(work.dag_id, work.run_id, "failed")
    work.airflow.wait_until(
        "the cancelled run", lambda: is_status(work, record, "canceled"), timeout=60
    )
    work.tell("-", "is over; its run is cancelled")


@pytest.mark.parametrize("mode", ["faults_sync", "faults_deferrable"])
def test_a_cleared_task_cancels_its_run_and_starts_another(begin: Begin, mode: str) -> None:
    work = begin(mode, seconds=8)
    record = work.until_waited_for()
    work.airflow.api.clear_tasks(work.dag_id, work.run_id, [("charge", -1)])
    work.until_over()
    outcome = work.airflow.api.xcom(work.dag_id, work.run_id, "charge")
    assert outcome["run_id"] != record.run_id
    assert outcome["result"] == {"charged": 7}
    old = work.record(record.run_id)
    assert old is not None
    assert old.status == "canceled"
    assert work.server.executions(work.key) == 2
    work.tell("1 before, 1 after", "succeeds with the new run; the old one is cancelled")


def test_a_worker_ends_at_a_deploy_and_cancels_nothing(begin: Begin) -> None:
    work = begin("faults_sync", seconds=12)
    record = work.until_waited_for()
    # It lets its tasks end first; what is left of its patience is not what is tested here.
    work.airflow.service("scheduler").ask_to_end()
    looks = work.proxy.count("GET", record.run_id)
    work.airflow.wait_until(
        "two more looks at the run", lambda: work.proxy.count("GET", record.run_id) > looks + 1
    )
    now = work.record(record.run_id)
    work.airflow.kill("scheduler", with_children=True)
    work.airflow.start_component("scheduler")
    assert now is not None
    assert now.is_active
    work.check()


def test_a_worker_passes_its_sigterm_on_and_nothing_is_cancelled(begin: Begin) -> None:
    work = begin("faults_sync", seconds=8)
    work.until_waited_for()
    pid = work.airflow.task_pid(work.dag_id, work.run_id, "charge")
    os.kill(parent_pid(pid), signal.SIGTERM)
    said = "goes on, since the task is running; a retry finds the run"
    work.airflow.wait_until("the task's word", lambda: said in work.log())
    work.check()


FAULTS: dict[str, Fault] = {
    "cut before the request": DropRequest(),
    "the answer is lost": LoseAnswer(),
    "the answer is cut": CutAnswer(10),
    "503": Respond(503),
    "429": Respond(429),
}


@pytest.mark.matrix
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("fault", list(FAULTS))
def test_the_network_fails_at_each_request(begin: Begin, mode: str, fault: str) -> None:
    """The first request of every kind fails: generation, details, record and start."""
    work = begin(mode)
    for method, path in (("GET", "/packages$"), ("GET", "/runs/"), ("POST", "/stream$")):
        work.proxy.on(method, path, FAULTS[fault], nth=1)
    work.check()


@pytest.mark.parametrize("mode", ["faults_sync", "faults_deferrable"])
def test_the_server_restarts_while_the_run_executes(begin: Begin, mode: str) -> None:
    work = begin(mode, seconds=2)
    work.until_executing()
    work.server.kill()
    work.server.start()
    work.check(executions=2)  # the restart repeats the step that was lost, and only that


def is_status(work: Work, record: WorkflowRun, status: str) -> bool:
    now = work.record(record.run_id)
    return now is not None and now.status == status
