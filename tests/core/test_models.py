"""Test that models survive a round trip through JSON, as in an XCom."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastra_workflows._models import (
    RunFailure,
    RunStatus,
    Step,
    Suspension,
    WorkflowRun,
    from_iso,
    from_millis,
    to_iso,
)
from mastra_workflows.errors import RunCanceledError, RunFailedError
from tests.core import recorded
from tests.core.strategies import JSON_OBJECTS, JSON_VALUES, TEXT

MAYBE_TEXT = st.none() | TEXT
TIMES = st.none() | st.datetimes(timezones=st.just(UTC))
PATHS = st.lists(TEXT, min_size=1, max_size=3).map(tuple)
FAILURES = st.none() | st.builds(
    RunFailure, message=TEXT, name=TEXT.filter(bool), code=MAYBE_TEXT, stack=MAYBE_TEXT
)
STEPS = st.builds(
    Step, path=PATHS, status=TEXT, payload=JSON_VALUES, output=JSON_VALUES, error=FAILURES,
    suspend_payload=JSON_VALUES, resume_payload=JSON_VALUES, started_at=TIMES, ended_at=TIMES,
    suspended_at=TIMES, resumed_at=TIMES,
)  # fmt: skip
SUSPENSIONS = st.builds(
    Suspension, step=PATHS, payload=JSON_VALUES, resume_schema=st.none() | JSON_OBJECTS,
    for_each_index=st.none() | st.integers(0), suspended_at=TIMES,
)  # fmt: skip
RUNS = st.builds(
    WorkflowRun, workflow_id=TEXT, run_id=TEXT, status=st.sampled_from(RunStatus).map(str) | TEXT,
    result=JSON_VALUES, error=FAILURES, payload=JSON_VALUES,
    steps=st.lists(STEPS, max_size=3).map(tuple),
    suspensions=st.lists(SUSPENSIONS, max_size=3).map(tuple), resource_id=MAYBE_TEXT,
    created_at=TIMES, updated_at=TIMES,
)  # fmt: skip


def through_json(data: Any) -> Any:
    return json.loads(json.dumps(data, allow_nan=False))


@given(RUNS)
def test_run_round_trip(run: WorkflowRun) -> None:
    assert WorkflowRun.from_dict(through_json(run.to_dict())) == run


@given(STEPS)
def test_step_round_trip(step: Step) -> None:
    assert Step.from_dict(through_json(step.to_dict())) == step


@given(SUSPENSIONS)
def test_suspension_round_trip(suspension: Suspension) -> None:
    assert Suspension.from_dict(through_json(suspension.to_dict())) == suspension


@pytest.mark.parametrize("generation", recorded.GENERATIONS)
@pytest.mark.parametrize("name", ["success", "failed", "suspended-nested", "suspended-items"])
def test_recorded_run_round_trip(generation: recorded.Recorded, name: str) -> None:
    run = recorded.run(generation, name)
    assert WorkflowRun.from_dict(through_json(run.to_dict())) == run


@given(RUNS)
def test_run_has_exactly_one_state(run: WorkflowRun) -> None:
    states = [run.is_finished, run.is_suspended, run.is_pending, run.is_active]
    assert states.count(True) == 1
    assert not run.is_success or run.is_finished


@given(RUNS, MAYBE_TEXT)
def test_outcome_is_json_with_fixed_keys(run: WorkflowRun, url: str | None) -> None:
    outcome = through_json(run.outcome(url))
    assert list(outcome) == [
        "run_id", "workflow_id", "status", "result", "error", "suspensions", "url",
    ]  # fmt: skip
    assert outcome["result"] == run.result


def run_with(status: str, **more: Any) -> WorkflowRun:
    return WorkflowRun("report", "run-1", status, **more)


@pytest.mark.parametrize("status", ["failed", "tripwire", "skipped"])
def test_a_run_without_success_raises(status: str) -> None:
    with pytest.raises(RunFailedError, match="Run 'run-1' of workflow 'report'") as caught:
        run_with(status).raise_for_status()
    assert caught.value.run.status == status


def test_a_cancelled_run_raises() -> None:
    with pytest.raises(RunCanceledError) as caught:
        run_with("canceled").raise_for_status()
    assert caught.value.run.status == "canceled"


@pytest.mark.parametrize("status", ["success", "bailed", "running", "suspended", "hovering"])
def test_any_other_run_does_not_raise(status: str) -> None:
    run = run_with(status)
    assert run.raise_for_status() is run


def test_str_of_a_run_names_step_and_error() -> None:
    failed = Step(("store", "rows"), "failed")
    error = RunFailure("disk full", "OSError")
    assert str(run_with("failed", steps=(failed,), error=error)) == (
        "Run 'run-1' of workflow 'report' failed in step 'store.rows': OSError: disk full"
    )
    waits = (Suspension(("inner", "approve")), Suspension(("review",), for_each_index=2))
    assert str(run_with("suspended", suspensions=waits)) == (
        "Run 'run-1' of workflow 'report' is suspended at 'inner.approve', 'review[2]'"
    )


@given(st.datetimes(timezones=st.just(timezone(timedelta(hours=2)))))
def test_time_round_trip(moment: datetime) -> None:
    assert from_iso(to_iso(moment)) == moment


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
        (1795359401368, datetime(2026, 11, 22, 14, 56, 41, 368000, tzinfo=UTC)),
        ("2026-11-22T14:56:46.420Z", datetime(2026, 11, 22, 14, 56, 46, 420000, tzinfo=UTC)),
        ("2026-11-22T14:56:46", datetime(2026, 11, 22, 14, 56, 46, tzinfo=UTC)),
        (True, None),
        ("yesterday", None),
        (1e300, None),
        (float("nan"), None),
        (None, None),
        ({}, None),
    ],
)
def test_javascript_times(value: object, moment: datetime | None) -> None:
    assert from_millis(value) == moment


@given(JSON_VALUES)
def test_any_value_for_a_time(value: Any) -> None:
    moment = from_millis(value)
    assert moment is None or moment.tzinfo is not None
