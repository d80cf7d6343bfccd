"""The package as Prefect and its users find it."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL

import prefect_mastra
from prefect_mastra import MastraServer

ROOT = Path(__file__).resolve().parents[2]


def test_it_needs_no_airflow() -> None:
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
    assert flows.revised_text(mastra, "Ada", answers=approve) == "About Ada."
    said = flows.reviewed_plan(mastra, answers=review)
    assert sorted(said) == ["finance: no", "legal: yes"]
