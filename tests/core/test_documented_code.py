"""Execute the client's code blocks of README and docs, and check those in other languages."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import subprocess
import tomllib
from collections.abc import Callable

import pytest

from testkit.sample_server import Generation, SampleServer
from tests.support.documented_code import (
    LOCAL_SERVER,
    ROOT,
    Block,
    blocks,
    commands,
    place,
    program,
    python_blocks,
)

NOT_EXECUTED = {
    "client_cert=": "the files of the certificate do not exist; test_auth.py covers it",
}
"""Why a block of the client is not executed, by a text in it. `make lint` type-checks it."""

LANGUAGES = {
    "python": "executed here and in the suites of Airflow and Prefect",
    "shell": "test_shell",
    "ini": "test_ini; the options of Airflow in its suite",
    "json": "test_json",
    "yaml": "in Airflow's suite, which has a parser",
    "nginx": "no complete file; tests/support/nginx.py runs nginx with this directive",
    "text": "a formula, and the connection URIs that Airflow's suite reads",
}
"""How the blocks of each language are checked."""

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z][\w-]*):", MAKEFILE, re.MULTILINE))
VARIABLES = set(re.findall(r"^([A-Z]+) \?=", MAKEFILE, re.MULTILINE))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_every_block_has_a_known_language() -> None:
    assert {block.language for block in blocks()} == set(LANGUAGES)


@pytest.mark.parametrize("block", blocks("python"), ids=place)
def test_python_defines_its_names(block: Block) -> None:
    compile(program(block), block.place, "exec")


EXECUTED = [block for block in python_blocks("core") if not block.reason(NOT_EXECUTED)]


@pytest.mark.parametrize("block", EXECUTED, ids=place)
def test_python(block: Block, servers: Callable[[Generation], SampleServer]) -> None:
    code = program(block).replace(LOCAL_SERVER, servers("1").url)
    exec(compile(code, block.place, "exec"), {"__name__": "documented"})


def test_no_reason_is_out_of_date() -> None:
    code = "\n".join(block.code for block in python_blocks("core"))
    assert [text for text in NOT_EXECUTED if text not in code] == []


@pytest.mark.parametrize("block", blocks("shell"), ids=place)
def test_shell(block: Block) -> None:
    subprocess.run(["bash", "-n"], input=block.code, text=True, check=True)
    for command in commands(block):
        check(command)


def check(command: list[str]) -> None:
    """Check that what a command names exists."""
    match command:
        case ["make", *arguments]:
            assignments = [one.partition("=") for one in arguments if "=" in one]
            assert {one for one in arguments if "=" not in one} <= TARGETS
            assert {name for name, _, _ in assignments} <= VARIABLES
            for _, _, value in assignments:
                check_pytest(shlex.split(value))
        case ["pip", "install", requirement]:
            name, _, extra = requirement.rstrip("]").partition("[")
            assert name == PROJECT["name"]
            assert not extra or extra in PROJECT["optional-dependencies"]
        case [python, "-m", "pytest", *arguments] if python.endswith("/bin/python"):
            assert (ROOT / "requirements" / f"{python.split('/')[1]}.txt").exists()
            check_pytest(arguments)
        case ["airflow" | "prefect" | "AIRFLOW_CONN_MASTRA_DEFAULT", *_]:
            pass  # in the orchestrator's suite
        case _:
            pytest.fail(f"unknown command: {command}")


def check_pytest(arguments: list[str]) -> None:
    """Check that the files exist, and the names of tests."""
    for option, value in zip([None, *arguments], arguments, strict=False):
        if option == "-k":
            assert any(f"def {value}(" in path.read_text() for path in ROOT.glob("tests/*/*.py"))
        elif value.endswith(".py"):
            assert (ROOT / value).exists()


@pytest.mark.parametrize("block", blocks("json"), ids=place)
def test_json(block: Block) -> None:
    assert isinstance(json.loads(block.code), dict)


@pytest.mark.parametrize("block", blocks("ini"), ids=place)
def test_ini(block: Block) -> None:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(block.code)
    assert parser.sections()
