"""Decide which task failures a retry can fix."""

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
"""Errors that report the state of a run. A retry of a task that works on that run meets the same
state; a retry of the flow may start another run."""


def retry_may_help(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:
    """Return False for errors that a retry cannot fix, such as invalid input.

    This is a ``retry_condition_fn``. The tasks of this package use it, and only retry if you set
    ``retries``. For your own tasks that call Mastra, use
    ``@task(retries=3, retry_condition_fn=retry_may_help)``.
    """
    error = _error(state)
    if isinstance(error, ConnectionFailedError):
        return error.transient
    return not isinstance(error, (*FINAL, *RUN_ENDS, CancelledRun))


def _error(state: State[Any]) -> Any:
    """Return the exception of a failed task. In an asyncio task, `State.result` is a coroutine."""
    return state.data if isinstance(state.data, Exception) else getattr(state.data, "result", None)


def new_run_may_help(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:
    """Extend `retry_may_help` to failed runs, for a task whose retry may start a new run."""
    return isinstance(_error(state), RunFailedError) or retry_may_help(task, task_run, state)
