"""Test the effect of stopping a task on its run."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk import DAG, Context

from airflow_provider_mastra.operators.workflow import (
    MastraResumeWorkflowOperator,
    MastraRunWorkflowOperator,
)
from airflow_provider_mastra.triggers.workflow import MastraWorkflowRunTrigger
from mastra_workflows import MastraClient, Run, RunStatus
from testkit.sample_server import ROOT, Generation, SampleServer
from tests.airflow.harness import STUDIO, Connect, RunDag, StartRun, mark


class Stopped(MastraRunWorkflowOperator):
    """Is marked as failed, and gets the signal by which Airflow ends a task, once its run works."""

    before: Callable[[], Any] | None = None
    state: str | None = "failed"

    def start_or_resume(self, run: Run, context: Context) -> Run:
        """Start the run, and be told to end."""
        started = super().start_or_resume(run, context)
        if self.before is not None:
            self.before()
        mark(self.dag_id, self.task_id, self.state)
        signal.raise_signal(signal.SIGTERM)
        mark(self.dag_id, self.task_id, "running")  # so that the test's Airflow lets it end
        return started


@pytest.mark.parametrize(
    ("state", "status", "said"),
    [
        pytest.param(
            "failed",
            RunStatus.CANCELED,
            "Cancelling the run of the ended task. Run '{key}' of workflow 'slowExport' was "
            "cancelled.",
            id="marked",
        ),
        pytest.param(
            "running",
            RunStatus.RUNNING,
            "Run '{key}' of workflow 'slowExport' continues, since the task is running; "
            "a retry attaches to the run",
            id="its-worker-ends",
        ),
    ],
)
def test_terminated_process_handles_its_run(
    servers: Callable[[Generation], SampleServer],
    connect: Connect,
    airflow_database: None,
    key: str,
    state: str,
    status: RunStatus,
    said: str,
) -> None:
    """Its run is cancelled only if somebody has ended the task."""
    server = servers("1")
    connect(server.url)
    command = [sys.executable, "-m", "tests.airflow.killed_task", key]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        try:
            before = until(process.stdout, "Step 'export' started")
            assert process.poll() is None, before
            mark("killed", "export", state)
            process.send_signal(signal.SIGTERM)
            after = until(process.stdout, said.format(key=key))
        finally:
            process.kill()

    assert said.format(key=key) in after
    with MastraClient(server.url) as client:
        run = client.get_workflow("slowExport").get_run(key)
        assert run.read().status == status
        run.cancel()


def until(lines: Iterable[str], text: str) -> str:
    """The lines up to the one that holds a text, or all of them."""
    seen = ""
    for line in lines:
        seen += line
        if text in line:
            break
    return seen


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("success", "Cancelling the run of the ended task."),
        ("restarting", "Cancelling the run of the ended task."),
        (None, "continues, since the task is being rescheduled; a retry attaches to the run"),
        ("up_for_retry", "continues, since the task is up_for_retry; a retry attaches to the run"),
        ("queued", "continues, since the task is queued; a retry attaches to the run"),
    ],
)
def test_task_state_decides_about_the_run(
    connected: SampleServer,
    run_dag: RunDag,
    client: MastraClient,
    key: str,
    state: str | None,
    said: str,
) -> None:
    with DAG("told_to_end", schedule=None) as dag:
        operator = Stopped(
            task_id="export", workflow_id="slowExport", input_data={"seconds": 3}, run_id=key
        )
    operator.state = state
    result = run_dag(dag)

    assert said in result.log
    is_spared = "continues" in said
    assert result.task_state("export") == ("success" if is_spared else "failed")
    run = client.get_workflow("slowExport").run_execution_result(key)
    assert run.status == (RunStatus.SUCCESS if is_spared else RunStatus.CANCELED)


class KilledInTriggerer(MastraRunWorkflowOperator):
    """Its trigger is cancelled, while the task has the state that the test sets."""

    state: str | None = None

    def start_or_resume(self, run: Run, context: Context) -> Run:
        """Start the run, and kill the trigger that would wait for it."""
        started = super().start_or_resume(run, context)
        trigger = MastraWorkflowRunTrigger(
            mastra_conn_id=self.mastra_conn_id,
            workflow_id=run.workflow_id,
            run_id=run.run_id,
            wait={},
            deadline=None,
            cancel_on_kill=self.cancel_on_kill,
        )
        ti: Any = context["ti"]  # a triggerer's has another type, and the same ids
        trigger.task_instance = ti
        mark(self.dag_id, self.task_id, self.state)
        asyncio.run(trigger.on_kill())
        mark(self.dag_id, self.task_id, "running")
        return started


@pytest.mark.parametrize(
    ("state", "cancel_on_kill", "said"),
    [
        ("failed", True, "was cancelled."),
        ("success", True, "was cancelled."),
        (None, True, "was cancelled."),  # cleared
        ("failed", False, "continues, since cancel_on_kill is off."),
        (
            "deferred",
            True,
            "continues, since the task is deferred.",
        ),  # another triggerer has it now
    ],
)
def test_task_state_decides_about_the_run_of_a_trigger(
    connected: SampleServer,
    run_dag: RunDag,
    client: MastraClient,
    key: str,
    state: str | None,
    cancel_on_kill: bool,
    said: str,
) -> None:
    with DAG("killed_in_triggerer", schedule=None) as dag:
        operator = KilledInTriggerer(
            task_id="export",
            workflow_id="slowExport",
            input_data={"seconds": 3},
            run_id=key,
            cancel_on_kill=cancel_on_kill,
        )
    operator.state = state
    result = run_dag(dag)

    assert f"Run '{key}' of workflow 'slowExport' {said}" in result.log
    is_spared = "continues" in said
    assert result.task_state("export") == ("success" if is_spared else "failed")
    run = client.get_workflow("slowExport").run_execution_result(key)
    assert run.status == (RunStatus.SUCCESS if is_spared else RunStatus.CANCELED)


def test_next_run_is_cancelled_while_it_starts(
    connected: SampleServer, run_dag: RunDag, client: MastraClient, key: str
) -> None:
    """The task still holds the id of the first run then, which is over."""

    class StoppedInside(Stopped):
        def start_or_resume(self, run: Run, context: Context) -> Run:
            super().start_or_resume(run, context)
            return run

    workflow = client.get_workflow("slowExport")
    workflow.get_run(key).start(input_data={"seconds": 60})
    workflow.get_run(key).cancel(allow_retry=True)
    with DAG("killed_in_line", schedule=None) as dag:
        StoppedInside(
            task_id="export", workflow_id="slowExport", input_data={"seconds": 60}, run_id=key
        )
    result = run_dag(dag)

    assert f"Cancelling the run of the ended task. Run '{key}-2' of workflow" in result.log
    assert workflow.get_run(f"{key}-2").read().status == RunStatus.CANCELED


@pytest.mark.smoke
@pytest.mark.parametrize("cancels", [True, False])
def test_execution_timeout_cancels_the_run(
    connected: SampleServer, run_dag: RunDag, client: MastraClient, key: str, cancels: bool
) -> None:
    with DAG("execution_timeout", schedule=None) as dag:
        MastraRunWorkflowOperator(
            task_id="export",
            workflow_id="slowExport",
            input_data={"seconds": 60},
            run_id=key,
            execution_timeout=timedelta(seconds=1.5),
            cancel_on_timeout=cancels,
        )
    result = run_dag(dag)

    assert result.task_state("export") == "failed"
    assert "AirflowTaskTimeout" in result.log
    assert result.log.count("Cancelling the run of the ended task.") == cancels
    assert result.log.count("continues, since cancel_on_timeout is off") == (not cancels)
    run = client.get_workflow("slowExport").get_run(key)
    assert run.read().status == (RunStatus.CANCELED if cancels else RunStatus.RUNNING)
    run.cancel()


def test_run_continues_without_cancel_on_kill(
    connected: SampleServer, run_dag: RunDag, key: str
) -> None:
    with DAG("continues", schedule=None) as dag:
        Stopped(
            task_id="export",
            workflow_id="slowExport",
            input_data={"seconds": 1},
            run_id=key,
            cancel_on_kill=False,
        )
    result = run_dag(dag)

    assert result.xcom("export") == {"exported": True}
    assert (
        f"Run '{key}' of workflow 'slowExport' continues, since cancel_on_kill is off: "
        f"{STUDIO}/workflows/slowExport/graph/{key}"
    ) in result.log


def test_step_that_ignores_the_cancel_is_logged(
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
    assert re.search(
        f"Run '{key}' of workflow 'stubbornExport' (is|was) .* abort signal", result.log
    )


def test_unreachable_server_does_not_delay_the_end_of_the_task(
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
    assert "and may still be running." in result.log
    assert "ServerLostError" in result.log


@pytest.mark.version_specific
def test_a_resumed_run_is_cancelled_too(
    connected: SampleServer,
    run_dag: RunDag,
    client: MastraClient,
    start_run: StartRun,
) -> None:
    run = client.get_workflow("twoRequests").get_run(start_run("twoRequests", campaign="spring"))
    run.wait(timeout=120)
    with DAG("resumed", schedule=None) as dag:
        MastraResumeWorkflowOperator(
            task_id="resume",
            workflow_id="twoRequests",
            run_id=run.run_id,
            resume_data={"budget": 5},
            on_suspend="wait",
            execution_timeout=timedelta(seconds=1.5),
        )
    result = run_dag(dag)

    assert result.task_state("resume") == "failed"
    assert f"Cancelling the run of the ended task. Run '{run.run_id}'" in result.log
    if connected.generation == "1":
        assert run.read().status == RunStatus.CANCELED
    else:
        assert "servers before 1.0 do not end a suspended run" in result.log


@pytest.mark.parametrize("arguments", [{}, {"wait_for_completion": False}])
def test_finished_run_is_not_cancelled(
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
    run = client.get_workflow("slowExport").get_run(key)
    assert run.wait(timeout=120).status == RunStatus.SUCCESS
