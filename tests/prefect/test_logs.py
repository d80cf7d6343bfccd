"""Test that the client's log records appear in the flow run's log and nowhere else."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from prefect import flow

from prefect_mastra import MastraServer, arun_workflow, run_workflow

STARTING = "Starting run"
WAITING = ": receiving events."
WORK = ("slowExport", {"seconds": 1})


@pytest.fixture(autouse=True)
def shared() -> Iterator[logging.Logger]:
    """The logger of the shared part, as nobody has set it yet."""
    logger = logging.getLogger("mastra_workflows")
    level = logger.level
    logger.setLevel(logging.NOTSET)
    yield logger
    logger.setLevel(level)


def test_flow_run_log_contains_client_messages(mastra: MastraServer, logs_of: Any) -> None:
    log = logs_of(run_workflow(mastra, *WORK, return_state=True))
    assert log.count(STARTING) == 1
    assert log.count(WAITING) == 1


async def test_async_flow_run_log_contains_client_messages(
    mastra: MastraServer, logs_of: Any
) -> None:
    state = await arun_workflow(mastra, *WORK, return_state=True)
    log = await asyncio.to_thread(logs_of, state)
    assert log.count(STARTING) == 1
    assert log.count(WAITING) == 1


def test_client_in_a_user_flow_logs_to_the_flow_run(
    mastra_1: MastraServer, logs_of: Any, key: str
) -> None:
    @flow
    def export() -> None:
        with mastra_1.get_client() as client:
            run = client.get_workflow(WORK[0]).get_run(key)
            run.start(input_data=WORK[1])
            run.wait()

    assert WAITING in logs_of(export(return_state=True))


def test_explicit_log_level_is_kept(
    mastra_1: MastraServer, logs_of: Any, shared: logging.Logger
) -> None:
    shared.setLevel(logging.WARNING)
    assert WAITING not in logs_of(run_workflow(mastra_1, *WORK, return_state=True))
    assert shared.level == logging.WARNING


def test_log_level_is_unchanged_outside_flows(
    mastra_1: MastraServer, shared: logging.Logger
) -> None:
    with mastra_1.get_client():
        assert not shared.isEnabledFor(logging.INFO)
