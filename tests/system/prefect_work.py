"""Define pieces of work for Prefect's fault tests: flow runs with one workflow each.

Each has a separate proxy in front of its Mastra server, so that a fault affects only that one and
several can run concurrently.
"""

from __future__ import annotations

import os
import re
import signal
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from mastra_workflows import MastraClient, WorkflowRun
from mastra_workflows.errors import UnknownRunError
from testkit.prefect_stack import PrefectStack
from testkit.processes import ServiceError
from testkit.sample_server import SampleServer
from tests.support.fault_matrix import FaultMatrix
from tests.support.fault_proxy import FaultProxy
from tests.support.faults import Hold

RUN_ID = re.compile(r"/runs/([^/]+)|runId=([^&]+)")
SECONDS = 120

MATRIX = FaultMatrix("prefect")
"""What becomes of the work that the tests of Prefect break."""


def stored_result(flow_run: dict[str, Any]) -> Any:
    """What a flow run returned, by the serializer that it names."""
    # Not at the top: types are checked where there is no Prefect.
    results: Any = import_module("prefect.results")
    data = flow_run["state"]["data"]
    serializer = results.ResultRecordMetadata(**data).serializer
    return serializer.loads(Path(data["storage_key"]).read_bytes())


class Work:
    """One flow run that runs one workflow, through its own proxy."""

    def __init__(
        self,
        prefect: PrefectStack,
        server: SampleServer,
        proxy: FaultProxy,
        client: MastraClient,
        flow: str,
        workflow: str,
        fields: dict[str, Any],
    ) -> None:
        self.prefect, self.server, self.proxy, self.client = prefect, server, proxy, client
        self.flow, self.workflow = flow, workflow
        self.key = uuid.uuid4().hex
        self._fields = fields
        self.client_timeout = 30
        self._holds: list[Hold] = []
        self._flow_run_id: str | None = None

    def __repr__(self) -> str:
        return f"<Work by {self.flow} on Mastra {self.server.version}>"

    @property
    def flow_run_id(self) -> str:
        assert self._flow_run_id is not None, "not begun"
        return self._flow_run_id

    @property
    def is_begun(self) -> bool:
        return self._flow_run_id is not None

    def begin(self) -> None:
        """Create the flow run; faults that its first request is to meet are set before."""
        known = {"countedCharge": {"key": self.key, "amount": 7, "seconds": 3}}
        parameters = {
            "server": {"base_url": self.proxy.url, "timeout": self.client_timeout},
            "workflow_id": self.workflow,
            "input_data": {**known.get(self.workflow, {}), **self._fields},
        }
        self._flow_run_id = self.prefect.api.create_flow_run(f"{self.flow}/faults", parameters)

    # -- waiting ------------------------------------------------------------------------------

    def until(self, what: str, look: Callable[[], Any]) -> Any:
        """Wait until there is something to see."""

        def state() -> str:
            current = self.prefect.api.flow_run(self.flow_run_id)["state"]
            return f"{self!r}: {current}\n{self.prefect.api.log(self.flow_run_id)}"

        return self.prefect.wait_until(what, look, timeout=SECONDS, state=state)

    def until_executing(self) -> WorkflowRun:
        """Wait until the workflow works."""
        return self._until_some_run(lambda run: run.is_active)

    def until_awaited(self) -> WorkflowRun:
        """Wait until the flow waits for the run."""
        run = self.until_executing()
        self.until("who listens to it", lambda: any(seen.is_stream for seen in self.proxy.seen))
        return run

    def until_run_is(self, *statuses: str) -> WorkflowRun:
        """Wait until the last run has one of these statuses."""
        return self._until_some_run(lambda run: run.status in statuses)

    def until_finished(self, state: str = "COMPLETED") -> None:
        assert self.prefect.wait_for_flow_run(self.flow_run_id, timeout=SECONDS) == state, (
            f"{self!r}:\n{self.prefect.api.log(self.flow_run_id)}"
        )

    def until_the_hook_is_over(self) -> None:
        over = "Hook 'cancel_mastra_runs' finished running successfully"
        self.until("the hook", lambda: over in self.prefect.api.log(self.flow_run_id))

    def _until_some_run(self, fits: Callable[[WorkflowRun], bool]) -> WorkflowRun:
        found: WorkflowRun = self.until(
            "the run", lambda: next((run for run in reversed(self.runs()) if fits(run)), None)
        )
        return found

    # -- what is there ------------------------------------------------------------------------

    def runs(self) -> list[WorkflowRun]:
        """The records of all runs that were asked for, in the order in which they were."""
        ids = [
            run_id
            for seen in self.proxy.seen
            for groups in RUN_ID.findall(f"{seen.path}?{seen.query}")
            for run_id in groups
            if run_id
        ]
        workflow = self.client.get_workflow(self.workflow)
        found = []
        for run_id in dict.fromkeys(ids):
            with suppress(UnknownRunError):
                found.append(workflow.run_execution_result(run_id))
        return found

    def result(self) -> Any:
        """What the flow returned."""
        return stored_result(self.prefect.api.flow_run(self.flow_run_id))

    def executes(self) -> bool:
        """Whether a process executes the flow run."""
        try:
            self.prefect.flow_run_pid(self.flow_run_id)
        except ServiceError:
            return False
        return True

    # -- breaking -----------------------------------------------------------------------------

    def hold(self, method: str, path: str) -> Hold:
        """Hold the next request back; the client's timeouts continue meanwhile."""
        hold = Hold()
        self._holds.append(hold)
        self.proxy.on(method, path, hold, nth=1)
        return hold

    def until_held(self, hold: Hold) -> None:
        self.until("the held request", hold.held.is_set)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process that executes the flow run."""
        os.kill(self.prefect.flow_run_pid(self.flow_run_id), number)

    def kill(self) -> None:
        """Kill the process that executes the flow run; what it had sent last is lost with it."""
        self.signal(signal.SIGKILL)
        self.until("the process's end", lambda: not self.executes())
        for hold in self._holds:
            hold.drop()

    def retry(self) -> None:
        """Execute the flow run again, as the retry button of Prefect's UI does."""
        self.set_state("SCHEDULED", "AwaitingRetry")

    def set_state(self, kind: str, name: str) -> str:
        """Change the flow run's state as a person may do in Prefect's UI; gives the one before."""
        before = str(self.prefect.api.flow_run(self.flow_run_id)["state_type"])
        path = f"/flow_runs/{self.flow_run_id}/set_state"
        response = self.prefect.api.request(
            "POST", path, {"state": {"type": kind, "name": name, "message": "By a person"}}
        )
        assert response["status"] == "ACCEPT", response
        return before

    # -- judging ------------------------------------------------------------------------------

    def check(self, executions: int = 1) -> None:
        """The work was done as often as it should be, its result has arrived, and it is over."""
        self.until_finished()
        assert self.result()["result"] == {"charged": 7}
        assert self.server.executions(self.key) == executions, self
        self.check_nothing_is_left()

    def check_cancelled(self, fault: str) -> None:
        """The run was cancelled, and no process is left."""
        self.until_run_is("canceled")
        self.until("the process's end", lambda: not self.executes())
        self.check_nothing_is_left()
        self.record_outcome(fault, "-", "ends; its run is cancelled")

    def check_nothing_is_left(self) -> None:
        left = [run for run in self.runs() if run.is_active or run.is_suspended]
        assert left == [], self

    def record_outcome(self, fault: str, executions: str, outcome: str) -> None:
        MATRIX.add(fault, self.flow, self.server.version, executions, outcome)


class Begin:
    """Begins pieces of work on a server of one generation, and ends what a failed test leaves."""

    def __init__(self, prefect: PrefectStack, server: SampleServer, opened: ExitStack) -> None:
        self.prefect, self.server = prefect, server
        self._opened = opened
        self._works: list[Work] = []

    def prepare(self, flow: str, workflow: str = "countedCharge", **fields: Any) -> Work:
        """A piece of work that is yet to begin."""
        proxy = self._opened.enter_context(FaultProxy(self.server.url))
        client = self._opened.enter_context(MastraClient(self.server.url))
        work = Work(self.prefect, self.server, proxy, client, flow, workflow, fields)
        self._works.append(work)
        return work

    def __call__(self, flow: str, workflow: str = "countedCharge", **fields: Any) -> Work:
        work = self.prepare(flow, workflow, **fields)
        work.begin()
        return work

    def end(self) -> None:
        for work in self._works:
            if work.is_begun:
                with suppress(ServiceError, ProcessLookupError):  # it may have ended by itself
                    work.signal(signal.SIGKILL)


def at_once(
    works: Iterable[Work], scenario: Callable[[Work], object], *, ways: int | None = None
) -> None:
    """Let each piece of work have its scenario, side by side.

    Args:
        ways: how many at once at most; by default all. A flow run's process costs seconds of CPU
            before it does anything.
    """
    works = list(works)
    with ThreadPoolExecutor(ways or len(works)) as pool:
        ends = [pool.submit(scenario, work) for work in works]
    errors = [error for end in ends if isinstance(error := end.exception(), Exception)]
    if errors:
        raise ExceptionGroup("of the works at once", errors)
