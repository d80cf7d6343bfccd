"""Test tasks that a task runner pickles and executes in other processes: Prefect's, Dask's, Ray's.

The runners for Dask and Ray are separate packages, installed by `make test-runners` only.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL

from prefect_mastra import MastraServer
from testkit.sample_server import SampleServer

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_name("submitted.py")


@pytest.mark.thorough
@pytest.mark.parametrize("runner", ["process", "dask", "ray"])
def test_tasks_in_other_processes_execute_once(
    mastra: MastraServer, server: SampleServer, key: str, runner: str
) -> None:
    """Over a retry of their flow too; and errors come back as what they are."""
    if runner != "process" and find_spec(f"prefect_{runner}") is None:
        pytest.skip(f"prefect-{runner} is not installed")
    results = _submit(runner, mastra.base_url, key)
    assert results["sync"] == results["async"] == results["subflow"] == {"charged": 7}
    assert results["refund"]["refunded"] == 100
    assert results["failing"]["error"] == "RunFailedError"
    assert "disk full on import-7" in results["failing"]["message"]
    assert results["nameless"]["error"] == "ConfigurationError"
    assert "key=" in results["nameless"]["message"]
    assert server.executions(key) == 3


def _submit(runner: str, base_url: str, key: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, SCRIPT, runner, base_url, key],
        env={
            **os.environ,
            "PREFECT_API_URL": str(PREFECT_API_URL.value()),
            "PYTHONPATH": str(ROOT),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_AUTH_MODE": "disabled",  # else it keeps a token in the home folder
        },
        capture_output=True,
        text=True,
        check=False,
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    line = next(line for line in done.stdout.splitlines() if line.startswith("RESULTS "))
    results: dict[str, Any] = json.loads(line.removeprefix("RESULTS "))
    return results
