"""Forward the logs of ``mastra_workflows``, such as server outages, to flow and task runs."""

from __future__ import annotations

import logging

from prefect.context import FlowRunContext, TaskRunContext
from prefect.logging.handlers import APILogHandler

CLIENT_LOGGER = logging.getLogger("mastra_workflows")


def attach_handler() -> None:
    """Send log records of ``mastra_workflows`` to the flow or task run that emits them.

    This has the effect of ``PREFECT_LOGGING_EXTRA_LOGGERS=mastra_workflows`` without the setting.
    """
    handler = APILogHandler()
    # Outside a run, Prefect's handler warns about each record.
    handler.addFilter(lambda record: _is_in_a_flow_run())
    CLIENT_LOGGER.addHandler(handler)


def match_run_log_level() -> None:
    """Lower the level of ``mastra_workflows`` to that of flow runs, which is INFO by default.

    Prefect's default for libraries is WARNING. An explicitly set level is kept, and nothing changes
    outside a flow run.
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
