"""What becomes of a run when its task is stopped."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk import DAG, Context

from airflow_provider_mastra.operators.workflow import (
    MastraResumeWorkflowOperator,
    MastraRunWorkflowOperator,
)
from mastra_workflows import MastraClient, Run, RunStatus
from scripts.sample_server import ROOT, Generation, SampleServer
from tests.airflow.harness import STUDIO, Connect, RunDag, StartRun


class Stopped(MastraRunWorkflowOperator):
    """Gets the signal by which Airflow ends a task, as soon as its run is under way."""

    before: Callable[[], Any] | None = None

    def set_going(self, run: Run, context: Context) -> Run:
        """Start the run, and be told to end."""
        started = super().set_going(run, context)
        if self.before is not None:
            self.before()
        signal.raise_signal(signal.SIGTERM)
        return started


def test_a_killed_process_cancels_its_run(
    servers: Callable[[Generation], SampleServer],
    connect: Connect,
    airflow_database: None,
    key: str,
) -> None:
    server = servers("1")
    connect(server.url)
    command = [sys.executable, "-m", "tests.airflow.killed_task", key]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        try:
            before = ""
            for line in process.stdout:
                before += line
                if "Step 'export' started" in line:
                    break
            assert process.poll() is None, before
            process.send_signal(signal.SIGTERM)
            after, _ = process.communicate(timeout=60)
        finally:
            process.kill()

    with MastraClient(server.url) as client:
        run = client.get_workflow("slowExport").run_execution_result(key)
    assert run.status == RunStatus.CANCELED
    said = f"The run is cancelled with the task. Run '{key}' of workflow 'slowExport' is canceled."
    assert said in after
    assert "The DAG run is failed" in after


def test_execution_timeout_cancels_the_run(
    connected: SampleServer, run_dag: RunDag, client: MastraClient, key: str
) -> None:
    with DAG("execution_timeout", schedule=None) as dag:
        MastraRunWorkflowOperator(
            task_id="export",
            workflow_id="slowExport",
            input_data={"seconds": 60},
            run_id=key,
            execution_timeout=timedelta(seconds=1.5),
        )
    result = run_dag(dag)

    assert result.task_state("export") == "failed"
    assert "AirflowTaskTimeout" in result.log
    assert result.log.count("The run is cancelled with the task.") == 1
    run = client.get_workflow("slowExport").run_execution_result(key)
    assert run.status == RunStatus.CANCELED


def test_with_cancel_on_kill_off_the_run_goes_on(
    connected: SampleServer, run_dag: RunDag, key: str
) -> None:
    with DAG("goes_on", schedule=None) as dag:
        Stopped(
            task_id="export",
            workflow_id="slowExport",
            input_data={"seconds": 1},
            run_id=key,
            cancel_on_kill=False,
        )
    result = run_dag(dag)

    assert result.xcom("export")["result"] == {"exported": True}
    assert (
        f"Run '{key}' of workflow 'slowExport' goes on, since cancel_on_kill is off: "
        f"{STUDIO}/workflows/slowExport/graph/{key}"
    ) in result.log


def test_it_is_said_when_a_step_does_not_heed_the_cancel(
    connected: SampleServer, run_dag: RunDag, key: str
) -> None:
    with DAG("stubborn", schedule=None) as dag:
        Stopped(
            task_id="export",
            workflow_id="stubbornExport",
            input_data={"seconds": 4},
            run_id=key,
        )
    result = run_dag(dag)

    assert result.task_state("export") == "failed"
    assert re.search(f"Run '{key}' of workflow 'stubbornExport' is .* abort signal", result.log)


def test_a_server_that_is_gone_does_not_disturb_the_tasks_end(
    own_server: SampleServer, connect: Connect, run_dag: RunDag, key: str
) -> None:
    connect(own_server.url)
    with DAG("gone", schedule=None) as dag:
        operator = Stopped(
            task_id="export",
            workflow_id="slowExport",
            input_data={"seconds": 60},
            run_id=key,
            outage_timeout=3,
        )
    operator.before = own_server.kill
    result = run_dag(dag)

    assert result.task_state("export") == "failed"
    assert f"Run '{key}' of workflow 'slowExport' was not cancelled (No connection" in result.log
    assert "and may go on." in result.log
    assert "ServerLostError" in result.log


def test_a_resumed_run_is_cancelled_too(
    connected: SampleServer,
    run_dag: RunDag,
    client: MastraClient,
    start_run: StartRun,
) -> None:
    run = client.get_workflow("twoQuestions").run(start_run("twoQuestions", campaign="spring"))
    run.wait(timeout=10)
    with DAG("resumed", schedule=None) as dag:
        MastraResumeWorkflowOperator(
            task_id="resume",
            workflow_id="twoQuestions",
            run_id=run.run_id,
            resume_data={"budget": 5},
            on_suspend="wait",
            execution_timeout=timedelta(seconds=1.5),
        )
    result = run_dag(dag)

    assert result.task_state("resume") == "failed"
    assert f"The run is cancelled with the task. Run '{run.run_id}'" in result.log
    if connected.generation == "1":
        assert run.read().status == RunStatus.CANCELED
    else:
        assert "servers before 1.0 leave a suspended run as it is" in result.log


@pytest.mark.parametrize("arguments", [{}, {"wait_for_completion": False}])
def test_what_is_done_is_not_cancelled(
    connected: SampleServer,
    run_dag: RunDag,
    client: MastraClient,
    key: str,
    arguments: dict[str, Any],
) -> None:
    with DAG("done", schedule=None) as dag:
        MastraRunWorkflowOperator(
            task_id="export",
            workflow_id="slowExport",
            input_data={"seconds": 1},
            run_id=key,
            on_success_callback=lambda context: context["ti"].task.on_kill(),
            **arguments,
        )
    result = run_dag(dag)

    assert result.task_state("export") == "success"
    assert "is cancelled" not in result.log
    run = client.get_workflow("slowExport").run(key)
    assert run.wait(timeout=10).status == RunStatus.SUCCESS
