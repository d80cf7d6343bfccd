"""Test how Airflow reads and displays the provider's metadata."""

from __future__ import annotations

import importlib
import inspect
import json
import logging
import subprocess
import sys
import warnings
from importlib.metadata import entry_points
from typing import Any

import pytest
from airflow.providers_manager import ProvidersManager
from airflow.sdk import DAG, BaseOperator, BaseSensorOperator
from airflow.triggers.base import BaseTrigger

from airflow_provider_mastra.get_provider_info import get_provider_info
from airflow_provider_mastra.hooks._connection import EXTRAS
from airflow_provider_mastra.hooks.mastra import MastraHook
from airflow_provider_mastra.links.mastra import MastraRunLink
from airflow_provider_mastra.operators.hitl import MastraHITLOperator
from airflow_provider_mastra.operators.workflow import (
    MastraResumeWorkflowOperator,
    MastraRunWorkflowOperator,
)
from testkit.sample_server import SampleServer
from tests.airflow.harness import STUDIO, RunDag

DISTRIBUTION = "mastra-workflows"


@pytest.fixture
def manager(caplog: pytest.LogCaptureFixture) -> Any:
    """Airflow's providers manager, which has read everything and complained of nothing."""
    manager = ProvidersManager()  # type: ignore[no-untyped-call]
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
        warnings.filterwarnings("ignore", message="ProvidersManager.hooks is deprecated")
        hooks = manager.hooks
        assert hooks["mastra"]
        assert manager.extra_links_class_names
        manager.initialize_providers_configuration()
    complaints = [record for record in caplog.records if "astra" in record.getMessage()]
    assert complaints == []
    return manager


def test_entry_point_returns_the_provider_info() -> None:
    (entry_point,) = (
        entry_point
        for entry_point in entry_points(group="apache_airflow_provider")
        if entry_point.dist is not None and entry_point.dist.name == DISTRIBUTION
    )
    assert entry_point.load() is get_provider_info


@pytest.mark.smoke
def test_airflow_loads_the_provider_without_warnings(manager: Any) -> None:
    provider = manager.providers[DISTRIBUTION]
    assert provider.data["name"] == "Mastra"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="ProvidersManager.hooks is deprecated")
        hook = manager.hooks["mastra"]
    assert hook.hook_class_name == f"{MastraHook.__module__}.{MastraHook.__name__}"
    assert hook.connection_id_attribute_name == "mastra_conn_id"
    assert hook.hook_name == "Mastra"
    assert hook.connection_testable
    link = f"{MastraRunLink.__module__}.{MastraRunLink.__name__}"
    assert link in manager.extra_links_class_names


FORM = """
from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService

for form in HookMetaService.hook_meta_data():
    if form.connection_type == "mastra":
        print(form.model_dump_json())
"""


def test_the_connection_form_has_a_field_for_each_extra() -> None:
    # In a separate process, as in the API server: Airflow 3.1 fails to, once the
    # providers were read in another way.
    process = subprocess.run([sys.executable, "-c", FORM], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    form = json.loads(process.stdout.splitlines()[-1])
    fields = form["extra_fields"]
    assert set(fields) == set(EXTRAS)
    secret = [name for name, field in fields.items() if field["schema"].get("format")]
    assert secret == ["secret_headers"]
    assert form["standard_fields"]["password"]["title"] == "Token, or the user's password"
    assert not form["standard_fields"]["login"]["hidden"]


def test_the_configuration_option_has_a_default(manager: Any) -> None:
    from airflow.configuration import conf

    assert conf.get("mastra", "deployment") == ""


def test_listed_modules_exist() -> None:
    info = get_provider_info()
    kinds: dict[str, type] = {
        "hooks": MastraHook,
        "operators": BaseOperator,
        "sensors": BaseSensorOperator,
        "triggers": BaseTrigger,
    }
    for kind, base in kinds.items():
        for entry in info[kind]:
            for name in entry["python-modules"]:
                module = importlib.import_module(name)
                own = [
                    value
                    for _, value in inspect.getmembers(module, inspect.isclass)
                    if value.__module__ == name and issubclass(value, base)
                ]
                assert own, f"{name} has none of the {kind}"


def test_extra_link_is_read_from_the_database(
    connected: SampleServer, run_dag: RunDag, key: str
) -> None:
    from airflow.models.serialized_dag import SerializedDagModel

    with DAG("linked", schedule=None) as dag:
        MastraRunWorkflowOperator(
            task_id="report",
            workflow_id="orderReport",
            input_data={"city": "Oslo"},
            run_id=key,
        )
    result = run_dag(dag)

    stored: Any = SerializedDagModel.get("linked")
    link = stored.dag.get_task("report").get_extra_links(result.task("report"), "Mastra Studio")
    assert link == f"{STUDIO}/workflows/orderReport/graph/{key}"


def test_without_a_studio_the_link_is_empty(
    server: SampleServer, connect: Any, run_dag: RunDag
) -> None:
    connect(server.url)
    with DAG("unlinked", schedule=None) as dag:
        MastraRunWorkflowOperator(
            task_id="report", workflow_id="orderReport", input_data={"city": "Oslo"}
        )
    result = run_dag(dag)

    assert result.xcom("report", key=MastraRunLink.xcom_key) == ""
    assert "XCom not found" not in result.log


@pytest.mark.parametrize(
    "operator",
    [MastraRunWorkflowOperator, MastraResumeWorkflowOperator, MastraHITLOperator],
)
def test_structured_fields_are_shown_as_json(operator: Any) -> None:
    structured = {
        "input_data",
        "initial_state",
        "request_context",
        "tracing_options",
        "resume_data",
        "responses",
        "default_response",
    } & set(operator.template_fields)
    assert operator.template_fields_renderers == dict.fromkeys(structured, "json")
