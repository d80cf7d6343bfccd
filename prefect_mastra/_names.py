"""Build the default names of flow and task runs, which contain the workflow id."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from prefect.context import FlowRunContext, TaskRunContext

from mastra_workflows.integration import safe_text
from prefect_mastra.runs import workflow_id_of

MAX_PART = 100
"""Maximum characters of the workflow id, and of the key, in a name."""


def flow_run_name() -> str:
    """Prefix the flow run's name with the workflow id, such as ``orderReport-fuzzy-otter``.

    Prefect calls this again when it retries the flow run in another process, so a prefix that is
    already there is kept.
    """
    context = FlowRunContext.get()
    assert context is not None
    assert context.flow_run is not None
    prefix = f"{_workflow_id(context.parameters or {})}-"
    name = context.flow_run.name
    return name if name.startswith(prefix) else f"{prefix}{name}"


def task_run_name(verb: str = "") -> Any:
    """Return a function that names task runs, such as ``start orderReport-<key>``.

    Without a key, the name ends with the last part of Prefect's own name for the task run.
    """
    return partial(_task_run_name, f"{verb} " if verb else "")


def _task_run_name(prefix: str, parameters: dict[str, Any]) -> str:
    context = TaskRunContext.get()
    key = parameters.get("key")
    if key is None and context is not None:
        key = context.task_run.name.rpartition("-")[2]  # the last part of Prefect's default name
    suffix = f"-{safe_text(key, MAX_PART)}" if key else ""
    return f"{prefix}{_workflow_id(parameters)}{suffix}"


def _workflow_id(parameters: Mapping[str, Any]) -> str:
    """Return the workflow id of a call. A call without one fails later, with a better error."""
    workflow_id = parameters.get("workflow_id") or workflow_id_of(parameters.get("run"))
    return safe_text(workflow_id or "workflow", MAX_PART)
