"""Which questions of a workflow's runs are new: the state of an inbox.

Nothing here reads a server or a clock. `InboxState` is plain JSON when stored. It holds the
questions that are open now or were until a while ago, so it stays as small as the inbox is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, Self, TypedDict

from mastra_workflows._arguments import require_count
from mastra_workflows._models import WorkflowRun, from_iso, to_iso
from mastra_workflows._policy import convert_durations
from mastra_workflows.errors import ConfigurationError
from mastra_workflows.hitl._questions import Question

FORGET_AFTER = timedelta(days=1)
"""For how long a question is remembered that is asked no more. It may come back: while one branch
of a run is being resumed, the run counts as running, with all that its other branches ask."""

SEEN_EVERY = FORGET_AFTER / 8
"""How exactly it is remembered when a question was seen last, so that a look at a quiet server
leaves the state as it was and nothing has to be stored."""

LOOKBACK_SECONDS = 7 * 24 * 3600.0

LATE = timedelta(minutes=1)
"""By how much the times of a server's rows may be out of order."""


@dataclass(frozen=True, slots=True)
class Noted:
    """When a question was given out, and when it was seen last."""

    asked: datetime
    seen: datetime


@dataclass(frozen=True, slots=True)
class InboxState:
    """What was seen of a workflow's runs.

    Attributes:
        noted: the questions that were given out, by `Question.key`.
        since: every run that is older than this was over (0.x, where all have to be read).
    """

    noted: Mapping[str, Noted] = field(default_factory=dict)
    since: datetime | None = None

    def is_due(self, key: str, now: datetime, repeat_after: timedelta | None = None) -> bool:
        """Whether a question that is asked now is to be given out.

        Args:
            key: the question's.
            now: the time.
            repeat_after: when to give it out again; None for never.
        """
        noted = self.noted.get(key)
        return noted is None or (repeat_after is not None and now - noted.asked >= repeat_after)

    def note(self, keys: Iterable[str], asked: datetime, now: datetime) -> InboxState:
        """The state with these questions given out."""
        return replace(self, noted={**self.noted, **{key: Noted(asked, now) for key in keys}})

    def keep(self, seen: Iterable[str], now: datetime) -> InboxState:
        """The state without what has not been asked for long, given what was asked just now."""
        seen = frozenset(seen)
        kept = {
            key: replace(noted, seen=now)
            if key in seen and now - noted.seen >= SEEN_EVERY
            else noted
            for key, noted in self.noted.items()
            if key in seen or now - noted.seen < FORGET_AFTER
        }
        return replace(self, noted=kept)

    def look_back(self, now: datetime, lookback: timedelta) -> datetime:
        """The time from which on runs have to be read where the server cannot choose them."""
        oldest = now - lookback
        return oldest if self.since is None else max(oldest, self.since - LATE)

    def advance(self, runs: Iterable[WorkflowRun]) -> InboxState:
        """The state, given every run since `look_back`: the oldest unfinished one comes next."""
        times = [(run.created_at, run.is_finished) for run in runs if run.created_at is not None]
        unfinished = [created for created, is_finished in times if not is_finished]
        if unfinished:
            return replace(self, since=min(unfinished))
        return replace(self, since=max((created for created, _ in times), default=self.since))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "since": to_iso(self.since),
            "noted": {
                key: [noted.asked.timestamp(), noted.seen.timestamp()]
                for key, noted in self.noted.items()
            },
        }

    @classmethod
    def from_dict(cls, data: object) -> Self:
        """The value that `to_dict` made the JSON of; an empty one of anything else."""
        if not isinstance(data, dict):
            return cls()
        try:
            noted = {
                str(key): Noted(
                    datetime.fromtimestamp(asked, UTC), datetime.fromtimestamp(seen, UTC)
                )
                for key, (asked, seen) in data["noted"].items()
            }
            return cls(noted, from_iso(data["since"]))
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
            return cls()


class QuestionReference(TypedDict):
    """Which question it is. What it asks, its reader asks the server.

    Attributes:
        key: a name for this question and no other; a later round's is another one.
        workflow_id: the workflow's registry key.
        run_id: the run.
        step: the step's path.
        for_each_index: which item of a ``foreach``; None outside of one.
        suspended_at: since when the step waits, as ISO 8601.
    """

    key: str
    workflow_id: str
    run_id: str
    step: list[str]
    for_each_index: int | None
    suspended_at: str | None


def question_reference(question: Question) -> QuestionReference:
    """Which question it is, as plain JSON."""
    suspension = question.suspension
    return QuestionReference(
        key=question.key,
        workflow_id=question.workflow_id,
        run_id=question.run_id,
        step=list(suspension.step),
        for_each_index=suspension.for_each_index,
        suspended_at=to_iso(suspension.suspended_at),
    )


class InboxPage(NamedTuple):
    """What a look at a workflow's runs has shown.

    Attributes:
        questions: those to be given out, the oldest first.
        state: for the next call.
        has_more: whether there were more than one look gives out; look again soon.
    """

    questions: tuple[Question, ...]
    state: InboxState
    has_more: bool


class NewQuestionsArguments(TypedDict, total=False):
    """The keyword arguments of `Workflow.new_questions`, with durations as seconds."""

    lookback: float
    repeat_after: float | None
    most: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxOptions:
    """How to look for questions; see `Workflow.new_questions`."""

    lookback: float = LOOKBACK_SECONDS
    repeat_after: float | None = None
    most: int | None = 100

    @classmethod
    def of(cls, **arguments: Any) -> Self:
        """Make the options of a caller's arguments, whose durations may be `timedelta`."""
        return cls(**arguments)

    def __post_init__(self) -> None:
        convert_durations(self, "lookback", optional=["repeat_after"])
        if self.most is not None:
            require_count("most", self.most)
        for name in ("lookback", "repeat_after"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ConfigurationError(f"{name} is {value}; it must be a finite number over 0.")
