"""Stop the services of a launcher that died without stopping them.

`testkit.processes` starts one such program for each process that starts services. It writes to the
program's standard input what to watch. When the launcher dies for any reason, the input is closed.
The program then sends each service its stop signal, and kills the remaining processes a few seconds
later.

A line of the input is ``watch SESSION SIGNAL MARK`` or ``forget SESSION``, or for a temporary
folder ``remove PATH`` or ``leave PATH``.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

MARK_VARIABLE = "STACK_SERVICE_MARK"
GRACE_SECONDS = 5.0


@dataclass(frozen=True)
class Session:
    """The identity of one service's processes.

    Args:
        leader: the process id of the service, which is the leader of its session.
        mark: the value of the environment variable ``STACK_SERVICE_MARK`` in the service.
    """

    leader: int
    mark: str

    def members(self) -> list[int]:
        """Return the ids of the service's running processes, including its child processes.

        The session id is not sufficient, because Prefect starts flow runs in separate sessions. The
        environment is not sufficient either, because Airflow overwrites it with process titles. A
        process that does both would be missed, but neither product has one.
        """
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal() and self._holds(int(entry.name)):
                found.append(int(entry.name))
        return found

    def kill(self) -> None:
        """Kill all processes of the service (SIGKILL), including those that are just being started.

        It gives up after a few seconds on processes that the kernel does not release.
        """
        deadline = time.monotonic() + GRACE_SECONDS
        while (members := self.members()) and time.monotonic() < deadline:
            for pid in members:
                send(pid, signal.SIGKILL)
            time.sleep(0.01)

    def _holds(self, pid: int) -> bool:
        try:
            state, _, _, session, *_ = stat_fields(pid)
        except OSError:
            return False  # the process has ended
        if state in "ZX":
            return False
        return int(session) == self.leader or f"{MARK_VARIABLE}={self.mark}" in environment_of(pid)


def stat_fields(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the state on: state, parent, group, session, …

    Raises:
        OSError: the process does not exist.
    """
    # Format: "pid (name) state …"; the name may contain spaces and parentheses.
    return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()


def environment_of(pid: int) -> list[str]:
    """Return a process's initial environment; empty if it has ended or belongs to another user."""
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return []
    return variables.decode(errors="replace").split("\0")


def send(pid: int, signal_number: int) -> None:
    """Send a signal to a process, which may have ended."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal_number)


def main() -> None:
    watched: dict[int, tuple[Session, int]] = {}
    folders: list[str] = []
    for line in sys.stdin:
        word, _, rest = line.rstrip("\n").partition(" ")
        match word:
            case "watch":
                leader, signal_number, mark = rest.split()
                watched[int(leader)] = Session(int(leader), mark), int(signal_number)
            case "forget":
                watched.pop(int(rest), None)
            case "remove":
                folders.append(rest)
            case "leave":
                folders.remove(rest)
    for session, signal_number in watched.values():
        send(session.leader, signal_number)
    deadline = time.monotonic() + GRACE_SECONDS
    while time.monotonic() < deadline and any(s.members() for s, _ in watched.values()):
        time.sleep(0.1)
    for session, _ in watched.values():
        session.kill()
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
