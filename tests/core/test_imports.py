"""Test that the client package imports no orchestrator."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import requires, version
from pathlib import Path

import pytest

import mastra_workflows

pytestmark = pytest.mark.smoke

CODE = """
import sys
import mastra_workflows
assert "airflow" not in sys.modules and "prefect" not in sys.modules
assert not [name for name in sys.modules if name.startswith(("airflow.", "prefect."))]
print(len(sys.modules))
"""


def test_a_fresh_interpreter_imports_no_orchestrator() -> None:
    command = [sys.executable, "-W", "error", "-c", CODE]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


LIGHT = """
import sys
import mastra_workflows
import mastra_workflows.errors
import mastra_workflows.hitl
import mastra_workflows.integration
heavy = {"requests", "urllib3", "aiohttp", "jsonschema", "referencing", "idna", "re2"}
print(sorted(heavy & sys.modules.keys()))
"""


def test_dag_file_imports_load_no_http_client_and_no_json_schema() -> None:
    command = [sys.executable, "-W", "error", "-c", LIGHT]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_module_names_an_orchestrator() -> None:
    folder = Path(mastra_workflows.__file__).parent
    for path in folder.rglob("*.py"):
        lines = path.read_text(encoding="utf-8").splitlines()
        imports = [line for line in lines if line.lstrip().startswith(("import ", "from "))]
        assert not [line for line in imports if "airflow" in line or "prefect" in line], path


def test_exported_names_exist() -> None:
    for name in mastra_workflows.__all__:
        assert getattr(mastra_workflows, name) is not None


def test_the_orchestrators_are_extras() -> None:
    for requirement in requires("mastra-workflows") or ():
        name = requirement.split(";")[0].lower()
        if "airflow" in name or "prefect" in name:
            assert "extra ==" in requirement


def test_the_version_is_that_of_the_distribution() -> None:
    assert mastra_workflows.__version__ == version("mastra-workflows")
