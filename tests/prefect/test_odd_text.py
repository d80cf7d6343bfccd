"""Test text that databases reject: half an emoji, a NUL, forged log lines."""

from __future__ import annotations

import json
from typing import Any

import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient

from mastra_workflows.errors import RunFailedError, RunSuspendedError
from prefect_mastra import MastraServer, run_workflow, start_workflow, wait_for_workflow_run
from testkit.sample_server import SampleServer

KINDS = ["half-emoji", "nul"]


@pytest.fixture
def odd(odd_server: SampleServer) -> MastraServer:
    return MastraServer(base_url=odd_server.url)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["return", "throw", "suspend"])
def test_subflow_ends_with_any_server_text(
    odd: MastraServer, api: SyncPrefectClient, logs_of: Any, packaged: Any, kind: str, how: str
) -> None:
    """Also where results are stored, and where they are logged."""
    stored = packaged(persist_result=True)
    ended: dict[str, Any] = {}

    @flow(log_prints=True)
    def around() -> None:
        state = stored(odd, "oddEnd", {"kind": kind, "how": how}, return_state=True)
        ended["subflow"] = state
        print(state.message, state.result(raise_on_failure=False))
        state.result()

    outer = around(return_state=True)
    state = ended["subflow"]
    of_server = api.read_flow_run(state.state_details.flow_run_id).state
    assert of_server is not None
    assert of_server.is_final()
    assert of_server.is_completed() == outer.is_completed() == (how == "return")
    if how == "return":
        outcome = state.result()
        json.dumps(outcome, ensure_ascii=False).encode()
        assert "\ufffd" in outcome["result"]["value"]
    else:
        error = RunFailedError if how == "throw" else RunSuspendedError
        with pytest.raises(error) as caught:
            state.result()
        str(caught.value).encode()
    log = logs_of(state)
    assert "Starting run" in log
    assert ("is suspended at 'end'" if how == "suspend" else "Steps: end") in log
    assert "Finished in state" in log
    assert "Finished in state" in logs_of(outer)


@pytest.mark.parametrize("kind", KINDS)
def test_tasks_end_with_any_server_text(odd: MastraServer, logs_of: Any, kind: str) -> None:
    @flow
    def tasks() -> Any:
        run = start_workflow(odd, "oddEnd", {"kind": kind, "how": "return"})
        return wait_for_workflow_run.with_options(persist_result=True)(odd, run)["result"]

    state: Any = tasks(return_state=True)
    assert "\ufffd" in state.result()["value"]
    assert "Steps: end" in logs_of(state)


def test_server_text_cannot_forge_log_lines(odd: MastraServer, logs_of: Any) -> None:
    state = run_workflow(odd, "oddEnd", {"kind": "forged", "how": "throw"}, return_state=True)
    assert state.is_failed()
    log = logs_of(state)
    assert "first line" in log
    assert "\n[2026-01-01]" not in log
    assert not {"\x1b", "\u202e"} & {*log, *str(state.message)}
