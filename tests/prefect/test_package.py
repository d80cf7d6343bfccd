"""Test the package as Prefect and its users import it."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import cloudpickle  # type: ignore[import-untyped]
import pytest
from prefect import Flow, Task
from prefect.settings import PREFECT_API_URL

import prefect_mastra
from prefect_mastra import MastraServer

ROOT = Path(__file__).resolve().parents[2]
EXPORTED = [getattr(prefect_mastra, name) for name in prefect_mastra.__all__]
pytestmark = pytest.mark.smoke

RUNNABLE = [value for value in EXPORTED if isinstance(value, Flow | Task)]


def test_import_needs_no_airflow() -> None:
    code = (
        "import sys, prefect_mastra\n"
        "assert not {name for name in sys.modules if name.split('.')[0].startswith('airflow')}"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_prefect_finds_the_collection() -> None:
    (collection,) = entry_points(group="prefect.collections", name="prefect_mastra")
    assert collection.load() is prefect_mastra


def test_the_blocks_can_be_registered() -> None:
    api_url = PREFECT_API_URL.value()
    assert api_url
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "block", "register", "-m", "prefect_mastra"],
        env={**os.environ, "PREFECT_API_URL": api_url},
        capture_output=True,
        text=True,
        check=True,
    )
    for name in ("Mastra Server", "Mastra Workflow"):
        assert name in done.stdout


LOADS = """
import pickle, sys
from prefect import Flow

pickled, server = pickle.load(sys.stdin.buffer)
for loaded in pickle.loads(pickled):
    values = {"server": server, "workflow_id": "orderReport", "run": {}}
    called = Flow(loaded.fn)
    wanted = {name: values[name] for name in called.parameters.required}
    checked = called.validate_parameters(wanted)
    assert type(checked["server"]) is type(server), checked
"""


def test_a_pickled_flow_or_task_keeps_the_types_of_its_parameters(mastra_1: MastraServer) -> None:
    """`.serve()`, work pools and task runners in other processes pickle its function by value."""
    pickled = cloudpickle.dumps(RUNNABLE)
    done = subprocess.run(
        [sys.executable, "-c", LOADS],
        input=cloudpickle.dumps((pickled, mastra_1)),
        capture_output=True,
        cwd=ROOT,
        check=False,
    )
    assert len(RUNNABLE) == 14
    assert done.returncode == 0, done.stderr.decode()


def test_the_example_flow(mastra: MastraServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "example_dags" / "prefect_flows")
    refunds = importlib.import_module("refunds").refunds
    assert refunds(mastra) == {"A-1042": 4200, "A-1057": 950}


def test_the_example_flows_without_a_person(
    mastra: MastraServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(ROOT / "example_dags" / "prefect_flows")
    flows = importlib.import_module("approvals")
    approve = {"review": {"verdict": "approve"}}
    review = {"legal": {"approved": True}, "finance": {"approved": False}}
    assert flows.refund_approval(mastra, amount=400) == 400
    assert flows.revised_text(mastra, "Ada", responses=approve) == "About Ada."
    said = flows.reviewed_plan(mastra, responses=review)
    assert sorted(said) == ["finance: no", "legal: yes"]
