"""Test that started processes always end: by `stop`, or when the process that started them dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from testkit.postgres import PostgresServer
from testkit.processes import Service, ServiceError, WaitTimeoutError, free_port
from testkit.sample_server import ROOT

# Starts a child in a new session; both run for a minute.
PARENT = """
import subprocess, sys, time
nap = [sys.executable, "-c", "import time; time.sleep(60)"]
subprocess.Popen(nap, start_new_session="apart" in sys.argv)
print("ready", flush=True)
time.sleep(60)
"""
STARTER = """
import os, signal, sys
from testkit.postgres import PostgresServer
server = PostgresServer()
server.start()
print(server.pid, server.log_path.parent, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def wait_until_ready(service: Service) -> None:
    deadline = time.monotonic() + 10
    while "ready" not in service.log_tail() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert "ready" in service.log_tail()


@pytest.fixture(params=["together", "apart"])
def service(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Service]:
    """A running program with a child, in the same session and in another one."""
    service = Service(
        "parent",
        [sys.executable, "-c", PARENT, request.param],
        log_path=tmp_path / "parent.log",
        environment=dict(os.environ),
        folder=tmp_path,
    )
    service.start()
    wait_until_ready(service)
    yield service
    service.stop()


def test_killed_process_leaves_orphans_until_stop(service: Service) -> None:
    pid = service.pid
    assert len(service.members) == 2

    service.kill()

    assert not service.running
    (orphan,) = service.members
    assert orphan != pid

    service.stop()

    assert service.members == []


def test_a_kill_with_children_leaves_nothing(service: Service) -> None:
    service.kill(with_children=True)

    assert service.members == []


def test_unexpected_end_of_a_process_is_reported_with_its_log(tmp_path: Path) -> None:
    service = Service(
        "short",
        [sys.executable, "-c", "print('why it ended'); raise SystemExit(3)"],
        log_path=tmp_path / "short.log",
        environment=dict(os.environ),
        folder=tmp_path,
    )
    service.start()
    while service.running:
        time.sleep(0.02)

    with pytest.raises(ServiceError, match=r"(?s)exit code 3.*why it ended"):
        service.check()

    service.stop()


def test_process_that_ignores_sigterm_is_reported(tmp_path: Path) -> None:
    program = (
        "import signal, time; signal.signal(15, signal.SIG_IGN);"
        "print('ready', flush=True); time.sleep(60)"
    )
    service = Service(
        "stubborn",
        [sys.executable, "-c", program],
        log_path=tmp_path / "stubborn.log",
        environment=dict(os.environ),
        folder=tmp_path,
    )
    service.start()
    wait_until_ready(service)
    with pytest.raises(WaitTimeoutError, match="stubborn is still running"):
        service.terminate(timeout=0.2)
    service.kill()
    service.stop()


def test_free_ports_differ() -> None:
    assert free_port() != free_port()


def test_database_server_removes_its_databases(postgres: PostgresServer) -> None:
    first = postgres.create_database("one_of_two")

    assert first != postgres.create_database("two_of_two")
    with pytest.raises(ServiceError, match="already exists"):
        postgres.create_database("one_of_two")
    assert first.rpartition("@")[0] not in repr(postgres)


def test_services_end_with_a_killed_starter() -> None:
    starter = subprocess.run(
        [sys.executable, "-c", STARTER], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False
    )
    assert starter.returncode == -signal.SIGKILL
    pid, folder = starter.stdout.split()
    traces = [Path("/proc") / pid, Path(folder)]

    deadline = time.monotonic() + 15
    while any(trace.exists() for trace in traces) and time.monotonic() < deadline:
        time.sleep(0.05)

    assert not [trace for trace in traces if trace.exists()]
