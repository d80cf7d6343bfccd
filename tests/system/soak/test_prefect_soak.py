"""Soak a Prefect server and its runner: many runs under random faults.

A flow run whose process died is set to Scheduled again, as the button Retry of Prefect's UI does. A
runner is killed, never terminated: a terminated runner also terminates its flows, and these cancel
their runs as intended.

Mastra is not restarted here: it would lose the current step, and repeating that step is the purpose
of ``on_stall="restart"``.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from testkit.keeper import environment_of
from testkit.postgres import PostgresServer
from testkit.prefect_stack import RUN_ENDED, RUNNER, SERVER, PrefectStack
from tests.system.prefect_work import stored_result
from tests.system.soak.conftest import Soaking
from tests.system.soak.soaking import ComponentFault, Orchestrator, kill_process
from tests.system.soak.work import Work

pytest.importorskip("prefect", reason="Prefect is not installed")

pytestmark = [pytest.mark.soak, pytest.mark.timeout(7200)]

MODES = ("prefect-sync", "prefect-async")
THE_FLOW = "the flow run's process"
RUNNER_FAULTS = {
    "SIGKILL of the runner": ComponentFault(RUNNER),
    "SIGKILL of the runner and its flow runs": ComponentFault(RUNNER, with_children=True),
}
MARK = "PREFECT__FLOW_RUN_ID="
MOST_FAILURES = 10
"""How often a flow run that failed by itself is tried again; one that was killed always is."""
ORPHANED_SECONDS = 10.0
"""After so long without a process, a flow run that is not over is taken for dead."""


class SoakedPrefect(Orchestrator):
    """One deployment, each of whose flow runs does one piece of work."""

    at_once = 10  # a flow run's process costs seconds of CPU before it does anything

    def __init__(self, stack: PrefectStack, mode: str) -> None:
        super().__init__(stack, (SERVER, RUNNER), [THE_FLOW], RUNNER_FAULTS)
        self._prefect = stack
        self._deployment = mode.replace("prefect-", "soak-") + "/soak"
        self._failures: Counter[str] = Counter()
        self._last_alive: dict[str, float] = {}

    def begin(self, work: Work) -> str:
        plan = work.plan
        parameters = {
            "base_url": work.slot.proxy.url,
            "charge": {"key": work.key, "amount": plan.amount, "seconds": plan.seconds},
            "by_tasks": plan.index % 4 < 2,
        }
        return self._prefect.api.create_flow_run(self._deployment, parameters)

    def look(self, works: Mapping[str, Work]) -> dict[str, str]:
        processes = self._processes()
        over = {}
        for flow_run in self._flow_runs(list(works)):
            flow_run_id = flow_run["id"]
            state, work = flow_run["state_type"], works[flow_run_id]
            pid = processes.get(flow_run_id)
            if pid is not None:
                work.sees_process(pid, pid)
            if pid is not None or state == "SCHEDULED":
                self._last_alive[flow_run_id] = time.monotonic()
            if state == "COMPLETED" or (
                state in RUN_ENDED and self._failures[flow_run_id] >= MOST_FAILURES
            ):
                over[flow_run_id] = state
            elif pid is None and (state in RUN_ENDED or self._is_orphaned(flow_run_id)):
                self._retry(flow_run_id, flow_run["state"], work)
        return over

    def _flow_runs(self, flow_run_ids: list[str]) -> list[dict[str, Any]]:
        body = {"flow_runs": {"id": {"any_": flow_run_ids}}}
        found: list[dict[str, Any]] = self._prefect.api.request("POST", "/flow_runs/filter", body)
        return found

    def _processes(self) -> dict[str, int]:
        """The process of each flow run that has one."""
        found: dict[str, int] = {}
        for pid in self._services[RUNNER].members:
            for variable in environment_of(pid):
                if variable.startswith(MARK):
                    found.setdefault(variable.removeprefix(MARK), pid)
        return found

    def _is_orphaned(self, flow_run_id: str) -> bool:
        now = time.monotonic()
        return now - self._last_alive.setdefault(flow_run_id, now) > ORPHANED_SECONDS

    def _retry(self, flow_run_id: str, former: dict[str, Any], work: Work) -> None:
        state = {"type": "SCHEDULED", "name": "AwaitingRetry", "message": "Retry from the UI"}
        # Prefect refuses to leave a state such as Running, which nobody has ended, without force.
        body = {"state": state, "force": former["type"] not in RUN_ENDED}
        response = self._prefect.api.request("POST", f"/flow_runs/{flow_run_id}/set_state", body)
        self._failures[flow_run_id] += former["type"] == "FAILED"
        self._last_alive[flow_run_id] = time.monotonic()
        work.note(
            f"{former['name']} ({former['message']}), set to AwaitingRetry: {response['status']}"
        )

    def result(self, run_id: str) -> Any:
        flow_run = self._prefect.api.flow_run(run_id)
        if flow_run["state_type"] != "COMPLETED":  # what is stored then is the error
            return None
        stored = stored_result(flow_run)
        return stored.get("result", {"stored, but no outcome": stored})  # counts as lost

    def log(self, run_id: str) -> str:
        states = [
            f"{state['timestamp']} {state['name']}: {state['message']}"
            for state in self._prefect.api.states(run_id)
        ]
        return "\n".join([*states, self._prefect.api.log(run_id)])

    def kill(self, whose: str, pid: int) -> bool:
        return pid in self._services[RUNNER].members and kill_process(pid)


@pytest.fixture(scope="module")
def prefect(postgres: PostgresServer) -> Iterator[PrefectStack]:
    """A Prefect whose flow runs leave their results where a test finds them."""
    with PrefectStack(
        Path(__file__).parent / "flows" / "serve.py",
        database_url=postgres.create_database("soak"),
        environment={"PREFECT_RESULTS_DEFAULT_SERIALIZER": "json"},
    ) as stack:
        yield stack


@pytest.mark.parametrize("mode", MODES, indirect=True)
def test_prefect_soak(mode: str, prefect: PrefectStack, soak: Soaking) -> None:
    soaked = soak(SoakedPrefect(prefect, mode), mode)
    assert (soaked.duplicates, soaked.lost, soaked.leaked) == (0, 0, 0), soaked.summary()
