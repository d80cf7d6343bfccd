"""Share the code of Airflow's fault tests: one piece of work, and its result."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Callable
from typing import Any, Self
from urllib.parse import parse_qs, unquote

from mastra_workflows import MastraClient, WorkflowRun
from mastra_workflows.errors import UnknownRunError
from testkit.airflow_stack import AirflowStack
from testkit.sample_server import SampleServer
from tests.support.fault_matrix import FaultMatrix
from tests.support.fault_proxy import FaultProxy

MODES = ("sync", "deferrable", "sensor")
CHARGED = {"charged": 7}


MOST_LOOKS = 4
"""How often a process looks at a run, at most, before it waits for it."""


class Work:
    """One DAG run that charges once, with its own proxy and connection.

    Args:
        airflow: where it runs.
        server: the Mastra server that does the work.
        matrix: collects the outcome.
        mode: how the run is waited for, one of `MODES`.
        fault: what is broken, for the matrix.
        variant: which of the DAGs of this mode; see tests/system/dags/mastra_faults.py.
        held: whether the workflow executes until `release` or `check`; see
            tests/support/held_workflows.mjs.
        **conf: the conf of the DAG run, where it differs from that file's.
    """

    def __init__(
        self,
        airflow: AirflowStack,
        server: SampleServer,
        matrix: FaultMatrix,
        mode: str,
        fault: str,
        *,
        variant: str = "",
        held: bool = False,
        **conf: Any,
    ) -> None:
        self.airflow, self.server, self.mode = airflow, server, mode
        self._matrix, self._fault = matrix, fault
        self.dag_id = "_".join(filter(None, ["faults", variant, mode]))
        self.key = uuid.uuid4().hex
        self.run_id = f"run-{self.key}"
        self._until = airflow.folder / f"until-{self.key}"
        self._conf = {"server": f"mastra-{self.key}", "key": self.key, "seconds": 3, **conf}
        if held:
            self._conf |= {"workflow": "heldCharge", "until": str(self._until)}
        self._begun = False
        self.client = MastraClient(server.url)
        self.proxy = FaultProxy(server.url)
        self.proxy.__enter__()
        airflow.api.request(
            "POST",
            "/connections",
            {
                "connection_id": self._conf["server"],
                "conn_type": "mastra",
                "host": self.proxy.url,
            },
        )

    def begin(self) -> Self:
        """Trigger the DAG run."""
        self.airflow.trigger_dag(self.dag_id, conf=self._conf, run_id=self.run_id)
        self._begun = True
        return self

    def release(self) -> None:
        """Let a workflow that is held end."""
        self._until.touch()

    def close(self) -> None:
        """Clean up; fails if a run of this work was left behind."""
        left = self.active_runs()
        self.release()
        try:
            if self._begun and self.state == "running":
                self.airflow.api.set_dag_run_state(self.dag_id, self.run_id, "failed")
            for run in left:
                self.client.get_workflow(run.workflow_id).get_run(run.run_id).cancel()
        finally:
            self.airflow.api.request("DELETE", f"/connections/{self._conf['server']}")
            self.proxy.__exit__(None, None, None)
            self.client.close()
        assert not left, f"left behind: {', '.join(map(str, left))}"

    @property
    def state(self) -> str:
        """How the DAG run stands."""
        return str(self.airflow.api.dag_run(self.dag_id, self.run_id)["state"])

    # -- what the server has ------------------------------------------------------------------

    def runs(self) -> list[WorkflowRun]:
        """The records of every run that this work has started, in order."""
        started = {
            (unquote(seen.path.split("/")[-2]), parse_qs(seen.query)["runId"][0]): None
            for seen in self.proxy.seen
            if seen.method == "POST" and seen.path.endswith("/stream")
        }
        records = [self.record(*which) for which in started]
        return [record for record in records if record is not None]

    def active_runs(self) -> list[WorkflowRun]:
        """Those that are not over."""
        return [run for run in self.runs() if not run.is_finished and not run.is_pending]

    def record(self, workflow_id: str, run_id: str) -> WorkflowRun | None:
        """A run's record, from the server itself; None if there is no such run."""
        try:
            return self.client.get_workflow(workflow_id).run_execution_result(run_id)
        except UnknownRunError:
            return None

    @property
    def is_finished(self) -> bool:
        """Whether there are runs, and all have ended."""
        return bool(self.runs()) and not self.active_runs()

    # -- waiting for a moment -----------------------------------------------------------------

    def until(self, what: str, look: Callable[[], bool]) -> None:
        """Wait until something is so."""
        self.airflow.wait_until(what, look)

    def until_active(self, status: str = "running") -> WorkflowRun:
        """Wait until the workflow executes, or is suspended, and give its record."""
        return self.airflow.wait_until(
            f"a run of {self.dag_id} that is {status}",
            lambda: next((run for run in self.runs() if run.status == status), None),
        )

    def until_awaited(self, status: str = "running", *, more_clients: int = 0) -> WorkflowRun:
        """Wait until the task, or its trigger, waits for the run.

        A task that is ended before a triggerer has taken its trigger up has nobody to cancel.

        Args:
            status: the run's.
            more_clients: how many processes have asked by then, besides the task's own, and the
                triggerer or the task that has started the run.
        """
        record = self.until_active(status)
        states = {"deferred"} if self.mode == "deferrable" else {"running"}
        self.airflow.wait_for_task(self.dag_id, self.run_id, "charge", states)
        clients = (1 if self.mode == "sync" else 2) + more_clients
        self.until("somebody to wait for the run", lambda: self._is_awaited(record, clients))
        return record

    def until_awaited_again(self) -> WorkflowRun:
        """As `until_awaited`, after the process that waited was replaced."""
        return self.until_awaited(more_clients=1)

    def _is_awaited(self, record: WorkflowRun, clients: int) -> bool:
        """Whether the last of so many processes listens to the run or looks at it."""
        seen = self.proxy.seen
        first = [number for number, one in enumerate(seen) if one.path.endswith("/packages")]
        if len(first) < clients:
            return False
        since = seen[first[clients - 1] :]
        looks = sum(one.method == "GET" and record.run_id in one.path for one in since)
        return looks > MOST_LOOKS or any(one.is_stream for one in since)

    def until_polled_again(self, record: WorkflowRun) -> None:
        """Wait for two more looks at a suspended run, which tells nothing by itself."""
        looks = self.proxy.count("GET", record.run_id)
        self.until(
            "two more looks at the run", lambda: self.proxy.count("GET", record.run_id) > looks + 1
        )

    def until_finished(self, state: str = "success") -> None:
        """Wait until the DAG run is over, in that state."""
        assert self.airflow.wait_for_dag_run(self.dag_id, self.run_id) == state

    def triggerer(self) -> int | None:
        """Which triggerer waits for the run; None while there is none."""
        task = self.airflow.api.task_instance(self.dag_id, self.run_id, "charge")
        trigger = task and task["trigger"]
        return trigger["triggerer_id"] if trigger else None

    # -- breaking it --------------------------------------------------------------------------

    def kill_task(self, task: str = "charge") -> None:
        """End the process of a task at once (SIGKILL), and wait until it is gone."""
        pid = self.airflow.task_pid(self.dag_id, self.run_id, task)
        os.kill(pid, signal.SIGKILL)
        scheduler = self.airflow.service("scheduler")
        self.until(f"the end of process {pid}", lambda: pid not in scheduler.members)

    # -- what became of it --------------------------------------------------------------------

    def check(self, *, executions: int = 1, result: Any = CHARGED) -> None:
        """The work was executed as often as expected, its result has arrived, nothing runs."""
        self.release()
        self.until_finished()
        found, counted, left = self.result(), self.server.executions(self.key), self.active_runs()
        assert (found, counted, left) == (result, executions, [])
        self.record_outcome(executions, "succeeds with the right result")

    def approve(self, run: WorkflowRun) -> None:
        """Resume the suspended run of the variant "approval"."""
        response = {"approved": True, "note": self.key}
        handle = self.client.get_workflow(run.workflow_id).get_run(run.run_id)
        handle.resume(step="approve", resume_data=response)

    def check_approved(self) -> None:
        """As `check`, for an approved run, which was started by the one request there was."""
        self.until_finished()
        expected = {"order": self.key, "refunded": 7, "note": self.key}
        assert self.result() == expected
        assert self.proxy.count("POST", "/stream$") == 1
        assert self.is_finished
        self.record_outcome(1, "succeeds with the right result")

    def check_cancelled(self) -> None:
        """Its one run was cancelled."""
        self.until("the cancelled run", lambda: [run.status for run in self.runs()] == ["canceled"])
        self.record_outcome("-", "ends; its run is cancelled")

    def check_retried(self, task: str = "charge") -> None:
        """More than one try did it."""
        assert len(self.airflow.api.task_tries(self.dag_id, self.run_id, task)) > 1

    def check_undisturbed(self) -> None:
        """No try has failed by an error of this package.

        There may have been several tries: when a deferred task is woken before the scheduler
        has noted that it deferred, Airflow fails the try itself.
        """
        for task in self.airflow.api.task_instances(self.dag_id, self.run_id):
            for one in self.airflow.api.task_tries(self.dag_id, self.run_id, task["task_id"]):
                log = self.log(task["task_id"], one["try_number"])
                assert "Task failed with exception" not in log, log

    def result(self, key: str = "return_value") -> Any:
        """The task's own result, as the next one gets it, or another of its XComs."""
        return self.airflow.api.xcom(self.dag_id, self.run_id, "charge", key)

    def log(self, task: str = "charge", try_number: int = 1) -> str:
        """The log of a try."""
        return self.airflow.api.task_log(self.dag_id, self.run_id, task, try_number=try_number)

    def record_outcome(self, executions: int | str, outcome: str) -> None:
        """Add the outcome of the work to the matrix."""
        self._matrix.add(self._fault, self.mode, self.server.version, str(executions), outcome)


Plan = Callable[..., Work]
"""Makes a piece of work on one server: ``plan(mode, fault, variant=…, **conf)``."""

PlanBoth = Callable[..., list[Work]]
"""Makes the same piece of work on a server of each generation."""
