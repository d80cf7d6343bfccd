"""A run's way through its steps, as lines for a log."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mastra_workflows.models import Step, StepPath, WorkflowRun

VERBS = {
    "running": "started",
    "success": "succeeded",
    "failed": "failed",
    "suspended": "is suspended",
    "waiting": "waits",
    "canceled": "was cancelled",
    "skipped": "was skipped",
}


class StepProgress:
    """Turns records of one run, read one after the other, into a line for each change of a step.

    Give `look` to `Run.wait` as ``on_look``. What a step was given and returned is not repeated.

    Args:
        say: where the lines go, such as ``log.info``.
    """

    def __init__(self, say: Callable[[str], object]) -> None:
        self._say = say
        self._seen: dict[StepPath, Step] = {}

    def look(self, run: WorkflowRun) -> None:
        """Say what has changed since the record before."""
        for line in self._changes(run):
            self._say(line)

    def _changes(self, run: WorkflowRun) -> Iterator[str]:
        for step in run.steps:
            before = self._seen.get(step.path)
            self._seen[step.path] = step
            if before is None and step.status != "running" and step.started_at is not None:
                yield f"Step {step.name!r} started at {step.started_at:%H:%M:%S}"
            if before is None or _moved(before, step):
                yield f"Step {step.name!r} {describe(step)}"


def _moved(before: Step, now: Step) -> bool:
    return (before.status, before.suspended_at, before.ended_at) != (
        now.status,
        now.suspended_at,
        now.ended_at,
    )


def describe(step: Step) -> str:
    """What a step did, in a few words: ``succeeded after 1.25 s``."""
    text = VERBS.get(step.status, f"is {step.status}")
    if step.seconds is not None:
        text += f" after {step.seconds:.3g} s"
    if step.error is not None:
        text += f": {step.error}"
    return text


def summary(run: WorkflowRun) -> str:
    """One line about a run and all of its steps with their times."""
    steps = ", ".join(
        f"{step.name} {f'{step.seconds:.3g} s' if step.seconds is not None else step.status}"
        for step in run.steps
    )
    return f"{run}. Steps: {steps or 'none'}."
