"""A complete Airflow in separate processes, for system tests and the playground."""

from __future__ import annotations

import base64
import contextlib
import json
import secrets
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from testkit.airflow_api import AirflowApi
from testkit.json_api import ApiError, JsonApi
from testkit.processes import (
    LOOPBACK,
    TAIL_LINES,
    WAIT_SECONDS,
    ProcessStack,
    Service,
    ServiceError,
    free_port,
    inherited_environment,
)

START_SECONDS = 300.0
API_SERVER = "api-server"
# The names of the components in the response of /monitor/health.
HEALTH = {"scheduler": "scheduler", "dag-processor": "dag_processor", "triggerer": "triggerer"}
COMPONENTS = (API_SERVER, *HEALTH)
# Their log servers are not needed, because all components share one log folder.
WITH_LOG_SERVER = ("scheduler", "triggerer")
TASK_ENDED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})
RUN_ENDED = frozenset({"success", "failed"})
# Shorter than Airflow's defaults, which are in the comments, in seconds: short enough to wait for
# failure detection in a test, long enough for a busy machine.
QUICK = {
    "SCHEDULER__JOB_HEARTBEAT_SEC": "1",  # 5
    "SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",  # 5
    "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",  # 1
    "SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "20",  # 30
    "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "5",  # 300
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "45",  # 300
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",  # 10
    "SCHEDULER__TRIGGER_TIMEOUT_CHECK_INTERVAL": "2",  # 15
    "DAG_PROCESSOR__REFRESH_INTERVAL": "5",  # 300
    "DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": "2",  # 5
    "TRIGGERER__JOB_HEARTBEAT_SEC": "1",  # 5
    "TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "20",  # 30
    "WORKERS__MIN_HEARTBEAT_INTERVAL": "1",  # 5; a failed task is detected at the next heartbeat
}


class AirflowStack(ProcessStack):
    """API server, scheduler (LocalExecutor), DAG processor and triggerer, each in its own process.

    Use it as a context manager, which starts and stops all processes::

        with PostgresServer() as postgres, AirflowStack(dags, database_url=postgres.url) as stack:
            run_id = stack.trigger_dag("my_dag")
            stack.wait_for_dag_run("my_dag", run_id)

    The components are named ``api-server``, ``scheduler``, ``dag-processor`` and ``triggerer``.
    They also stop when the current process dies.

    Args:
        dags_folder: the folder of the DAG files.
        database_url: ``postgresql://…`` of a database that is empty or was used by such a stack; by
            default an SQLite file, which is not suitable for tests of race conditions.
        environment: additional environment variables for every component, such as
            ``AIRFLOW_CONN_MASTRA_DEFAULT``; they override the stack's own.
        connections: connections by id, in the format of ``airflow connections import``, to store in
            the database before the components start. Unlike those in the environment, they are
            visible and editable in the UI.
        folder: AIRFLOW_HOME, an empty folder; by default a temporary one, which is removed at the
            end.
        port: the API server's port on 127.0.0.1; 0 for a free one.
        password: the password of the user ``admin``, who has all permissions; random by default.
        parallelism: the maximum number of running tasks.
        python: the interpreter with Airflow; by default the current one.
        say: called with each line of `start`'s progress.
    """

    def __init__(
        self,
        dags_folder: Path,
        *,
        database_url: str | None = None,
        environment: Mapping[str, str] | None = None,
        connections: Mapping[str, Mapping[str, Any]] | None = None,
        folder: Path | None = None,
        port: int = 0,
        password: str | None = None,
        parallelism: int = 8,
        python: Path | None = None,
        say: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__(folder, say)
        self._python = python or Path(sys.executable)
        self._port = port or free_port()
        self.url = f"http://{LOOPBACK}:{self._port}"
        self.username = "admin"
        self.password = password or secrets.token_urlsafe(9)
        self._connections = connections or {}
        self._environment = {
            **inherited_environment("AIRFLOW"),
            **self._configuration(dags_folder.resolve(), database_url, parallelism),
            **(environment or {}),
        }
        for name in COMPONENTS:
            self._services[name] = self._component(name)
        self._api: AirflowApi | None = None

    @property
    def api(self) -> AirflowApi:
        """The REST API client, logged in.

        Raises:
            ServiceError: the stack was never started.
        """
        if self._api is None:
            raise ServiceError("Airflow was never started")
        return self._api

    def start(self) -> None:
        """Set up the database, start every component, and return when all are ready.

        Raises:
            ServiceError: a component ended, or was not ready within 300 seconds; with the end of
                its log.
        """
        passwords = self.folder / "passwords.json"
        passwords.touch(mode=0o600)
        passwords.write_text(json.dumps({self.username: self.password}))
        self._airflow("db", "migrate")
        if self._connections:
            self._import_connections()
        self._say("Airflow's database is made")
        try:
            for service in self._services.values():
                service.start()
            for name in COMPONENTS:
                self._wait_until_ready(name)
                self._say(f"Airflow's {name} is ready")
        except BaseException:
            self.stop()
            raise

    @contextlib.contextmanager
    def another_triggerer(self) -> Iterator[Service]:
        """Run a second triggerer, which takes over the triggers of a stopped first one.

        It may not be ready yet when this returns.
        """
        name = "triggerer-2"
        service = self._services[name] = self._component("triggerer", name)
        service.start()
        try:
            yield service
        finally:
            service.stop()
            del self._services[name]

    def reset_database(self) -> None:
        """Stop every component, reset the database, and start them again."""
        self.stop()
        self._airflow("db", "reset", "--yes")
        self.start()

    def trigger_dag(
        self,
        dag_id: str,
        *,
        conf: dict[str, Any] | None = None,
        run_id: str | None = None,
        logical_date: datetime | None = None,
    ) -> str:
        """Trigger a DAG run once the DAG is parsed; see `AirflowApi.trigger_dag`."""
        self.wait_for_dag(dag_id)
        return self.api.trigger_dag(dag_id, conf=conf, run_id=run_id, logical_date=logical_date)

    def wait_for_dag(self, dag_id: str, *, timeout: float = WAIT_SECONDS) -> None:
        """Wait until the DAG processor has parsed a DAG.

        Raises:
            WaitTimeoutError: the timeout has passed; the message lists files with import errors.
        """
        self.wait_until(
            f"the DAG {dag_id}",
            lambda: self.api.dag(dag_id),
            timeout=timeout,
            state=lambda: f"files that cannot be imported: {self.api.import_errors()}",
        )

    def wait_for_dag_run(
        self,
        dag_id: str,
        run_id: str,
        states: Collection[str] = RUN_ENDED,
        *,
        timeout: float = WAIT_SECONDS,
    ) -> str:
        """Wait until a DAG run is in one of the states, by default a terminal one; return it."""

        def look() -> str | None:
            state = str(self.api.dag_run(dag_id, run_id)["state"])
            return state if state in states else None

        return self.wait_until(
            f"{dag_id}, run {run_id}: one of {sorted(states)}",
            look,
            timeout=timeout,
            state=lambda: self._summary(dag_id, run_id),
        )

    def wait_for_task(
        self,
        dag_id: str,
        run_id: str,
        task_id: str,
        states: Collection[str] = TASK_ENDED,
        *,
        map_index: int = -1,
        try_number: int | None = None,
        timeout: float = WAIT_SECONDS,
    ) -> dict[str, Any]:
        """Wait until a task instance is in one of the states, by default a terminal one; return it.

        Args:
            dag_id: the DAG's id.
            run_id: the DAG run's id.
            task_id: the task's id.
            states: such as ``running``, ``deferred``, ``up_for_retry``, ``awaiting_input``.
            map_index: the index of a mapped task instance.
            try_number: the minimum try number; by default any.
            timeout: seconds to wait.
        """

        def look() -> dict[str, Any] | None:
            found = self.api.task_instance(dag_id, run_id, task_id, map_index)
            if found is None or found["try_number"] < (try_number or 0):
                return None
            return found if found["state"] in states else None

        return self.wait_until(
            f"{dag_id}.{task_id}[{map_index}], run {run_id}: one of {sorted(states)}",
            look,
            timeout=timeout,
            state=lambda: self._summary(dag_id, run_id),
        )

    def task_pid(
        self,
        dag_id: str,
        run_id: str,
        task_id: str,
        *,
        map_index: int = -1,
        try_number: int | None = None,
        timeout: float = WAIT_SECONDS,
    ) -> int:
        """Wait until a task runs, and return the id of the process that executes it.

        This process executes the operator and is the leader of a process group. Its parent (see
        `parent_pid`) is a worker of the LocalExecutor, which supervises it, sends its heartbeats
        and reports its outcome to Airflow. Killing the process simulates a task that crashes.
        Killing the worker simulates a task that Airflow considers dead while it is still running.

        The id is the one that the worker reported with the state ``running``. It is returned only
        while a process with this id exists that the stack's scheduler started.

        Raises:
            WaitTimeoutError: the task did not run in time, or finished between two polls.
        """

        def look() -> int | None:
            found = self.api.task_instance(dag_id, run_id, task_id, map_index)
            if found is None or found["state"] != "running" or found["pid"] is None:
                return None
            if found["try_number"] < (try_number or 0):
                return None
            pid = int(found["pid"])
            return pid if pid in self.service("scheduler").members else None

        return self.wait_until(
            f"{dag_id}.{task_id}[{map_index}], run {run_id}: a running process",
            look,
            timeout=timeout,
            state=lambda: self._summary(dag_id, run_id),
        )

    def _summary(self, dag_id: str, run_id: str) -> str:
        run = self.api.dag_run(dag_id, run_id)
        tasks = [
            f"{one['task_id']}[{one['map_index']}] {one['state']}, try {one['try_number']}"
            for one in self.api.task_instances(dag_id, run_id)
        ]
        return f"{dag_id}, run {run_id} is {run['state']}: {'; '.join(tasks)}"

    def _configuration(
        self, dags_folder: Path, database_url: str | None, parallelism: int
    ) -> dict[str, str]:
        sqlite = f"sqlite:///{self.folder / 'airflow.db'}"
        # One driver for synchronous and asynchronous connections, instead of the default for a
        # plain URL.
        database = (database_url or sqlite).replace("postgresql://", "postgresql+psycopg://")
        asynchronous = database.replace("sqlite://", "sqlite+aiosqlite://")
        options = {
            "API__BASE_URL": self.url,
            "API__SECRET_KEY": secrets.token_urlsafe(16),
            # Shared, because each component would generate its own secret by default.
            "API_AUTH__JWT_SECRET": secrets.token_urlsafe(64),
            "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "CORE__DAGS_FOLDER": str(dags_folder),
            "CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "CORE__EXECUTOR": "LocalExecutor",
            "CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "CORE__HOSTNAME_CALLABLE": "socket.gethostname",
            "CORE__LOAD_EXAMPLES": "False",
            "CORE__PARALLELISM": str(parallelism),
            "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self.folder / "passwords.json"),
            "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{self.username}:admin",
            "DAG_PROCESSOR__PARSING_PROCESSES": "1",
            "DATABASE__SQL_ALCHEMY_CONN": database,
            "DATABASE__SQL_ALCHEMY_CONN_ASYNC": asynchronous,
            "LOGGING__COLORED_CONSOLE_LOG": "False",
            # Without this, access messages fill the log.
            "LOGGING__NAMESPACE_LEVELS": "http.access=WARNING",
            # The API server responds slowly on a machine with two cores.
            "WORKERS__EXECUTION_API_TIMEOUT": "30",  # 5
            **QUICK,
        }
        return {
            "AIRFLOW_HOME": str(self.folder),
            **{f"AIRFLOW__{name}": value for name, value in options.items()},
        }

    def _component(self, program: str, name: str = "") -> Service:
        arguments = [program]
        name = name or program
        if program == API_SERVER:
            arguments += ["--host", LOOPBACK, "--port", str(self._port), "--workers", "1"]
        elif program in WITH_LOG_SERVER:
            arguments.append("--skip-serve-logs")
        return Service(
            name,
            [self._python, "-m", "airflow", *arguments],
            log_path=self.folder / f"{name}.log",
            environment=self._environment,
            folder=self.folder,
        )

    def _import_connections(self) -> None:
        connections = self.folder / "connections.json"
        connections.touch(mode=0o600)
        connections.write_text(json.dumps(self._connections))
        self._airflow("connections", "import", str(connections))
        connections.unlink()

    def _airflow(self, *arguments: str) -> None:
        """Run an Airflow command and wait for it."""
        done = subprocess.run(
            [self._python, "-m", "airflow", *arguments],
            env=self._environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        if done.returncode:
            raise ServiceError(
                f"`airflow {' '.join(arguments[:2])}` failed with exit code {done.returncode}:\n"
                + "\n".join(done.stdout.splitlines()[-TAIL_LINES:])
            )

    def _wait_until_ready(self, name: str) -> None:
        look = self._log_in if name == API_SERVER else lambda: self._beats(name)
        self.wait_until(f"Airflow's {name} to be ready", look, timeout=START_SECONDS)

    def _log_in(self) -> bool:
        try:
            self._api = AirflowApi(self.url, self.username, self.password)
            # The first request initialises the execution API, which takes seconds, so send it here.
            JsonApi(self.url).request("GET", "/execution/health")
        except (OSError, ApiError):
            return False
        return True

    def _beats(self, name: str) -> bool:
        """Whether a component's latest heartbeat is from its current process."""
        health = self.api.health()[HEALTH[name]]
        beat = health[f"latest_{HEALTH[name]}_heartbeat"]
        return beat is not None and datetime.fromisoformat(beat) > self.service(name).started
