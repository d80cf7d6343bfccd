"""Ends what a launcher started when the launcher has died without doing so itself.

`testkit.processes` runs one of these beside every program that starts services, tells it on its
standard input what to watch, and closes that input by dying, however it dies. Then this program
asks each service to end, and kills whatever is left of it a few seconds later.

A line is ``watch SESSION SIGNAL MARK`` or ``forget SESSION``, or for a temporary folder
``remove PATH`` or ``leave PATH``.
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
    """What tells the processes of one service from all others.

    Args:
        leader: the process id of the service itself, which leads a session of its own.
        mark: the value of the environment variable ``STACK_SERVICE_MARK`` in that service.
    """

    leader: int
    mark: str

    def members(self) -> list[int]:
        """The ids of the service's living processes, its own and those that it has started.

        The session alone does not do: Prefect starts flow runs in sessions of their own. Nor does
        the environment: Airflow overwrites it with the titles that it gives its processes. A
        process that does both would be missed; neither has one.
        """
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal() and self._holds(int(entry.name)):
                found.append(int(entry.name))
        return found

    def kill(self) -> None:
        """End every process of the service at once (SIGKILL), those being started included.

        One that the kernel does not let go of is left after a few seconds.
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
            return False  # it has ended meanwhile
        if state in "ZX":
            return False
        return int(session) == self.leader or f"{MARK_VARIABLE}={self.mark}" in environment_of(pid)


def stat_fields(pid: int) -> list[str]:
    """What /proc tells of a process, from its state on: state, parent, group, session, …

    Raises:
        OSError: there is none of this id.
    """
    # "pid (name) state …"; the name may hold spaces and parentheses.
    return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()


def environment_of(pid: int) -> list[str]:
    """The variables that a process was started with; none if it has ended, or is not ours."""
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return []
    return variables.decode(errors="replace").split("\0")


def send(pid: int, signal_number: int) -> None:
    """Send a signal to a process that may have ended already."""
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
