"""Real servers as child processes, with fault injection and guaranteed cleanup.

It only works on Linux, because it finds the processes of a service in /proc.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self, TypeVar

from testkit.keeper import MARK_VARIABLE, Session, stat_fields

LOOPBACK = "127.0.0.1"
PORTS = range(20_000, 32_768)  # Linux assigns ephemeral ports from 32,768 on
POLL_SECONDS = 0.2
STOP_SECONDS = 5.0
# Long, because only failures wait so long, and machines may be very busy.
WAIT_SECONDS = 180.0
TAIL_LINES = 30

T = TypeVar("T")


class ServiceError(RuntimeError):
    """A service could not start, or is in the wrong state for a call."""


class WaitTimeoutError(ServiceError):
    """A condition was not met in time."""


def free_port() -> int:
    """Return an unused TCP port on 127.0.0.1.

    It is outside the range that the kernel uses for outgoing connections. A port from that range
    could be taken before the server, or its next start, binds it.
    """
    while True:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((LOOPBACK, random.choice(PORTS)))
            return int(probe.getsockname()[1])


def inherited_environment(owner: str) -> dict[str, str]:
    """Return this process's environment without variables that would configure a program.

    Args:
        owner: the program's prefix, such as ``AIRFLOW``; variables with this prefix are removed.
    """
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.lstrip("_").startswith(f"{owner}_")
    }
    # Cached byte code makes the second start of an orchestrator two seconds faster.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment["PYTHONUNBUFFERED"] = "1"
    for name in ("no_proxy", "NO_PROXY"):
        environment[name] = ",".join(filter(None, [environment.get(name), LOOPBACK, "localhost"]))
    return environment


def parent_pid(pid: int) -> int:
    """Return the id of the process's parent, which may have adopted it."""
    return int(stat_fields(pid)[1])


class TemporaryFolder:
    """A temporary folder that is removed at the latest when this process dies.

    Args:
        name: the prefix of the folder's name.
        parent: the parent folder; by default the system's folder for temporary files.
    """

    def __init__(self, name: str, parent: Path | None = None) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=parent))
        _keeper.remove(self.path)

    def remove(self) -> None:
        """Remove the folder and its contents; repeated calls do nothing."""
        if self.path.exists():
            shutil.rmtree(self.path)
            _keeper.leave(self.path)


class Service:
    """A program in a separate process, with its own session and log file.

    It is stopped when the process that started it dies, for any reason.

    Args:
        name: the name in error messages.
        command: the program and its arguments.
        log_path: the file that the output is appended to.
        environment: the complete environment.
        folder: the working directory.
        user: the system user to run it as, which needs root; by default the current user.
        stop_signal: the signal that requests a graceful shutdown.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        log_path: Path,
        environment: Mapping[str, str],
        folder: Path,
        user: str | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.name = name
        self.log_path = log_path
        self._command = command
        self._environment = environment
        self._folder = folder
        self._user = None if user is None else pwd.getpwnam(user)
        self._stop_signal = stop_signal
        self._process: subprocess.Popen[bytes] | None = None
        self._started: datetime | None = None
        self._sessions: list[Session] = []
        self._asked_to_end = False

    def __repr__(self) -> str:
        state = f"process {self.pid}" if self.running else "not running"
        return f"<Service {self.name}, {state}>"

    @property
    def running(self) -> bool:
        """Whether the program's own process is running."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id of the running program.

        Raises:
            ServiceError: the program is not running.
        """
        if self._process is None or not self.running:
            raise ServiceError(f"{self.name} is not running")
        return self._process.pid

    @property
    def started(self) -> datetime:
        """The time of the latest start.

        Raises:
            ServiceError: the program was never started.
        """
        if self._started is None:
            raise ServiceError(f"{self.name} was never started")
        return self._started

    @property
    def members(self) -> list[int]:
        """The ids of all running processes of the program and its child processes, from any start.

        After a `kill`, these are its orphans.
        """
        return [pid for session in self._sessions for pid in session.members()]

    def start(self) -> None:
        """Start the program; it may not be ready yet when this returns."""
        if self.running:
            raise ServiceError(f"{self.name} is already running")
        mark = uuid.uuid4().hex
        user = self._user
        self._started = datetime.now(UTC)
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                env={**self._environment, MARK_VARIABLE: mark},
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # A separate session keeps Ctrl-C in a terminal away, and identifies child
                # processes.
                start_new_session=True,
                user=None if user is None else user.pw_uid,
                group=None if user is None else user.pw_gid,
                extra_groups=None if user is None else os.getgrouplist(user.pw_name, user.pw_gid),
            )
        session = Session(self._process.pid, mark)
        self._sessions.append(session)
        self._asked_to_end = False
        _keeper.watch(session, self._stop_signal)

    def ask_to_end(self) -> None:
        """Send the stop signal without waiting."""
        if self._process is not None and self.running:
            self._asked_to_end = True
            self._process.send_signal(self._stop_signal)

    def terminate(self, timeout: float = 30.0) -> None:
        """Send the stop signal and wait until the program has ended.

        Args:
            timeout: seconds to wait.

        Raises:
            WaitTimeoutError: the program is still running.
        """
        self.ask_to_end()
        if self._process is None:
            return
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise WaitTimeoutError(
                f"{self.name} is still running {timeout:.0f} s after {self._stop_signal.name}. "
                f"{self.log_tail()}"
            ) from None

    def kill(self, *, with_children: bool = False) -> None:
        """Kill the program (SIGKILL), like a crash.

        Args:
            with_children: whether to kill its child processes, too, like the end of a container.
                Otherwise they continue as orphans, as when the kernel kills one process for its
                memory.
        """
        if self._process is None:
            return
        self._asked_to_end = True
        self._process.kill()
        self._process.wait()
        if with_children:
            self._sessions[-1].kill()

    def stop(self, grace: float = STOP_SECONDS) -> None:
        """Stop the program and all remaining processes of its starts.

        Args:
            grace: how many seconds to wait for a graceful shutdown.
        """
        with contextlib.suppress(WaitTimeoutError):
            self.terminate(grace)
        self.kill()
        for session in self._sessions:
            session.kill()
            _keeper.forget(session)
        self._sessions.clear()
        self._process = None

    def check(self) -> None:
        """Raise a ServiceError if the program has ended unexpectedly."""
        if self._process is None or self._asked_to_end or self.running:
            return
        raise ServiceError(
            f"{self.name} ended unexpectedly with exit code {self._process.returncode}. "
            f"{self.log_tail()}"
        )

    def log_tail(self, lines: int = TAIL_LINES) -> str:
        """Return the last lines of the log, with a heading."""
        text = self.log_path.read_text(errors="replace") if self.log_path.exists() else ""
        tail = "\n".join(text.splitlines()[-lines:])
        return f"Last lines of {self.log_path.name}:\n{tail}"


class ProcessStack(ABC):
    """The services of one system, by name, with a folder for their files.

    Use it as a context manager, which starts and stops all services.

    Args:
        folder: the folder of databases and logs; by default a temporary one, which is removed when
            the context manager exits.
        say: called with each line of `start`'s progress.
    """

    def __init__(self, folder: Path | None, say: Callable[[str], None] | None) -> None:
        self._say = say or (lambda text: None)
        self._temporary = None
        if folder is None:
            self._temporary = TemporaryFolder(type(self).__name__.lower())
            folder = self._temporary.path
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder.resolve()
        self._services: dict[str, Service] = {}

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @abstractmethod
    def start(self) -> None:
        """Start every service and return when the system is ready."""

    @abstractmethod
    def _wait_until_ready(self, name: str) -> None:
        """Wait until a service that was just started is ready."""

    def close(self) -> None:
        """Stop every service and remove a temporary folder."""
        self.stop()
        if self._temporary is not None:
            self._temporary.remove()

    def stop(self) -> None:
        """Stop every service and all their child processes."""
        for service in self._services.values():
            service.ask_to_end()
        deadline = time.monotonic() + STOP_SECONDS
        for service in self._services.values():
            service.stop(max(0.0, deadline - time.monotonic()))

    def service(self, name: str) -> Service:
        """Return a service, for methods that the stack itself does not have.

        Raises:
            ServiceError: there is no service with this name, or the stack was never started.
        """
        if name not in self._services:
            raise ServiceError(f"{type(self).__name__} has no {name!r} (yet)")
        return self._services[name]

    def pid(self, name: str) -> int:
        """Return the process id of a running service: of the program itself, not of a wrapper."""
        return self.service(name).pid

    def kill(self, name: str, *, with_children: bool = False) -> None:
        """Kill a service (SIGKILL); see `Service.kill`."""
        self.service(name).kill(with_children=with_children)

    def terminate(self, name: str, timeout: float = 30.0) -> None:
        """Terminate a service (SIGTERM) and wait until it has ended; see `Service.terminate`."""
        self.service(name).terminate(timeout)

    def start_component(self, name: str) -> None:
        """Start a service again after a kill or termination, and return when it is ready."""
        self.service(name).start()
        self._wait_until_ready(name)

    def wait_until(
        self,
        what: str,
        look: Callable[[], T | None],
        *,
        timeout: float = WAIT_SECONDS,
        state: Callable[[], object] | None = None,
    ) -> T:
        """Poll a condition every 0.2 s until it is met.

        Args:
            what: the description of the condition, for the error message.
            look: returns a false value while the condition is not met.
            timeout: seconds to wait.
            state: returns the final state for the error message; only called on a timeout.

        Returns:
            The value that `look` returned.

        Raises:
            WaitTimeoutError: the timeout has passed; with the end of every service's log.
            ServiceError: a service ended unexpectedly.
        """
        deadline = time.monotonic() + timeout
        while True:
            if seen := look():
                return seen
            for service in self._services.values():
                service.check()
            if time.monotonic() > deadline:
                self._give_up(f"Timed out after {timeout:.0f} s waiting for {what}.", state)
            time.sleep(POLL_SECONDS)

    def _give_up(self, what: str, state: Callable[[], object] | None) -> NoReturn:
        tails = [service.log_tail() for service in self._services.values()]
        if state is not None:
            try:
                told = state()
            except (OSError, RuntimeError) as error:
                told = f"unknown ({error})"
            tails.insert(0, f"Last state: {told}")
        raise WaitTimeoutError("\n\n".join([what, *tails]))


class _Keeper:
    """The client of the program that outlives this process; see testkit.keeper.

    It starts the program when it is first needed.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()

    def watch(self, session: Session, signal_number: int) -> None:
        self._tell(f"watch {session.leader} {signal_number} {session.mark}")

    def forget(self, session: Session) -> None:
        self._tell(f"forget {session.leader}")

    def remove(self, folder: Path) -> None:
        self._tell(f"remove {folder}")

    def leave(self, folder: Path) -> None:
        self._tell(f"leave {folder}")

    def _tell(self, line: str) -> None:
        with self._lock:
            if self._process is None:
                self._process = self._start()
            assert self._process.stdin is not None
            self._process.stdin.write(f"{line}\n")
            self._process.stdin.flush()

    def _start(self) -> subprocess.Popen[str]:
        # -I -S make the start fast and independent of the caller's environment.
        program = Path(__file__).with_name("keeper.py")
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", program],
            stdin=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        atexit.register(self._close, process)
        return process

    @staticmethod
    def _close(process: subprocess.Popen[str]) -> None:
        if process.stdin is not None:
            process.stdin.close()
        process.wait()


_keeper = _Keeper()
