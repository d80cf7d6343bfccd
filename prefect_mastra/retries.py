"""Which failures of a task another try can mend."""

from __future__ import annotations

from typing import Any

from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task

from mastra_workflows.errors import (
    AuthenticationError,
    BodyTooLargeError,
    ConfigurationError,
    ConnectionFailedError,
    InvalidDataError,
    NotSuspendedError,
    RunCanceledError,
    RunFailedError,
    RunSuspendedError,
    UnknownRunError,
    UnknownWorkflowError,
    UnsupportedError,
)

FINAL = (
    AuthenticationError,
    BodyTooLargeError,
    ConfigurationError,
    InvalidDataError,
    NotSuspendedError,
    RunCanceledError,
    RunFailedError,
    RunSuspendedError,
    UnknownRunError,
    UnknownWorkflowError,
    UnsupportedError,
)
"""Errors that the same call meets again, however often it is tried."""


def retry_may_help(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:
    """A ``retry_condition_fn``: no retry for what it cannot mend, such as invalid input.

    The tasks of this package have it; they retry nothing before they are given ``retries``. For
    tasks of your own that call Mastra: ``@task(retries=3, retry_condition_fn=retry_may_help)``.
    """
    error = state.result(raise_on_failure=False)
    if isinstance(error, ConnectionFailedError):
        return error.passing
    return not isinstance(error, FINAL)
