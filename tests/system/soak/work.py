"""Track one run of a soak: its plan, the injected faults and its result."""

from __future__ import annotations

import contextlib
import re
import sqlite3
import time
import uuid
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mastra_workflows import MastraClient
from mastra_workflows.errors import UnknownRunError
from testkit.sample_server import Generation, SampleServer
from tests.support.fault_proxy import FaultProxy, Seen
from tests.support.faults import Fault, Respond
from tests.system.soak.plan import REQUESTS, BreakComponent, BreakNetwork, KillProcess, Plan

WORKFLOW = "countedCharge"
SUCCEEDED = ("success", "COMPLETED")
"""What Airflow and Prefect call it."""
RUN_ID = re.compile(r"/runs/([^/]+)|runId=([^&]+)")


@dataclass(frozen=True)
class Slot:
    """A way to a Mastra server that one run at a time has for itself.

    Attributes:
        name: such as ``1_3``: the server's generation and a number.
        server: the server.
        proxy: what makes the way to it bad.
    """

    name: str
    server: SampleServer
    proxy: FaultProxy

    @property
    def generation(self) -> Generation:
        """The server's generation."""
        return self.server.generation


class Work:
    """A piece of work that an orchestrator does by one run.

    Args:
        plan: what it is, and what goes wrong.
        slot: its own way to its server.

    Attributes:
        key: what its executions are counted under.
        state: the orchestrator's word for how it ended; None before that.
        injected: how many faults of each kind it has met.
    """

    def __init__(self, plan: Plan, slot: Slot) -> None:
        self.plan, self.slot = plan, slot
        self.key = f"soak-{uuid.uuid4().hex}"
        self.state: str | None = None
        self.injected: Counter[str] = Counter()
        self.result: Any = None
        self.executions: list[tuple[str, bool]] = []
        self.still_active: list[str] = []
        self._history: list[tuple[datetime, str]] = []
        self._processes: list[Hashable] = []
        self._due: list[tuple[float, KillProcess | BreakComponent, int]] = []
        self._requests: tuple[Seen, ...] = ()

    def begin(self) -> None:
        """Lay the traps; just before the orchestrator is asked for the run."""
        self.slot.proxy.clear()
        for fault in self.plan.faults:
            if isinstance(fault, BreakNetwork):
                method, path = REQUESTS[fault.request]
                self.slot.proxy.on(method, path, fault.fault, nth=fault.nth)
            elif isinstance(fault, BreakComponent):
                self._due.append((time.monotonic() + fault.after, fault, 0))
        self.note("asked for")

    def note(self, what: str) -> None:
        """Remember what happened, and when."""
        self._history.append((datetime.now(UTC), what))

    def sees_process(self, identity: Hashable, pid: int) -> None:
        """Tell that a process works for the run; says nothing new when it is known.

        Args:
            identity: what tells this process from others, of whatever time.
            pid: its id.
        """
        if identity in self._processes:
            return
        self._processes.append(identity)
        self.note(f"process {pid} works for it")
        for fault in self.plan.faults:
            if isinstance(fault, KillProcess) and fault.nth == len(self._processes):
                self._due.append((time.monotonic() + fault.after, fault, pid))

    def pop_due(self) -> list[tuple[KillProcess | BreakComponent, int]]:
        """The faults whose time has come, each once, with the process that it is for."""
        now = time.monotonic()
        due = [(fault, pid) for when, fault, pid in self._due if when <= now]
        self._due = [one for one in self._due if one[0] > now]
        return due

    def end(self, state: str, result: Any) -> None:
        """Take stock, when the orchestrator says that it is over or nothing more is expected."""
        self.state, self.result = state, result
        self.note(f"is over: {state}")
        self._requests = self.slot.proxy.seen  # the next run in this slot forgets them
        for seen in self._requests:
            if seen.fault is not None:
                self.injected[_kind(seen.fault)] += 1
        self.look()

    def look(self) -> None:
        """Read from the server what was executed, and what is still running."""
        server = self.slot.server
        counts = f"{(server.database / 'counts.db').as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(counts, uri=True)) as connection:
            rows = connection.execute(
                "SELECT run_id, finished_at FROM executions WHERE key = ?", (self.key,)
            )
            self.executions = [(run_id, finished is not None) for run_id, finished in rows]
        self.still_active = [run_id for run_id, finished in self.executions if not finished]
        with MastraClient(server.url) as client:
            workflow = client.get_workflow(WORKFLOW)
            for run_id in sorted(self._run_ids()):
                with contextlib.suppress(UnknownRunError):
                    record = workflow.run_execution_result(run_id)
                    if not record.is_finished:
                        self.still_active.append(f"{run_id} is {record.status}")

    @property
    def is_duplicate(self) -> bool:
        """Whether the work was done more than once."""
        return len(self.executions) > 1

    @property
    def is_lost(self) -> bool:
        """Whether the work was not done, its run did not succeed, or its result did not arrive."""
        arrived = self.state in SUCCEEDED and self.result == {"charged": self.plan.amount}
        return not (self.executions and arrived)

    @property
    def is_leaked(self) -> bool:
        """Whether a run of this work went on when the orchestrator said that it is over."""
        return bool(self.still_active)

    @property
    def is_well(self) -> bool:
        """Whether it was done once, its result arrived, and it is over."""
        return not (self.is_duplicate or self.is_lost or self.is_leaked)

    def story(self) -> str:
        """What was planned and what happened, to understand it and to have it again."""
        requests = [
            f"    {seen.method} {seen.path}" + (f" <- {seen.fault}" if seen.fault else "")
            for seen in self._requests
        ]
        return "\n".join(
            [
                f"Run {self.plan.index} on Mastra {self.slot.server.version}, way {self.slot.name},"
                f" {self.plan.seconds} s, key {self.key}: {self.state}, result {self.result};"
                f" executions (run id, finished) {self.executions},"
                f" still active {self.still_active}",
                "  planned:",
                *(f"    {fault}" for fault in self.plan.faults),
                "  happened:",
                *(f"    {when:%H:%M:%S.%f} {what}" for when, what in self._history),
                "  requests:",
                *requests,
            ]
        )

    def _run_ids(self) -> set[str]:
        asked = {
            run_id
            for seen in self._requests
            for groups in RUN_ID.findall(f"{seen.path}?{seen.query}")
            for run_id in groups
            if run_id
        }
        return asked | {run_id for run_id, _ in self.executions}


def _kind(fault: Fault) -> str:
    if isinstance(fault, Respond):
        return f"HTTP {fault.status}"
    return {
        "DropRequest": "request dropped",
        "LoseResponse": "response lost",
        "CutResponse": "response cut",
        "Delay": "request delayed",
    }[type(fault).__name__]
