"""Test the parameters of the packaged flows, as shown in a deployment's form."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, get_args

import pytest
from prefect import Flow

from mastra_workflows.errors import ConfigurationError
from prefect_mastra import (
    MastraServer,
    MastraWorkflow,
    aexecute_workflow,
    arun_workflow,
    execute_workflow,
    run_workflow,
)
from prefect_mastra.hitl._pause import OnSuspension

FLOWS = [run_workflow, arun_workflow]


@pytest.mark.parametrize("flow", FLOWS)
def test_every_parameter_is_described(flow: Flow[..., Any]) -> None:
    properties = flow.parameters.properties
    assert len(properties) == 25
    assert [name for name, schema in properties.items() if not schema.get("description")] == []


@pytest.mark.parametrize("flow", FLOWS)
def test_choices_are_one_enum(flow: Flow[..., Any]) -> None:
    schema = flow.parameters.properties["on_suspend"]
    assert schema["enum"] == ["fail", "return", "wait", "ask"]
    assert "anyOf" not in schema


@pytest.mark.parametrize(
    ("given", "taken"),
    [(300, 300.0), (0.5, 0.5), ("PT5M", timedelta(minutes=5)), (timedelta(hours=1),) * 2],
)
def test_a_duration_is_seconds_or_a_timedelta(
    mastra_1: MastraServer, given: Any, taken: float | timedelta
) -> None:
    parameters = {
        "server": mastra_1,
        "workflow_id": "orderReport",
        "timeout": given,
        "poll_interval": given,
    }
    checked = run_workflow.validate_parameters(parameters)
    assert (checked["timeout"], checked["poll_interval"]) == (taken, taken)


def test_durations_of_tasks_and_blocks(mastra_1: MastraServer) -> None:
    minute = timedelta(minutes=1)
    outcome = execute_workflow(
        mastra_1, "orderReport", {"city": "Oslo"}, timeout=minute, stall_timeout=minute
    )
    assert outcome["status"] == "success"
    server = MastraServer(base_url=mastra_1.base_url, timeout=minute)
    workflow = MastraWorkflow(
        server=server, workflow_id="orderReport", timeout=minute, poll_interval=minute
    )
    assert (server.timeout, workflow.timeout, workflow.poll_interval) == (60.0, 60.0, 60.0)
    assert workflow.trigger({"city": "Oslo"}).wait_for_completion()["status"] == "success"
    assert MastraServer.model_json_schema()["properties"]["timeout"]["type"] == "number"


@pytest.mark.parametrize("called", [execute_workflow, run_workflow, aexecute_workflow])
async def test_wrong_choice_error_names_all_choices(mastra_1: MastraServer, called: Any) -> None:
    async def call() -> None:
        result = called.fn(mastra_1, "orderReport", on_suspend="bogus")
        if called is aexecute_workflow:
            await result

    with pytest.raises(ConfigurationError) as caught:
        await call()
    assert all(repr(choice) in str(caught.value) for choice in get_args(OnSuspension))
