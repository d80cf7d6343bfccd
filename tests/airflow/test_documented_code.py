"""Execute Airflow's code blocks of README and docs, and check its commands and options."""

from __future__ import annotations

import configparser
import json
import sys
import textwrap
import types
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import certifi
import pytest

from mastra_workflows import MastraClient
from testkit.sample_server import Generation, SampleServer
from tests.airflow import harness
from tests.airflow.harness import Connect, RunDag
from tests.support.documented_code import (
    Block,
    blocks,
    commands,
    distinct,
    place,
    program,
    python_blocks,
)

NOT_RUN = {
    'on_suspend="ask"': "a person responds; test_ask.py runs such tasks",
    "ask_in_turn(": "a person responds; test_gates.py runs gates",
    "mastra_inbox(": "its asset triggers it; test_example_dags.py and test_inbox.py run inboxes",
    "mastra_pending_requests(": "it has no tasks",
    "MastraHook(": "it has no tasks",
    "unescape_keys({": "it has no tasks",
}
"""Why a DAG is only read as Airflow reads it, by a text in its code."""

OWN_DAG = ("@dag", "mastra_inbox(", "with DAG(")
WRAPPED = "from airflow.sdk import DAG\n\nwith DAG('documented', schedule=None):\n"
IS_TEST = "def test_"
DAILY = """
from airflow.sdk import DAG, task
from airflow_provider_mastra.operators.workflow import MastraRunWorkflowOperator

with DAG("daily", schedule=None) as daily_report_dag:
    report = MastraRunWorkflowOperator(
        task_id="report", workflow_id="orderReport", input_data={"city": "Hamburg"}
    )

    @task
    def publish(result):
        return result

    publish(report.output)
"""
"""The module that docs/how-to/testing.md describes."""

PYTHON = python_blocks("airflow")
CONNECTIONS = [
    block
    for block in blocks("shell", "text")
    if "AIRFLOW_CONN_MASTRA_DEFAULT" in block.code or block.code.startswith("mastra://")
]


def of_this_suite(block: Block) -> list[list[str]]:
    return [command for command in commands(block) if command[0] == "airflow"]


@pytest.mark.parametrize(
    "block", distinct(one for one in PYTHON if IS_TEST not in one.code), ids=place
)
def test_python(
    block: Block,
    servers: Callable[[Generation], SampleServer],
    connect: Connect,
    run_dag: RunDag,
    tmp_path: Path,
) -> None:
    server = servers("1")
    connect(server.url)
    code = program(block)
    if not any(text in code for text in OWN_DAG):
        code = WRAPPED + textwrap.indent(code, "    ")
    (tmp_path / "documented.py").write_text(code, encoding="utf-8")
    bag = harness.read_dags(tmp_path)
    assert bag.import_errors == {}
    assert bag.dags
    if block.reason(NOT_RUN):
        return
    if "wait_for_existence" in block.code:
        start_by_another_application(server)
    for dag in bag.dags.values():
        for one in dag.tasks:
            one.retries = 0  # a failed test need not wait for them
        assert run_dag(dag).state == "success"


def start_by_another_application(server: SampleServer) -> None:
    """Start the run that docs/how-to/deferrable.md waits for."""
    with MastraClient(server.url) as client:
        run_id = f"report-{datetime.now(UTC).date().isoformat()}"
        run = client.get_workflow("orderReport").get_run(run_id)
        run.start_async(input_data={"city": "Hamburg"})


def test_no_reason_is_out_of_date() -> None:
    code = "\n".join(block.code for block in PYTHON)
    assert [text for text in NOT_RUN if text not in code] == []


@pytest.mark.parametrize("block", [one for one in PYTHON if IS_TEST in one.code], ids=place)
def test_python_test(block: Block, airflow_database: None, monkeypatch: pytest.MonkeyPatch) -> None:
    daily = types.ModuleType("daily")
    exec(DAILY, daily.__dict__)
    harness.store(daily.daily_report_dag)
    monkeypatch.setitem(sys.modules, "daily", daily)
    module: dict[str, Any] = {}
    exec(compile(program(block), block.place, "exec"), module)
    (test,) = [value for name, value in module.items() if name.startswith("test_")]
    test()


@pytest.mark.parametrize("block", [one for one in blocks("shell") if of_this_suite(one)], ids=place)
def test_commands_have_these_options(block: Block) -> None:
    from airflow.cli.cli_parser import get_parser

    for command in of_this_suite(block):
        options = get_parser().parse_args(command[1:])
        if extra := getattr(options, "conn_extra", None):
            assert isinstance(json.loads(extra), dict)


@pytest.mark.parametrize("block", CONNECTIONS, ids=place)
def test_connections(block: Block, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from airflow_provider_mastra.hooks.mastra import MastraHook

    value = block.code.strip()
    name, is_assignment, literal = value.removeprefix("export ").partition("=")
    if is_assignment and name == "AIRFLOW_CONN_MASTRA_DEFAULT":
        value = literal.strip("'")
    certificates = tmp_path / "ca.pem"
    certificates.write_bytes(Path(certifi.where()).read_bytes())
    for path in ("/etc/ssl/company-ca.pem", "/etc/ssl/certs/company.pem"):
        value = value.replace(path, str(certificates))
    monkeypatch.setenv("AIRFLOW_CONN_MASTRA_DEFAULT", value)
    with MastraHook() as hook, hook.get_conn() as client:
        assert "mastra.example.com" in client.base_url


@pytest.mark.parametrize("block", blocks("ini"), ids=place)
def test_options_of_airflow_exist(block: Block) -> None:
    from airflow.configuration import conf

    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(block.code)
    for section in parser.sections():
        if section == "Service":  # of systemd
            continue
        if version("apache-airflow").startswith("3.1.") and section in ("common.io", "mastra"):
            continue  # it reads the options of providers later
        for option in parser.options(section):
            assert option in conf.configuration_description[section]["options"]


@pytest.mark.parametrize("block", blocks("yaml"), ids=place)
def test_yaml(block: Block) -> None:
    yaml = pytest.importorskip("yaml")  # Airflow depends on it; it has no types
    assert isinstance(yaml.safe_load(block.code), dict)
