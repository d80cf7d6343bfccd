"""Test the default names of flow and task runs, which contain the workflow id."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from prefect import State, flow
from prefect.client.orchestration import SyncPrefectClient

from prefect_mastra import (
    MastraServer,
    aexecute_workflow,
    arun_workflow,
    execute_workflow,
    run_workflow,
    start_workflow,
    wait_for_workflow_run,
)

OSLO = {"city": "Oslo"}
HOSTILE = "{server.token} {0.__class__} \ud800\x00\x1b[31m\n::error::" + "x" * 5000


def task_run_names(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the names in the log of task runs, each once, in order."""
    names = [getattr(record, "task_run_name", None) for record in caplog.records]
    return list(dict.fromkeys(name for name in names if name))


def test_task_runs_have_the_workflow_id_and_the_key(
    mastra_1: MastraServer, caplog: pytest.LogCaptureFixture
) -> None:
    @flow
    def reports() -> None:
        started = start_workflow.submit(mastra_1, "orderReport", OSLO)
        wait_for_workflow_run(mastra_1, started.result())
        wait_for_workflow_run(mastra_1, started.result()["run_id"], workflow_id="orderReport")
        execute_workflow(mastra_1, "orderReport", OSLO, key="Oslo")
        submitted: Any = aexecute_workflow.submit(mastra_1, "orderReport", OSLO)
        submitted.result()

    reports()
    shown = [re.sub(r"-\w{3}$", "-…", name) for name in task_run_names(caplog)]
    assert [name for name in shown if "orderReport" in name] == [
        "start orderReport-…",
        "wait for orderReport-…",
        "wait for orderReport-…",
        "orderReport-Oslo",
        "orderReport-…",
    ]


@pytest.mark.parametrize("kind", ["sync", "asyncio"])
def test_flow_runs_have_the_workflow_id_and_prefects_name(
    mastra_1: MastraServer, api: SyncPrefectClient, kind: str
) -> None:
    states: list[State[Any]] = []

    @flow
    def parent() -> None:
        states.append(run_workflow(mastra_1, "orderReport", OSLO, return_state=True))

    @flow
    async def aparent() -> None:
        made: Any = arun_workflow(mastra_1, "orderReport", OSLO, return_state=True)
        states.append(await made)

    run: Any = aparent if kind == "asyncio" else parent
    asyncio.run(run()) if kind == "asyncio" else run()
    flow_run_id = states[0].state_details.flow_run_id
    assert flow_run_id is not None
    assert re.fullmatch(r"orderReport-[a-z]+-[a-z]+", api.read_flow_run(flow_run_id).name)


@pytest.mark.parametrize("workflow_id", [HOSTILE, "{", "", "%s%n"])
def test_hostile_workflow_id_in_a_name_is_not_rendered(
    mastra_1: MastraServer,
    api: SyncPrefectClient,
    caplog: pytest.LogCaptureFixture,
    workflow_id: str,
) -> None:
    server = mastra_1.model_copy(update={"token": "t0ken-of-the-server"})
    with pytest.raises(Exception) as caught:  # noqa: PT011 - which error is not the point
        execute_workflow(mastra_1, workflow_id)
    assert not isinstance(caught.value, KeyError | IndexError | UnicodeError), caught.value
    encodable = workflow_id.replace("\ud800", "")  # Prefect itself sends parameters as UTF-8
    state = run_workflow(server, encodable, return_state=True)
    assert state.is_failed()
    assert state.state_details.flow_run_id is not None
    names = [api.read_flow_run(state.state_details.flow_run_id).name, *task_run_names(caplog)]
    for name in names:
        assert "t0ken" not in name
        assert len(name) <= 300
        assert name.isprintable()
        assert "::error::" not in name
