"""Test the effect on a run when Prefect interrupts the flow or task that waits for it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest
from prefect import flow
from prefect.settings import PREFECT_API_URL

from mastra_workflows import MastraClient
from prefect_mastra import MastraServer, start_workflow, wait_for_workflow_run
from prefect_mastra.runs import MastraWorkflowRun

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_name("interrupted.py")

LogsOf = Callable[[UUID], str]


def interrupt(
    server: MastraServer, what: str, workflow_id: str, run_id: str, then: str, signal_number: int
) -> tuple[int, str]:
    """Run a flow in another process, and send it a signal when it waits for its run.

    Returns:
        The exit code, and what the process printed.
    """
    api_url = PREFECT_API_URL.value()
    assert api_url
    with subprocess.Popen(
        [sys.executable, SCRIPT, what, server.base_url, workflow_id, run_id, then],
        env={**os.environ, "PREFECT_API_URL": api_url, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            lines, sent = [], False
            for line in process.stdout:
                lines.append(line)
                if "Step 'export' started" in line and not sent:
                    process.send_signal(signal_number)
                    sent = True
            process.wait(timeout=120)
        finally:
            process.kill()
    return process.returncode, "".join(lines)


@pytest.mark.parametrize(
    ("what", "signal_number"),
    [
        pytest.param("flow", signal.SIGTERM, id="flow-SIGTERM"),
        pytest.param("tasks", signal.SIGINT, id="tasks-SIGINT"),
    ],
)
def test_an_interruption_cancels_the_run(
    mastra: MastraServer,
    client: MastraClient,
    key: str,
    logs_of: LogsOf,
    what: str,
    signal_number: int,
) -> None:
    code, output = interrupt(mastra, what, "slowExport", key, "cancel", signal_number)
    assert code == -signal_number, output
    assert client.get_workflow("slowExport").get_run(key).read().status == "canceled", output
    (flow_run_id,) = re.findall(r"/flow-run/([0-9a-f-]{36})", output)
    for log in (output, logs_of(UUID(flow_run_id))):
        assert log.count(f"cancelling run '{key}' of workflow 'slowExport'") == 1
        assert f"Run '{key}' of workflow 'slowExport' was cancelled" in log


def test_run_that_continues_is_logged(mastra_1: MastraServer, key: str) -> None:
    """A step that ignores its abort signal; and a run that is to be left alone."""
    _, output = interrupt(mastra_1, "flow", "stubbornExport", key, "cancel", signal.SIGTERM)
    assert "runs to its end" in output

    _, output = interrupt(mastra_1, "tasks", "slowExport", key, "leave", signal.SIGTERM)
    assert f"run '{key}' of workflow 'slowExport' continues (cancel_on_kill is off)" in output
    with mastra_1.get_client() as client:
        left_alone = client.get_workflow("slowExport").get_run(key)
        assert left_alone.read().status == "running"
        left_alone.cancel()


def test_run_continues_if_the_runner_was_killed(
    mastra: MastraServer, client: MastraClient, key: str
) -> None:
    """Nobody reads what it prints any more: its console ends it at the next line."""
    reading, writing = os.pipe()
    os.close(reading)
    run = MastraWorkflowRun(mastra, "slowExport", key)
    run.start(input_data={"seconds": 60})

    def print_a_line() -> None:
        try:
            os.write(writing, b"Step 'export' started")
        except BrokenPipeError:
            sys.exit(1)  # as rich's console does, which Prefect prints by

    with pytest.raises(SystemExit), run.cancelling_on_kill():
        print_a_line()
    os.close(writing)
    handle = client.get_workflow("slowExport").get_run(key)
    assert handle.read().is_active
    handle.cancel()


def test_prefect_task_timeout_cancels_the_run(
    mastra: MastraServer, client: MastraClient, key: str
) -> None:
    @flow
    def hurried() -> None:
        started = start_workflow(mastra, "slowExport", {"seconds": 60}, run_id=key)
        wait_for_workflow_run.with_options(timeout_seconds=3)(mastra, started)

    with pytest.raises(TimeoutError):
        hurried()
    assert client.get_workflow("slowExport").get_run(key).read().status == "canceled"
