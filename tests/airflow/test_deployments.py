"""Test that two Airflow deployments, or one before and after a database reset, share no run."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from mastra_workflows import MastraClient, RunStatus
from testkit.sample_server import ROOT, Generation, SampleServer
from tests.airflow.harness import connection

pytestmark = pytest.mark.thorough


class Deployment:
    """An Airflow with a separate database, and no Fernet key.

    Args:
        home: its AIRFLOW_HOME.
        server: the Mastra server that it uses.
    """

    def __init__(self, home: Path, server: SampleServer) -> None:
        self._dags = home / "dags"
        self._dags.mkdir(parents=True)
        self._database = home / "airflow.db"
        bundle = {
            "name": "tests",
            "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
            "kwargs": {"path": str(self._dags)},
        }
        self._environment = {
            **os.environ,
            "AIRFLOW_HOME": str(home),
            "AIRFLOW_CONN_MASTRA_DEFAULT": connection(server.url),
            "AIRFLOW__CORE__FERNET_KEY": "",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self._database}",
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([bundle]),
        }

    def begin(self, workflow: str, key: str) -> subprocess.Popen[str]:
        """Begin the DAG run, which is the same in every deployment."""
        return subprocess.Popen(
            [sys.executable, "-m", "tests.airflow.deployed", workflow, key],
            cwd=ROOT,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def charge(self, key: str) -> str:
        """Run ``countedCharge`` to its end; returns the run's id."""
        with self.begin("countedCharge", key) as process:
            said, _ = process.communicate()
        assert "DAG run 'manual__2026-01-31T00:00:00+00:00' is success" in said, said
        return run_id_in(said)

    def mark_failed(self) -> None:
        """Mark the task as failed, as a person does."""
        with closing(sqlite3.connect(self._database)) as database, database:
            database.execute("UPDATE task_instance SET state = 'failed' WHERE task_id = 'work'")

    def reset(self) -> None:
        """Empty the database."""
        command = [sys.executable, "-m", "airflow", "db", "reset", "--yes"]
        subprocess.run(command, env=self._environment, check=True, capture_output=True)


def run_id_in(said: str) -> str:
    """The id of the run that a task's log tells."""
    found = re.search(r"Run '(deployed\.work\.[^']+)' of workflow", said)
    assert found is not None, said
    return found[1]


def read_until_started(process: subprocess.Popen[str]) -> str:
    """Read a task's log until its run executes; returns the run's id."""
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if "Step 'export' started" in line:
            break
    return run_id_in(said)


@pytest.fixture
def server(servers: Callable[[Generation], SampleServer]) -> SampleServer:
    return servers("1")


@pytest.fixture
def production(tmp_path: Path, server: SampleServer) -> Deployment:
    """One deployment."""
    return Deployment(tmp_path / "production", server)


@pytest.fixture
def staging(tmp_path: Path, server: SampleServer) -> Deployment:
    """Another deployment."""
    return Deployment(tmp_path / "staging", server)


def test_two_deployments_execute_a_run_each(
    production: Deployment, staging: Deployment, server: SampleServer, key: str
) -> None:
    assert production.charge(key) != staging.charge(key)
    assert server.executions(key) == 2


def test_a_reset_database_executes_the_same_dag_run_anew(
    staging: Deployment, server: SampleServer, key: str
) -> None:
    before = staging.charge(key)
    staging.reset()
    assert staging.charge(key) != before
    assert server.executions(key) == 2


def test_a_task_marked_in_one_deployment_leaves_the_run_of_the_other(
    production: Deployment, staging: Deployment, client: MastraClient, key: str
) -> None:
    exports = client.get_workflow("slowExport")
    with production.begin("slowExport", key) as productive, staging.begin("slowExport", key) as own:
        try:
            theirs, mine = (exports.get_run(read_until_started(one)) for one in (productive, own))
            staging.mark_failed()
            own.send_signal(signal.SIGTERM)
            assert "was cancelled" in own.communicate()[0]
            assert mine.read().status == RunStatus.CANCELED
            assert theirs.read().status == RunStatus.RUNNING
            theirs.cancel()
        finally:
            for process in (productive, own):
                process.kill()
