"""Test `list_workflows`, `get_workflow` and `details`."""

from __future__ import annotations

import pytest

from mastra_workflows import MastraClient, ServerGeneration, WorkflowDetails
from mastra_workflows.errors import UnknownWorkflowError
from testkit.sample_server import SampleServer
from tests.core.samples import ODD_WORKFLOW
from tests.support.fault_proxy import FaultProxy


def test_all_workflows(client: MastraClient) -> None:
    workflows = {workflow.key: workflow for workflow in client.list_workflows()}
    assert len(workflows) == 24
    assert workflows["orderReport"].name == "order-report"
    assert workflows["orderReport"].description == "Reports a city's orders of a day"
    assert workflows[ODD_WORKFLOW].name == "echo"
    assert all(workflow.steps for workflow in workflows.values())


def test_handle_sends_no_request(proxied: MastraClient, proxy: FaultProxy) -> None:
    proxied.get_workflow("orderReport").get_run("run-1")
    assert proxy.count() == 0


def test_details(client: MastraClient) -> None:
    details = client.get_workflow("orderReport").details()
    assert isinstance(details, WorkflowDetails)
    assert details.input_schema is not None
    assert details.input_schema["properties"]["city"]["type"] == "string"
    assert details.output_schema is not None
    assert set(details.output_schema["properties"]) == {"city", "day", "orders", "total", "text"}
    assert [step.description for step in details.steps.values()] == [
        "Looks up the orders",
        "Counts and adds them up",
        "Writes the sentence to send",
    ]
    assert len(details.step_graph) == 3


def test_the_schemas_of_a_suspending_step(client: MastraClient) -> None:
    steps = client.get_workflow("refundApproval").details().steps
    approve = steps[("approve",)]
    assert approve.resume_schema is not None
    assert approve.resume_schema["required"] == ["approved"]
    assert approve.suspend_schema is not None
    assert set(approve.suspend_schema["properties"]) == {"order", "amount", "reason"}
    assert steps[("pay-back",)].resume_schema is None


def test_nested_steps_have_paths(client: MastraClient) -> None:
    steps = client.get_workflow("nestedApproval").details().steps
    assert set(steps) == {("inner",), ("inner", "approve"), ("publish",)}
    assert steps[("inner",)].is_workflow


def test_key_with_special_characters(client: MastraClient) -> None:
    workflow = client.get_workflow(ODD_WORKFLOW)
    assert workflow.details().name == "echo"
    run = workflow.create_run()
    assert run.start_async(input_data={"text": "hi"}).result == {"text": "hi"}


@pytest.mark.version_specific
def test_the_generation(client: MastraClient, server: SampleServer) -> None:
    assert (
        client.server_generation()
        is {"0": ServerGeneration.V0, "1": ServerGeneration.V1}[server.generation]
    )


@pytest.mark.version_specific
def test_generation_is_detected_once_without_side_effects(
    proxied: MastraClient, proxy: FaultProxy
) -> None:
    for _ in range(3):
        assert proxied.server_generation() in ServerGeneration
    assert [(seen.method, seen.path) for seen in proxy.seen] == [("GET", "/api/system/packages")]


@pytest.mark.version_specific
def test_workflow_id_instead_of_key_names_the_key(
    client: MastraClient, server: SampleServer
) -> None:
    workflow = client.get_workflow("order-report")
    if server.generation == "1":
        assert workflow.details().name == "order-report"
    else:
        with pytest.raises(UnknownWorkflowError, match="has the key 'orderReport'"):
            workflow.details()
