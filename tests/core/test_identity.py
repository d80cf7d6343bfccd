"""Test derived run ids: equal for the same work, different for different work."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from mastra_workflows import _api as api
from mastra_workflows._api import ServerGeneration
from mastra_workflows._identity import MAX_LENGTH, derive_run_id
from tests.core.strategies import JSON_VALUES

LABELS = st.lists(st.text(max_size=200), max_size=4)


@given(LABELS, JSON_VALUES)
def test_any_label_gives_a_bounded_id_that_needs_no_encoding(
    labels: list[str], identity: object
) -> None:
    run_id = derive_run_id(*labels, identity=identity)
    assert len(run_id) <= MAX_LENGTH
    assert re.fullmatch(r"[A-Za-z0-9_.-]+", run_id)
    path = api.run_execution_result("w", run_id, ServerGeneration.V1).path
    assert path.endswith(f"/{run_id}")


@given(LABELS, JSON_VALUES)
def test_the_same_work_has_the_same_id(labels: list[str], identity: object) -> None:
    assert derive_run_id(*labels, identity=identity) == derive_run_id(*labels, identity=identity)


@given(JSON_VALUES, JSON_VALUES)
def test_different_work_has_a_different_id(one: object, other: object) -> None:
    # As JSON, in which 1 and true are not the same.
    same = repr(one) == repr(other) or one == other
    assert same or derive_run_id("a", identity=one) != derive_run_id("a", identity=other)


def test_similar_work_has_different_ids() -> None:
    ids = {
        derive_run_id("dag", "task", identity=None),
        derive_run_id("dag.task", identity=None),
        derive_run_id("dag", "task", identity={}),
        derive_run_id("dag", "task", identity="{}"),
        derive_run_id("dag", "task", identity=1),
        derive_run_id("dag", "task", identity="1"),
        derive_run_id("dag", "task", identity=True),
        derive_run_id("däg", "task", identity=None),
        derive_run_id("dåg", "task", identity=None),
        derive_run_id("x" * 300, identity=None),
        derive_run_id("x" * 301, identity=None),
    }
    assert len(ids) == 11


def test_long_label_is_shortened_with_the_digest_kept() -> None:
    long = derive_run_id("x" * 300, "task", identity=7)
    assert len(long) == MAX_LENGTH
    assert long[-21:] != derive_run_id("x" * 300, "task", identity=8)[-21:]


def test_the_order_of_keys_makes_no_difference() -> None:
    one = derive_run_id("a", identity={"x": 1, "y": 2})
    assert one == derive_run_id("a", identity={"y": 2, "x": 1})


def test_id_contains_the_readable_label() -> None:
    assert derive_run_id("daily report", "plan", identity=7).startswith("daily-report.plan-")


def test_id_is_stable_across_releases() -> None:
    # A changed id would start the runs of tasks that are being retried during an upgrade again.
    assert derive_run_id("dag", "task", identity={"run": "manual", "map_index": 3}) == (
        "dag.task-d033a7a995886deb2035"
    )
