"""Log the progress of a run, step by step."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import datetime, timedelta

from mastra_workflows._models import MAX_NAME, Event, Step, WorkflowRun
from mastra_workflows._text import safe_text

VERBS = {
    "running": "started",
    "success": "succeeded",
    "failed": "failed",
    "suspended": "is suspended",
    "waiting": "waits",
    "canceled": "was cancelled",
    "skipped": "was skipped",
}


MAX_CHANGES = 100
"""The maximum number of changed steps to log for one record."""

MAX_STEPS = 50
"""The maximum number of steps in the summary of a run; the last ones are shown."""

SAME_MOMENT = timedelta(milliseconds=100)


class StepProgress:
    """Logs one line for each change of a step, when it happens.

    Pass its methods `on_record` and `on_event` to `Run.wait`. They log each change
    once, although a 1.x stream replays all past events. Inputs and outputs of steps are not logged.
    Nor are retries by a step's ``retries`` or the workflow's ``retryConfig``: the server sends no
    event for them, and the record does not count them (0.24 and 1.71). A step with retries shows
    one start and one, later, end.

    Args:
        say: called with each line, such as ``log.info``.
    """

    def __init__(self, say: Callable[[str], object]) -> None:
        self._say = say
        self._seen: dict[str, Step] = {}

    def on_record(self, run: WorkflowRun) -> None:
        """Log the changes that a record shows."""
        changed = [(step, before) for step in run.steps if (before := self._note(step)) is not step]
        for step, before in changed[:MAX_CHANGES]:
            self._tell(step, before)
        if (more := len(changed) - MAX_CHANGES) > 0:
            self._say(f"… and {more:,} more steps changed")

    def on_event(self, event: Event) -> None:
        """Log the change of a step that an event reports."""
        # Imported here, since DAG files import this module without needing the protocol.
        from mastra_workflows._api import step_of

        step = step_of(event)
        if step is None:
            return
        before = self._seen.get(_key(step))
        if before is not None:
            if _is_past(before, step):
                return
            if step.started_at is None:
                step = dataclasses.replace(step, started_at=before.started_at)
        if (before := self._note(step)) is not step:
            self._tell(step, before)

    def _note(self, step: Step) -> Step | None:
        """Remember a step.

        Returns:
            The previous state of the step; the step itself if it has not changed.
        """
        before = self._seen.get(_key(step))
        self._seen[_key(step)] = step
        return before if before is None or _moved(before, step) else step

    def _tell(self, step: Step, before: Step | None) -> None:
        if before is None and step.status != "running" and step.started_at is not None:
            self._say(f"Step {step.name!r} started at {step.started_at:%H:%M:%S}")
        self._say(f"Step {step.name!r} {describe(step)}")


def _key(step: Step) -> str:
    """Return the name of a step in records and events alike: an event's id is the whole path."""
    return ".".join(step.path)


def _is_past(before: Step, told: Step) -> bool:
    """Return whether an event reports an older state of a step than the last known one."""
    then, at = before.last_moment, told.last_moment
    if then is None or at is None:
        return False
    is_start = told.status == "running" != before.status and told.started_at == before.started_at
    return at < then or (at == then and is_start)


def _moved(before: Step, now: Step) -> bool:
    if before.status != now.status:
        return True
    then, at = _moment(before), _moment(now)
    return then is not None and at is not None and abs(at - then) > SAME_MOMENT


def _moment(step: Step) -> datetime | None:
    """Return when a step reached its status; event and record may differ by some milliseconds."""
    return step.suspended_at if step.status == "suspended" else step.ended_at


def describe(step: Step) -> str:
    """Describe a step's status in a few words: ``succeeded after 1.25 s``."""
    text = VERBS.get(step.status, f"is {safe_text(step.status, MAX_NAME)}")
    if step.seconds is not None:
        text += f" after {step.seconds:.3g} s"
    if step.error is not None:
        text += f": {step.error}"
    return text


def summary(run: WorkflowRun) -> str:
    """Summarise a run and its steps with their durations in one line."""
    shown = run.steps[-MAX_STEPS:]
    steps = ", ".join(f"{step.name} {_duration(step)}" for step in shown)
    before = len(run.steps) - len(shown)
    return f"{run}. Steps: {f'{before:,} more, ' if before else ''}{steps or 'none'}."


def _duration(step: Step) -> str:
    if step.seconds is not None:
        return f"{step.seconds:.3g} s"
    return safe_text(step.status, MAX_NAME)
