"""Test the hook that cancels the runs of a killed process."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
from collections.abc import Callable
from typing import Any, Literal, cast
from uuid import UUID

import pytest
from prefect import State, flow
from prefect.artifacts import create_table_artifact
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import ArtifactUpdate
from prefect.futures import wait

from mastra_workflows import MastraClient
from prefect_mastra import (
    MastraServer,
    _started_runs,
    arun_workflow,
    astart_workflow,
    cancel_mastra_runs,
    run_workflow,
    start_workflow,
)
from tests.prefect.test_interruption import interrupt


@flow
def anything() -> None:
    pass


def hook(api: SyncPrefectClient, output: str) -> None:
    """Call the hook as Prefect's runner does, after the process is gone."""
    (flow_run_id,) = set(re.findall(r"/flow-run/([0-9a-f-]{36})", output))
    flow_run: Any = api.read_flow_run(UUID(flow_run_id))
    cancel_mastra_runs(anything, flow_run, flow_run.state)


@pytest.mark.parametrize(("then", "status"), [("cancel", "canceled"), ("leave", "running")])
def test_hook_cancels_the_run_of_a_killed_process(
    mastra: MastraServer,
    client: MastraClient,
    api: SyncPrefectClient,
    key: str,
    then: str,
    status: str,
) -> None:
    code, output = interrupt(mastra, "tasks", "slowExport", key, then, signal.SIGKILL)
    assert code == -signal.SIGKILL
    run = client.get_workflow("slowExport").get_run(key)
    assert run.read().is_active
    hook(api, output)
    assert run.read().status == status
    run.cancel()


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_user_hook_cancels_the_run_of_a_failed_flow(
    mastra: MastraServer, client: MastraClient, key: str, kind: str
) -> None:
    def wrapped(flow: Any, flow_run: Any, state: Any) -> None:
        cancel_mastra_runs(flow, flow_run, state)

    async def awrapped(flow: Any, flow_run: Any, state: Any) -> None:
        cancel_mastra_runs(flow, flow_run, state)

    @flow(on_failure=[wrapped])
    def failing() -> None:
        start_workflow(mastra, "slowExport", {"seconds": 60}, run_id=key)
        raise RuntimeError("This flow is to fail.")

    @flow(on_failure=[awrapped])
    async def afailing() -> None:
        await astart_workflow(mastra, "slowExport", {"seconds": 60}, run_id=key)
        raise RuntimeError("This flow is to fail.")

    if kind == "sync":
        assert failing(return_state=True).is_failed()
    else:
        state: Any = asyncio.run(cast(Any, afailing(return_state=True)))
        assert state.is_failed()
    assert client.get_workflow("slowExport").get_run(key).read().status == "canceled"


@pytest.mark.parametrize("packaged", [run_workflow, arun_workflow])
def test_the_packaged_flows_have_the_hook(packaged: Any) -> None:
    assert cancel_mastra_runs in packaged.on_cancellation_hooks
    assert cancel_mastra_runs in packaged.on_crashed_hooks


def test_record_names_the_block_and_no_secret(
    mastra_1: MastraServer, api: SyncPrefectClient, key: str
) -> None:
    mastra_1.token = "s3cret-of-the-tests"  # type: ignore[assignment]
    mastra_1.save(name := f"hooked-{key[-12:]}")
    server: Any = MastraServer.load(name)
    hooked = run_workflow.with_options(on_crashed=[cancel_mastra_runs])
    state = hooked(server, "orderReport", {"city": "Oslo"}, run_id=key, return_state=True)
    assert state.state_details.flow_run_id is not None
    flow_run: Any = api.read_flow_run(state.state_details.flow_run_id)
    (note,) = _started_runs.recorded_runs(flow_run.id)
    assert note["server"] == str(server._block_document_id)
    assert "s3cret" not in str(note)
    cancel_mastra_runs(anything, flow_run, flow_run.state)  # the run is over: left alone
    with server.get_client() as client:
        assert client.get_workflow("orderReport").get_run(key).read().is_success


def test_every_run_is_recorded_once_beside_user_artifacts(
    mastra_1: MastraServer, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs that are started at once, in more pages than one, and a call that is tried again."""
    monkeypatch.setattr(_started_runs, "PAGE_SIZE", 3)
    run_ids = [f"{key}-{number}" for number in range(10)]

    @flow(on_crashed=[cancel_mastra_runs])
    def many() -> None:
        create_table_artifact([{"mine": 1}], key="my-table")
        starts = [
            start_workflow.submit(mastra_1, "orderReport", {"city": "Oslo"}, run_id=run_id)
            for run_id in [*run_ids, run_ids[0]]
        ]
        wait(starts)

    state = many(return_state=True)
    assert state.is_completed()
    assert state.state_details.flow_run_id is not None
    notes = _started_runs.recorded_runs(state.state_details.flow_run_id)
    assert sorted(note["run_id"] for note in notes) == run_ids


@pytest.mark.parametrize(
    "edited",
    [
        "",
        '[["x"]]',
        '[{"workflow_id": "w", "run_id": "r", "base_url": "x", "cancel": "no", "server": null}]',
        '[{"workflow_id": "w", "run_id": "r", "base_url": "http://127.0.0.1:1", "cancel": true,'
        ' "server": "01a2284f-864c-74db-8056-6fad9983cc0a"}]',
    ],
)
def test_an_edited_record_does_not_keep_the_hook_from_other_runs(
    mastra_1: MastraServer, api: SyncPrefectClient, key: str, edited: str
) -> None:
    @flow(on_crashed=[cancel_mastra_runs])
    def starting() -> None:
        for number in (1, 2):
            start_workflow(mastra_1, "slowExport", {"seconds": 60}, run_id=f"{key}-{number}")

    state = starting(return_state=True)
    flow_run_id = state.state_details.flow_run_id
    assert flow_run_id is not None
    newest = next(
        artifact
        for artifact in _started_runs._read_artifacts(
            api, {"flow_run_id": {"any_": [str(flow_run_id)]}}, 0
        )
        if artifact.metadata_ == _started_runs.METADATA
    )
    api.update_artifact(newest.id, ArtifactUpdate(data=edited))
    flow_run: Any = api.read_flow_run(flow_run_id)
    cancel_mastra_runs(anything, flow_run, flow_run.state)
    with mastra_1.get_client() as client:
        runs = [client.get_workflow("slowExport").get_run(f"{key}-{n}") for n in (1, 2)]
        statuses = [run.read().status for run in runs]
        for run in runs:
            run.cancel(confirm_timeout=0)
    assert "canceled" in statuses


def test_run_starts_even_if_it_cannot_be_recorded(
    mastra_1: MastraServer,
    key: str,
    monkeypatch: pytest.MonkeyPatch,
    logs_of: Callable[[State[Any]], str],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = f"http://127.0.0.1:{closed.getsockname()[1]}/api"

    def get_nobody(sync_client: Literal[True]) -> SyncPrefectClient:
        return SyncPrefectClient(nobody)

    monkeypatch.setattr(_started_runs, "get_client", get_nobody)
    hooked = run_workflow.with_options(on_crashed=[cancel_mastra_runs])
    state = hooked(mastra_1, "orderReport", {"city": "Oslo"}, run_id=key, return_state=True)
    assert state.is_completed()
    assert f"Run '{key}' could not be recorded" in logs_of(state)
