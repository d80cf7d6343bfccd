"""A Prefect server and a runner in processes of their own, for system tests and playground."""

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
# Quicker than Prefect's own defaults, which stand behind; in seconds.
QUICK = {
    "PREFECT_RUNNER_POLL_FREQUENCY": "1",  # 10
    "PREFECT_LOGGING_TO_API_BATCH_INTERVAL": "0.5",  # 2
}


class PrefectStack(ProcessStack):
    """A Prefect server, and a runner that serves one file's deployments, a process each.

    Entering it as a context manager starts it, leaving stops it and everything it has started::

        with PrefectStack(Path("flows.py")) as stack:
            flow_run_id = stack.api.create_flow_run("my-flow/my-deployment", {"name": "Ada"})
            stack.wait_for_flow_run(flow_run_id)

    It also ends by itself when this process dies.

    Args:
        flows_file: a Python file that calls ``prefect.serve(…)`` when it is run; by default there
            is no runner. (A flow's own ``serve`` method starts flow runs in another way, which
            `flow_run_pid` does not find and a terminated runner waits for.)
        database_url: ``postgresql://…`` of an empty database, or one that such a stack has used;
            by default an SQLite file, which a server under load finds locked now and then.
        environment: more environment variables for both; they win over the stack's own.
        folder: PREFECT_HOME, which the logs are kept in; by default a temporary one, removed
            at the end.
        port: the server's port on 127.0.0.1; 0 takes a free one.
        python: the interpreter that has Prefect; by default the one that runs this.
        say: is told what `start` has done so far, line by line; by default nobody is.
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
        """Start the server, then the runner, and return when both are at work.

        Raises:
            ServiceError: one of them ended or was not ready in 240 seconds; with its log's end.
        """
        try:
            for name in self._services:
                self.start_component(name)
                self._say(f"Prefect's {name} is ready")
        except BaseException:
            self.stop()
            raise

    def start_runner(self) -> None:
        """Start the runner that was killed or terminated, and return when it asks for work."""
        self.start_component(RUNNER)

    def kill_runner(self, *, with_children: bool = False) -> None:
        """End the runner at once (SIGKILL).

        Args:
            with_children: also the processes of its flow runs, which otherwise go on as orphans.
        """
        self.kill(RUNNER, with_children=with_children)

    def terminate_runner(self, timeout: float = 60.0) -> None:
        """Ask the runner to end (SIGTERM) and wait until it has.

        It ends the processes of its flow runs too; Prefect 3.8 leaves these in state Running.

        Args:
            timeout: seconds to wait.

        Raises:
            WaitTimeoutError: it still runs.
        """
        self.terminate(RUNNER, timeout)

    def wait_for_flow_run(
        self,
        flow_run_id: str,
        states: Collection[str] = RUN_ENDED,
        *,
        timeout: float = WAIT_SECONDS,
    ) -> str:
        """Return a flow run's state type once it is one of these; by default once it has ended.

        Args:
            flow_run_id: the flow run.
            states: types such as ``RUNNING``, ``PAUSED``, ``COMPLETED``.
            timeout: seconds to wait.

        Raises:
            WaitTimeoutError: it is in none of them in time.
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
        """The id of the process that executes a flow run of the runner's.

        Raises:
            ServiceError: there is none: it has not begun, or is over.
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
        look = self._answers if name == SERVER else self._asks_for_work
        self.wait_until(f"Prefect's {name} to be ready", look, timeout=START_SECONDS)

    def _answers(self) -> bool:
        try:
            return self.api.healthy()
        except (OSError, ApiError):
            return False

    def _asks_for_work(self) -> bool:
        """Whether a deployment was polled since the runner's start, which registers all first."""
        started = self.service(RUNNER).started
        polls = [deployment["last_polled"] for deployment in self.api.deployments()]
        return any(poll is not None and datetime.fromisoformat(poll) > started for poll in polls)

    def _summary(self, flow_run_id: str) -> dict[str, Any]:
        state: dict[str, Any] = self.api.flow_run(flow_run_id)["state"]
        return {name: state[name] for name in ("type", "name", "message")}
