"""Which failures of a task another try can mend."""

from __future__ import annotations

from typing import Any

from prefect.client.schemas.objects import State, TaskRun
from prefect.exceptions import CancelledRun
from prefect.tasks import Task

from mastra_workflows.errors import (
    FINAL,
    ConnectionFailedError,
    NotSuspendedError,
    RunCanceledError,
    RunFailedError,
    RunSuspendedError,
)

__all__ = ["retry_may_help"]

RUN_ENDS = (NotSuspendedError, RunCanceledError, RunFailedError, RunSuspendedError)
"""What became of a run, for a task that works on that one run; a flow's retry may start another."""


def retry_may_help(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:
    """A ``retry_condition_fn``: no retry for what it cannot mend, such as invalid input.

    The tasks of this package have it; they retry nothing before they are given ``retries``. For
    tasks of your own that call Mastra: ``@task(retries=3, retry_condition_fn=retry_may_help)``.
    """
    error = _error(state)
    if isinstance(error, ConnectionFailedError):
        return error.transient
    return not isinstance(error, (*FINAL, *RUN_ENDS, CancelledRun))


def _error(state: State[Any]) -> Any:
    """What a task raised. `State.result` would return a coroutine in an asyncio task."""
    return state.data if isinstance(state.data, Exception) else getattr(state.data, "result", None)


def new_run_may_help(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:
    """As `retry_may_help`, for a task that starts its run: a retry may start the next one."""
    return isinstance(_error(state), RunFailedError) or retry_may_help(task, task_run, state)
