"""Run Mastra workflows from Prefect: tasks, flows, blocks and a hook."""

from prefect_mastra import _logs
from prefect_mastra.aio._ask import aask_and_resume
from prefect_mastra.aio.flows import arun_workflow
from prefect_mastra.aio.tasks import (
    acancel_workflow_run,
    aexecute_workflow,
    alist_pending_requests,
    aresume_workflow,
    astart_workflow,
    await_for_workflow_run,
)
from prefect_mastra.blocks import MastraServer, MastraWorkflow
from prefect_mastra.flows import run_workflow
from prefect_mastra.hitl._ask import ask_and_resume
from prefect_mastra.hooks import cancel_mastra_runs
from prefect_mastra.retries import retry_may_help
from prefect_mastra.runs import MastraWorkflowRun
from prefect_mastra.tasks import (
    cancel_workflow_run,
    execute_workflow,
    list_pending_requests,
    resume_workflow,
    start_workflow,
    wait_for_workflow_run,
)

__all__ = [
    "MastraServer",
    "MastraWorkflow",
    "MastraWorkflowRun",
    "aask_and_resume",
    "acancel_workflow_run",
    "aexecute_workflow",
    "alist_pending_requests",
    "aresume_workflow",
    "arun_workflow",
    "ask_and_resume",
    "astart_workflow",
    "await_for_workflow_run",
    "cancel_mastra_runs",
    "cancel_workflow_run",
    "execute_workflow",
    "list_pending_requests",
    "resume_workflow",
    "retry_may_help",
    "run_workflow",
    "start_workflow",
    "wait_for_workflow_run",
]

_logs.attach_handler()
