"""Test the import cost of the provider, counted in modules, independent of the machine's load."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version

from tests.airflow.harness import EXAMPLE_DAGS

PROVIDER = "airflow_provider_mastra"
MODULES = [f"{PROVIDER}.{name}.workflow" for name in ("operators", "sensors")]
AIRFLOW = (
    "import airflow.sdk.execution_time.task_runner; from airflow.sdk import BaseHook, dag, task"
)


def imported(then: str, *, first: str = "") -> set[str]:
    """The modules that a statement imports in a new process, beside those of an earlier one."""
    program = (
        f"import json, sys\n{first}\nbefore = set(sys.modules)\n{then}\n"
        "print('\\n' + json.dumps(sorted(set(sys.modules) - before)))"
    )
    process = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(json.loads(process.stdout.splitlines()[-1]))


def packages(modules: set[str]) -> set[str]:
    return {module.partition(".")[0] for module in modules}


def test_get_provider_info_imports_nothing_else() -> None:
    info = f"{PROVIDER}.get_provider_info"
    assert packages(imported(f"import {info}")) - sys.stdlib_module_names == {PROVIDER}


def test_the_provider_needs_no_prefect_and_leaves_async_http_alone() -> None:
    loaded = packages(imported(f"import {', '.join(MODULES)}"))
    assert PROVIDER in loaded
    assert not loaded & {"prefect", "prefect_mastra", "aiohttp", "wtforms"}


def test_dag_file_imports_task_dependencies_lazily() -> None:
    modules = [*MODULES, f"{PROVIDER}.operators.hitl", f"{PROVIDER}.hitl.gates"]
    # What Airflow imports when it parses any DAG file.
    first = "import airflow.sdk; from airflow.sdk import DAG, BaseSensorOperator, TaskGroup, task"
    new = imported(f"import {', '.join(modules)}", first=f"{first}; task.python")
    schemas = {"jsonschema", "referencing", "rpds", "re2"}
    http = {"requests", "urllib3", "charset_normalizer", "aiohttp"}
    assert not packages(new) & {*schemas, *http, "asgiref", "wtforms"}
    assert not {name for name in new if name.startswith(f"{PROVIDER}.triggers")}
    assert packages(new) - sys.stdlib_module_names == {PROVIDER, "mastra_workflows", "airflow"}
    assert len(new) < 90


def test_the_example_dags_add_little_to_airflow() -> None:
    files = [EXAMPLE_DAGS / f"{name}.py" for name in ("daily_report", "refund_approval", "batch")]
    run = "; ".join(f"runpy.run_path({str(file)!r})" for file in files)
    new = imported(run, first=f"{AIRFLOW}; import runpy")

    ours = {PROVIDER, "mastra_workflows"}
    # What of Airflow's own had not been imported yet, with what belongs to it.
    airflow = {"airflow", "asgiref", "croniter", "cron_descriptor", "dateutil", "natsort"}
    airflow |= {"pydantic", "six"}
    if version("apache-airflow-core").startswith("3.1."):  # it validates a DAG's params at once
        airflow |= {
            "attr",
            "attrs",
            "jsonschema",
            "jsonschema_specifications",
            "referencing",
            "rpds",
        }
    others = packages(new) - sys.stdlib_module_names - ours - airflow
    assert {name for name in others if not name.startswith("_")} == set()
    assert len({name for name in new if packages({name}) <= ours}) < 60
