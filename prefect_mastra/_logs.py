"""What the shared part logs, such as an outage of the server, in the logs of flow and task runs."""

from __future__ import annotations

import logging

from prefect.context import FlowRunContext, TaskRunContext
from prefect.logging.handlers import APILogHandler

CLIENT_LOGGER = logging.getLogger("mastra_workflows")


def attach_handler() -> None:
    """Send the log of ``mastra_workflows`` to the run that it comes from.

    This is what naming it in ``PREFECT_LOGGING_EXTRA_LOGGERS`` would do, without having to.
    """
    handler = APILogHandler()
    # Elsewhere Prefect's handler would complain about each line.
    handler.addFilter(lambda record: _is_in_a_flow_run())
    CLIENT_LOGGER.addHandler(handler)


def match_run_log_level() -> None:
    """Let ``mastra_workflows`` log what a flow run logs, so INFO too unless Prefect is told else.

    Prefect lets libraries log warnings only. A level that somebody has set stays, and where no flow
    runs nothing more is logged than before.
    """
    level = logging.getLogger("prefect.flow_runs").getEffectiveLevel()
    if (
        _is_in_a_flow_run()
        and CLIENT_LOGGER.level == logging.NOTSET < level < CLIENT_LOGGER.getEffectiveLevel()
    ):
        CLIENT_LOGGER.setLevel(level)


def _is_in_a_flow_run() -> bool:
    task = TaskRunContext.get()
    return FlowRunContext.get() is not None or (
        task is not None and task.task_run.flow_run_id is not None
    )
