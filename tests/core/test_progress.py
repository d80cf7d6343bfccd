"""Test the log lines of a wait: the start and end of each step."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mastra_workflows._api import step_of
from mastra_workflows._models import Event, RunFailure, Step, WorkflowRun
from mastra_workflows._progress import StepProgress, describe, summary
from mastra_workflows._studio import run_url
from tests.core import recorded

START = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)
LATER = START + timedelta(seconds=1.25)


def lines_of(*looks: tuple[Step, ...]) -> list[str]:
    lines: list[str] = []
    progress = StepProgress(lines.append)
    for steps in looks:
        progress.on_record(WorkflowRun("w", "r", "running", steps=steps))
    return lines


def test_step_that_starts_and_ends() -> None:
    running = Step(("export",), "running", started_at=START)
    done = Step(("export",), "success", started_at=START, ended_at=LATER)
    assert lines_of((), (running,), (running,), (done,), (done,)) == [
        "Step 'export' started",
        "Step 'export' succeeded after 1.25 s",
    ]


def test_step_that_ended_before_the_first_poll() -> None:
    failed = Step(
        ("inner", "store"),
        "failed",
        started_at=START,
        ended_at=LATER,
        error=RunFailure("disk full"),
    )
    assert lines_of((failed,), (failed,)) == [
        "Step 'inner.store' started at 12:00:00",
        "Step 'inner.store' failed after 1.25 s: Error: disk full",
    ]


def event(kind: str, **step: Any) -> Event:
    return Event(kind, "r", {}, {"id": "export", "stepCallId": "c", **step})


def test_events_and_records_log_each_change_once() -> None:
    lines: list[str] = []
    progress = StepProgress(lines.append)
    at, ended = START.timestamp() * 1000, LATER.timestamp() * 1000
    progress.on_event(Event("workflow-start", "r"))
    progress.on_event(event("workflow-step-start", startedAt=at))
    progress.on_event(event("workflow-step-suspended", suspendedAt=at))
    held = Step(("export",), "suspended", started_at=START, suspended_at=START)
    progress.on_record(WorkflowRun("w", "r", "suspended", steps=(held,)))
    progress.on_event(event("workflow-step-start", startedAt=at, resumedAt=at + 500))
    progress.on_event(event("workflow-step-result", status="success", endedAt=ended))
    done = dataclasses.replace(held, status="success", ended_at=LATER + timedelta(milliseconds=2))
    progress.on_record(WorkflowRun("w", "r", "success", steps=(done,)))
    assert lines == [
        "Step 'export' started",
        "Step 'export' is suspended",
        "Step 'export' started",
        "Step 'export' succeeded after 1.25 s",
    ]


AT, SUSPENDED, RESUMED, ENDED = (START.timestamp() * 1000 + ms for ms in (0, 10, 500, 1250))
PAST = [
    event("workflow-step-start", startedAt=AT),
    event("workflow-step-suspended", startedAt=AT, suspendedAt=SUSPENDED),
    event("workflow-step-start", startedAt=AT, resumedAt=RESUMED),
    event("workflow-step-result", status="success", startedAt=AT, resumedAt=RESUMED, endedAt=ENDED),
]


@pytest.mark.parametrize("told", range(1, len(PAST) + 1))
def test_replayed_events_are_not_logged_again(told: int) -> None:
    lines: list[str] = []
    progress = StepProgress(lines.append)
    shown = step_of(PAST[told - 1])
    assert shown is not None
    progress.on_record(WorkflowRun("w", "r", "running", steps=(shown,)))
    said = list(lines)
    for happened in PAST[:told]:
        progress.on_event(happened)
    assert lines == said

    for happens in PAST[told:]:
        progress.on_event(happens)
    assert len(lines) == len(said) + len(PAST) - told


def test_instant_step_is_logged_once() -> None:
    lines: list[str] = []
    progress = StepProgress(lines.append)
    done = Step(("export",), "success", started_at=START, ended_at=START)
    progress.on_record(WorkflowRun("w", "r", "running", steps=(done,)))
    progress.on_event(event("workflow-step-start", startedAt=AT))
    progress.on_event(event("workflow-step-result", status="success", startedAt=AT, endedAt=AT))
    assert len(lines) == 2


def test_older_loop_iterations_are_not_logged() -> None:
    lines: list[str] = []
    progress = StepProgress(lines.append)
    second = Step(("export",), "running", started_at=LATER)
    progress.on_record(WorkflowRun("w", "r", "running", steps=(second,)))
    progress.on_event(event("workflow-step-start", startedAt=AT))
    progress.on_event(
        event("workflow-step-result", status="success", startedAt=AT, endedAt=RESUMED)
    )
    progress.on_event(event("workflow-step-start", startedAt=ENDED))
    assert lines == ["Step 'export' started"]

    progress.on_event(event("workflow-step-result", status="success", endedAt=ENDED))
    progress.on_event(event("workflow-step-start", startedAt=ENDED + 1))
    assert lines[1:] == ["Step 'export' succeeded after 0 s", "Step 'export' started"]


def test_a_step_that_is_suspended_twice() -> None:
    first = Step(("ask",), "suspended", started_at=START, suspended_at=START)
    again = dataclasses.replace(first, suspended_at=LATER)
    assert lines_of((first,), (first,), (again,))[1:] == ["Step 'ask' is suspended"] * 2


def test_a_step_that_runs_again_in_a_loop() -> None:
    once = Step(("think",), "success", started_at=START, ended_at=START)
    again = Step(("think",), "success", started_at=START, ended_at=LATER)
    assert len(lines_of((once,), (again,))) == 3


def test_statuses_are_described() -> None:
    for status, words in {
        "running": "started",
        "waiting": "waits",
        "canceled": "was cancelled",
        "levitating": "is levitating",
    }.items():
        assert describe(Step(("a",), status)) == words


def test_inputs_and_outputs_are_not_logged() -> None:
    step = Step(("a",), "success", payload="s3cret", output="s3cret", suspend_payload="s3cret",
                started_at=START)  # fmt: skip
    run = WorkflowRun("w", "r", "success", steps=(step,), payload="s3cret", result="s3cret")
    assert "s3cret" not in " ".join([*lines_of((step,)), summary(run)])


def test_summary_of_recorded_runs() -> None:
    for generation in recorded.GENERATIONS:
        text = summary(recorded.run(generation, "failed", "failingImport", "run-1"))
        assert text.startswith("Run 'run-1' of workflow 'failingImport' failed in step")
        assert "disk full on import-7. Steps: read-file 0" in text
        text = summary(recorded.run(generation, "suspended"))
        assert text.endswith(" is suspended at 'approve'. Steps: approve suspended.")
        assert summary(recorded.run(generation, "pending")).endswith("is pending. Steps: none.")


def test_studio_url_of_a_run() -> None:
    assert run_url(None, "w", "r") is None
    assert run_url("", "w", "r") is None
    assert run_url("http://studio:4111/", "a/b c", "50%é") == (
        "http://studio:4111/workflows/a%2Fb%20c/graph/50%25%C3%A9"
    )
