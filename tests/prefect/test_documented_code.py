"""Execute Prefect's code blocks of README and docs, and check its commands."""

from __future__ import annotations

import inspect
import sys
import types
from importlib.util import find_spec
from typing import Any

import pytest
from prefect import Flow

from mastra_workflows import MastraClient
from prefect_mastra import MastraServer
from tests.support.documented_code import (
    LOCAL_SERVER,
    Block,
    blocks,
    commands,
    distinct,
    place,
    program,
    python_blocks,
)

NOT_EXECUTED = {
    'on_suspend="ask"': "a person responds; test_asking.py runs such flows",
    "ask_and_resume(": "a person responds; test_asking.py runs such flows",
    "run_deployment(": "needs a deployment; tests/system/test_prefect_asking.py runs the inbox",
    ".deploy(": "needs a work pool; tests/system/test_prefect_deployments.py deploys this flow",
    "ProcessPoolTaskRunner(": "test_task_runners.py runs such a flow",
    "company-ca.pem": "the file of the certificate does not exist; test_blocks.py covers it",
}
"""Why a block is not executed, by a text in it. `make lint` type-checks it."""

ARGUMENTS = {"city": "Hamburg", "cities": ["Hamburg", "Berlin"]}
"""The arguments of flows, besides the server."""

IS_TEST = "def test_"
PYTHON = python_blocks("prefect")
EXECUTED = distinct(
    one for one in PYTHON if IS_TEST not in one.code and not one.reason(NOT_EXECUTED)
)
REPORTS = """
from prefect import flow
from prefect_mastra import MastraServer, run_workflow

@flow
def daily_report(server: MastraServer, city: str = "Hamburg") -> str:
    outcome = run_workflow(server, "orderReport", {"city": city})
    return outcome["result"]["text"]
"""
"""The module that docs/how-to/testing.md describes."""


@pytest.mark.parametrize("block", EXECUTED, ids=place)
def test_python(
    block: Block, mastra_1: MastraServer, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MASTRA_URL", mastra_1.base_url)
    code = program(block).replace(LOCAL_SERVER, mastra_1.base_url)
    if ".save(" in code:  # under a name that is free
        code = code.replace('"production"', f'"{key.replace("_", "-")}"')
    elif '.load("production")' in code:
        mastra_1.save("production", overwrite=True)
    if "run_id: str" in code:  # started by another program
        with MastraClient(mastra_1.base_url) as client:
            run = client.get_workflow("orderReport").get_run(key)
            run.start_async(input_data={"city": "Hamburg"})
    module: dict[str, Any] = {"__name__": "documented"}
    exec(compile(code, block.place, "exec"), module)
    for flow in [one for one in module.values() if isinstance(one, Flow)]:
        if flow.fn.__module__ == "documented":
            names = inspect.signature(flow.fn).parameters
            arguments = {"server": mastra_1, "run_id": key, **ARGUMENTS}
            flow(**{name: arguments[name] for name in names})


def test_no_reason_is_out_of_date() -> None:
    code = "\n".join(block.code for block in PYTHON)
    assert [text for text in NOT_EXECUTED if text not in code] == []


@pytest.mark.parametrize("block", [one for one in PYTHON if IS_TEST in one.code], ids=place)
def test_python_test(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    reports = types.ModuleType("reports")
    monkeypatch.setitem(sys.modules, "reports", reports)
    exec(REPORTS, reports.__dict__)
    module: dict[str, Any] = {"__name__": "documented"}
    exec(compile(program(block), block.place, "exec"), module)
    (test,) = [value for name, value in module.items() if name.startswith("test_")]
    test(monkeypatch)


COMMANDS = [
    pytest.param(command, id=f"{block.place} {command[1]}")
    for block in blocks("shell")
    for command in commands(block)
    if command[0] == "prefect"
]


@pytest.mark.skipif(find_spec("cyclopts") is None, reason="an older Prefect has another parser")
@pytest.mark.parametrize("command", COMMANDS)
def test_commands_have_these_options(command: list[str]) -> None:
    from prefect.cli._app import _app

    words = [word for word in command[1:] if word != "--no-prompt"]  # of the program itself
    _app.parse_args(words, exit_on_error=False, print_error=False)
