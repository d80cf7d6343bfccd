"""What the shared part logs, such as an outage of the server, in the logs of flow and task runs."""

from __future__ import annotations

import logging

from prefect.context import FlowRunContext, TaskRunContext
from prefect.logging.handlers import APILogHandler


def show_in_runs() -> None:
    """Send the log of ``mastra_workflows`` to the run that it comes from.

    This is what naming it in ``PREFECT_LOGGING_EXTRA_LOGGERS`` would do, without having to.
    """
    handler = APILogHandler()
    handler.addFilter(_is_in_a_flow_run)
    logging.getLogger("mastra_workflows").addHandler(handler)


def _is_in_a_flow_run(record: logging.LogRecord) -> bool:
    """Elsewhere Prefect's handler would complain about each line."""
    task = TaskRunContext.get()
    return FlowRunContext.get() is not None or (
        task is not None and task.task_run.flow_run_id is not None
    )
