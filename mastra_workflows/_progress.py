"""A run's way through its steps, as lines for a log."""

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
"""How many steps that changed since the record before are told."""

MAX_STEPS = 50
"""How many steps the summary of a run shows; the last ones."""

SAME_MOMENT = timedelta(milliseconds=100)


class StepProgress:
    """Turns what is learnt of one run into a line for each change of a step, when it happens.

    Give `look` and `hear` to `Run.wait` as ``on_record`` and ``on_event``. A line that the one has
    given the other does not repeat, though a stream of 1.x begins with all that has happened. What
    a step was given and returned is not told. Nor is a retry that the server makes by itself, by a
    step's ``retries`` or the workflow's ``retryConfig``: it sends no event for it, and the record
    counts none, on 0.24 and 1.71. A step with retries shows one start, and one end that comes the
    later.

    Args:
        say: where the lines go, such as ``log.info``.
    """

    def __init__(self, say: Callable[[str], object]) -> None:
        self._say = say
        self._seen: dict[str, Step] = {}

    def look(self, run: WorkflowRun) -> None:
        """Say what a record shows that is new."""
        changed = [(step, before) for step in run.steps if (before := self._note(step)) is not step]
        for step, before in changed[:MAX_CHANGES]:
            self._tell(step, before)
        if (more := len(changed) - MAX_CHANGES) > 0:
            self._say(f"… and {more:,} more steps changed")

    def hear(self, event: Event) -> None:
        """Say what an event tells of a step."""
        # Here: DAG files import this module, and need nothing of the protocol.
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
            What was known of it; the step itself if it is where it was.
        """
        before = self._seen.get(_key(step))
        self._seen[_key(step)] = step
        return before if before is None or _moved(before, step) else step

    def _tell(self, step: Step, before: Step | None) -> None:
        if before is None and step.status != "running" and step.started_at is not None:
            self._say(f"Step {step.name!r} started at {step.started_at:%H:%M:%S}")
        self._say(f"Step {step.name!r} {describe(step)}")


def _key(step: Step) -> str:
    """What a step is called in records and events alike: an event's id is the whole path."""
    return ".".join(step.path)


def _is_past(before: Step, told: Step) -> bool:
    """Whether a step had gone on from what an event tells of it when it was seen last."""
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
    """When a step came into its status; event and record may tell it some milliseconds apart."""
    return step.suspended_at if step.status == "suspended" else step.ended_at


def describe(step: Step) -> str:
    """What a step did, in a few words: ``succeeded after 1.25 s``."""
    text = VERBS.get(step.status, f"is {safe_text(step.status, MAX_NAME)}")
    if step.seconds is not None:
        text += f" after {step.seconds:.3g} s"
    if step.error is not None:
        text += f": {step.error}"
    return text


def summary(run: WorkflowRun) -> str:
    """One line about a run and all of its steps with their times."""
    shown = run.steps[-MAX_STEPS:]
    steps = ", ".join(f"{step.name} {_duration(step)}" for step in shown)
    before = len(run.steps) - len(shown)
    return f"{run}. Steps: {f'{before:,} more, ' if before else ''}{steps or 'none'}."


def _duration(step: Step) -> str:
    if step.seconds is not None:
        return f"{step.seconds:.3g} s"
    return safe_text(step.status, MAX_NAME)
