"""The state of an inbox: which pending requests of a workflow's runs are new.

Nothing here sends requests or reads a clock. `InboxState` serialises to plain JSON. It holds the
requests that are pending or were until recently, so its size is bounded by that of the inbox.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, Self, TypedDict

from mastra_workflows._arguments import require_count
from mastra_workflows._models import WorkflowRun, from_iso, to_iso
from mastra_workflows._policy import convert_durations
from mastra_workflows.errors import ConfigurationError
from mastra_workflows.hitl._pending_requests import PendingRequest

FORGET_AFTER = timedelta(days=1)
"""How long a request is remembered after it is no longer pending. It may come back: while one
branch of a run is being resumed, the run counts as running, and the requests of its other branches
are hidden."""

SEEN_EVERY = FORGET_AFTER / 8
"""The resolution of `Noted.seen`. An inbox without changes keeps its state between polls, so
nothing has to be stored."""

LOOKBACK_SECONDS = 7 * 24 * 3600.0
MAX_LOOKBACK_SECONDS = 100 * 365 * 86_400.0

LATE = timedelta(minutes=1)
"""The tolerance for times of a server's rows that are out of order."""


@dataclass(frozen=True, slots=True)
class Noted:
    """When a request was returned by an inbox, and when it was last seen."""

    asked: datetime
    seen: datetime


@dataclass(frozen=True, slots=True)
class InboxState:
    """The requests that an inbox has returned.

    Attributes:
        noted: the requests that were returned, by `PendingRequest.key`.
        since: all runs older than this had finished (0.x only, where every run has to be read).
    """

    noted: Mapping[str, Noted] = field(default_factory=dict)
    since: datetime | None = None

    def is_due(self, key: str, now: datetime, repeat_after: timedelta | None = None) -> bool:
        """Return whether a pending request should be returned now.

        Args:
            key: the key of the request.
            now: the current time.
            repeat_after: when to return it again; None for never.
        """
        noted = self.noted.get(key)
        return noted is None or (repeat_after is not None and now - noted.asked >= repeat_after)

    def note(self, keys: Iterable[str], asked: datetime, now: datetime) -> InboxState:
        """Return the state after these requests were returned."""
        return replace(self, noted={**self.noted, **{key: Noted(asked, now) for key in keys}})

    def keep(self, seen: Iterable[str], now: datetime) -> InboxState:
        """Return the state without requests that have not been pending for `FORGET_AFTER`.

        Args:
            seen: the keys of the requests that are pending now.
            now: the current time.
        """
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
        """Return the time from which runs have to be read on servers without a status filter."""
        oldest = _before(now, lookback)
        return oldest if self.since is None else max(oldest, _before(self.since, LATE))

    def advance(self, runs: Iterable[WorkflowRun]) -> InboxState:
        """Return the state after every run since `look_back` was read.

        The next call begins at the oldest unfinished run.
        """
        times = [(run.created_at, run.is_finished) for run in runs if run.created_at is not None]
        unfinished = [created for created, is_finished in times if not is_finished]
        if unfinished:
            return replace(self, since=min(unfinished))
        return replace(self, since=max((created for created, _ in times), default=self.since))

    def to_dict(self) -> dict[str, Any]:
        """Serialise to plain JSON."""
        return {
            "since": to_iso(self.since),
            "noted": {
                key: [noted.asked.timestamp(), noted.seen.timestamp()]
                for key, noted in self.noted.items()
            },
        }

    @classmethod
    def from_dict(cls, data: object) -> Self:
        """Create a state from the result of `to_dict`; anything else gives an empty state."""
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
        except (AttributeError, KeyError, OSError, OverflowError, TypeError, ValueError):
            return cls()


class PendingRequestReference(TypedDict):
    """The identity of a pending request, without its content. Read the content from the server.

    Attributes:
        key: a unique key of the request; the next round of the same step has another one.
        workflow_id: the workflow's registry key.
        run_id: the run.
        step: the step's path.
        for_each_index: the item of a ``foreach``; None outside of one.
        suspended_at: when the step was suspended, as ISO 8601.
    """

    key: str
    workflow_id: str
    run_id: str
    step: list[str]
    for_each_index: int | None
    suspended_at: str | None


def pending_request_reference(pending_request: PendingRequest) -> PendingRequestReference:
    """Return the identity of a pending request as plain JSON."""
    suspension = pending_request.suspension
    return PendingRequestReference(
        key=pending_request.key,
        workflow_id=pending_request.workflow_id,
        run_id=pending_request.run_id,
        step=list(suspension.step),
        for_each_index=suspension.for_each_index,
        suspended_at=to_iso(suspension.suspended_at),
    )


class InboxPage(NamedTuple):
    """The result of one poll of an inbox.

    Attributes:
        pending_requests: the new requests, oldest first.
        state: for the next call.
        has_more: whether there were more than one call returns; call again soon.
    """

    pending_requests: tuple[PendingRequest, ...]
    state: InboxState
    has_more: bool


class NewPendingRequestsArguments(TypedDict, total=False):
    """The keyword arguments of `Workflow.new_pending_requests`, with durations as seconds."""

    lookback: float
    repeat_after: float | None
    most: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxOptions:
    """The options of an inbox; see `Workflow.new_pending_requests`."""

    lookback: float = LOOKBACK_SECONDS
    repeat_after: float | None = None
    most: int | None = 100

    @classmethod
    def of(cls, **arguments: Any) -> Self:
        """Create the options from arguments whose durations may be `timedelta`."""
        return cls(**arguments)

    def __post_init__(self) -> None:
        convert_durations(self, "lookback", optional=["repeat_after"])
        if self.most is not None:
            require_count("most", self.most)
        for name in ("lookback", "repeat_after"):
            value = getattr(self, name)
            if value is not None and not 0 < value <= MAX_LOOKBACK_SECONDS:
                raise ConfigurationError(
                    f"{name} is {value}; it must be over 0 and at most {MAX_LOOKBACK_SECONDS:.0f} "
                    "(100 years)."
                )


def _before(moment: datetime, time: timedelta) -> datetime:
    """Subtract a duration; a server's clock may show a time that has nothing before it."""
    try:
        return moment - time
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)
