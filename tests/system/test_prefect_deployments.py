"""Test every way to deploy a flow that calls this package, on a complete Prefect."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from testkit.prefect_stack import PrefectStack
from testkit.sample_server import Generation, SampleServer

pytest.importorskip("prefect", reason="Prefect is not installed")

FLOWS = Path(__file__).parent / "flows"
DEPLOY = """
from pathlib import Path

from prefect import flow

folder = str(Path("report.py").resolve().parent)
for name in ("daily_report", "in_processes"):
    flow.from_source(folder, entrypoint=f"report.py:{name}").deploy(
        name="deployed", work_pool_name="processes"
    )
"""


@pytest.fixture(scope="module")
def prefect() -> Iterator[PrefectStack]:
    with PrefectStack() as stack:
        yield stack


@pytest.fixture
def environment(
    prefect: PrefectStack, servers: Callable[[Generation], SampleServer]
) -> dict[str, str]:
    return {
        **os.environ,
        "PREFECT_API_URL": prefect.api_url,
        "PREFECT_HOME": str(prefect.folder),
        "PREFECT_RUNNER_POLL_FREQUENCY": "1",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "MASTRA_URL": servers("1").url,
        "NO_COLOR": "1",
    }


@contextmanager
def running(command: list[str], environment: dict[str, str], log: Path) -> Iterator[None]:
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, *command], cwd=FLOWS, env=environment, stdout=output, stderr=output
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait(timeout=60)


def run(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, *command],
        cwd=FLOWS,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def execute(prefect: PrefectStack, deployment: str, log: Path) -> None:
    flow_run_id = prefect.api.create_flow_run(deployment, {"city": "Oslo"})
    state = prefect.wait_for_flow_run(flow_run_id, timeout=120)
    assert state == "COMPLETED", log.read_text()


def test_a_served_flow(prefect: PrefectStack, environment: dict[str, str], tmp_path: Path) -> None:
    """Prefect pickles it, and what it calls, for the process of each flow run."""
    log = tmp_path / "serve.log"
    with running(["report.py"], environment, log):
        prefect.wait_until("the deployment", lambda: prefect.api.deployments(), timeout=60)
        execute(prefect, "daily-report/served", log)
    assert "Oslo: " in log.read_text()


def test_flows_deployed_to_a_process_work_pool(
    prefect: PrefectStack, environment: dict[str, str], tmp_path: Path
) -> None:
    prefect_command = ["-m", "prefect", "--no-prompt"]
    run([*prefect_command, "work-pool", "create", "processes", "--type", "process"], environment)
    run(["-c", DEPLOY], environment)
    by_command = ["deploy", "report.py:daily_report", "-n", "by-command", "-p", "processes"]
    run([*prefect_command, *by_command], environment)
    assert "daily-report/by-command" in run([*prefect_command, "deployment", "ls"], environment)
    log = tmp_path / "worker.log"
    worker = ["-m", "prefect", "worker", "start", "--pool", "processes", "--type", "process"]
    with running(worker, environment, log):
        execute(prefect, "daily-report/deployed", log)
        execute(prefect, "daily-report/by-command", log)
        execute(prefect, "in-processes/deployed", log)
