"""A Prefect server and a runner in separate processes, for system tests and the playground."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from testkit.json_api import ApiError
from testkit.keeper import environment_of
from testkit.prefect_api import PrefectApi
from testkit.processes import (
    LOOPBACK,
    WAIT_SECONDS,
    ProcessStack,
    Service,
    ServiceError,
    free_port,
    inherited_environment,
)

START_SECONDS = 240.0
SERVER = "server"
RUNNER = "runner"
RUN_ENDED = frozenset({"COMPLETED", "FAILED", "CANCELLED", "CRASHED"})
# Shorter than Prefect's defaults, which are in the comments; in seconds.
QUICK = {
    "PREFECT_RUNNER_POLL_FREQUENCY": "1",  # 10
    "PREFECT_LOGGING_TO_API_BATCH_INTERVAL": "0.5",  # 2
}


class PrefectStack(ProcessStack):
    """A Prefect server, and a runner that serves a file's deployments, each in its own process.

    Use it as a context manager, which starts and stops all processes::

        with PrefectStack(Path("flows.py")) as stack:
            flow_run_id = stack.api.create_flow_run("my-flow/my-deployment", {"name": "Ada"})
            stack.wait_for_flow_run(flow_run_id)

    The processes also stop when the current process dies.

    Args:
        flows_file: a Python script that calls ``prefect.serve(…)``; by default there is no runner.
            (A flow's own ``serve`` method starts flow runs in another way: `flow_run_pid` does not
            find them, and a terminated runner waits for them.)
        database_url: ``postgresql://…`` of a database that is empty or was used by such a stack; by
            default an SQLite file, which is occasionally locked under load.
        environment: additional environment variables for both; they override the stack's own.
        folder: PREFECT_HOME, which also contains the logs; by default a temporary one, which is
            removed at the end.
        port: the server's port on 127.0.0.1; 0 for a free one.
        python: the interpreter with Prefect; by default the current one.
        say: called with each line of `start`'s progress.
    """

    def __init__(
        self,
        flows_file: Path | None = None,
        *,
        database_url: str | None = None,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        port: int = 0,
        python: Path | None = None,
        say: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__(folder, say)
        self._port = port or free_port()
        self.url = f"http://{LOOPBACK}:{self._port}"
        self.api_url = f"{self.url}/api"
        self.api = PrefectApi(self.api_url)
        sqlite = f"sqlite+aiosqlite:///{self.folder / 'prefect.db'}"
        database = (database_url or sqlite).replace("postgresql://", "postgresql+asyncpg://")
        self._environment = {
            **inherited_environment("PREFECT"),
            "PREFECT_HOME": str(self.folder),
            "PREFECT_API_URL": self.api_url,
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": database,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "NO_COLOR": "1",
            **QUICK,
            **(environment or {}),
        }
        interpreter = python or Path(sys.executable)
        serve = ["server", "start", "--host", LOOPBACK, "--port", str(self._port)]
        self._add(SERVER, [interpreter, "-m", "prefect", *serve])
        if flows_file is not None:
            self._add(RUNNER, [interpreter, flows_file.resolve()])

    def start(self) -> None:
        """Start the server and then the runner, and return when both are ready.

        Raises:
            ServiceError: one of them ended, or was not ready within 240 seconds; with the end of
                its log.
        """
        try:
            for name in self._services:
                self.start_component(name)
                self._say(f"Prefect's {name} is ready")
        except BaseException:
            self.stop()
            raise

    def start_runner(self) -> None:
        """Start the runner again after a kill or termination, and return when it polls for work."""
        self.start_component(RUNNER)

    def kill_runner(self, *, with_children: bool = False) -> None:
        """Kill the runner (SIGKILL).

        Args:
            with_children: whether to kill the processes of its flow runs, too; otherwise they
                continue as orphans.
        """
        self.kill(RUNNER, with_children=with_children)

    def terminate_runner(self, timeout: float = 60.0) -> None:
        """Terminate the runner (SIGTERM) and wait until it has ended.

        The runner also ends the processes of its flow runs; Prefect 3.8 leaves their state at
        Running.

        Args:
            timeout: seconds to wait.

        Raises:
            WaitTimeoutError: the runner is still running.
        """
        self.terminate(RUNNER, timeout)

    def wait_for_flow_run(
        self,
        flow_run_id: str,
        states: Collection[str] = RUN_ENDED,
        *,
        timeout: float = WAIT_SECONDS,
    ) -> str:
        """Wait until a flow run's state type is one of these, by default a terminal one; return it.

        Args:
            flow_run_id: the flow run's id.
            states: types such as ``RUNNING``, ``PAUSED``, ``COMPLETED``.
            timeout: seconds to wait.

        Raises:
            WaitTimeoutError: the timeout has passed.
        """

        def look() -> str | None:
            state = str(self.api.flow_run(flow_run_id)["state_type"])
            return state if state in states else None

        return self.wait_until(
            f"flow run {flow_run_id}: one of {sorted(states)}",
            look,
            timeout=timeout,
            state=lambda: self._summary(flow_run_id),
        )

    def flow_run_pid(self, flow_run_id: str) -> int:
        """Return the id of the process that executes one of the runner's flow runs.

        Raises:
            ServiceError: no process executes it, because it has not started or has finished.
        """
        mark = f"PREFECT__FLOW_RUN_ID={flow_run_id}"
        for pid in self.service(RUNNER).members:
            if mark in environment_of(pid):
                return pid
        raise ServiceError(f"No process executes the flow run {flow_run_id}")

    def _add(self, name: str, command: list[str | Path]) -> None:
        self._services[name] = Service(
            name,
            command,
            log_path=self.folder / f"{name}.log",
            environment=self._environment,
            folder=self.folder,
        )

    def _wait_until_ready(self, name: str) -> None:
        look = self._responds if name == SERVER else self._asks_for_work
        self.wait_until(f"Prefect's {name} to be ready", look, timeout=START_SECONDS)

    def _responds(self) -> bool:
        try:
            return self.api.healthy()
        except (OSError, ApiError):
            return False

    def _asks_for_work(self) -> bool:
        """Whether the runner has polled since its start; it registers all deployments first."""
        started = self.service(RUNNER).started
        polls = [deployment["last_polled"] for deployment in self.api.deployments()]
        return any(poll is not None and datetime.fromisoformat(poll) > started for poll in polls)

    def _summary(self, flow_run_id: str) -> dict[str, Any]:
        state: dict[str, Any] = self.api.flow_run(flow_run_id)["state"]
        return {name: state[name] for name in ("type", "name", "message")}
