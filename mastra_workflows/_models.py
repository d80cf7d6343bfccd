"""What a server says about workflows, as frozen values.

They know no HTTP. ``to_dict`` gives plain JSON (an XCom, a trigger's event, a Prefect result) and
``from_dict`` takes it back. What a newer server adds is kept: statuses are plain strings, unknown
ones included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from mastra_workflows._stored import Stored
from mastra_workflows._stored import from_iso as from_iso
from mastra_workflows._stored import from_millis as from_millis
from mastra_workflows._stored import to_iso as to_iso
from mastra_workflows._text import safe_text
from mastra_workflows.errors import RunCanceledError, RunFailedError

JSON = Any
"""Any JSON value."""

StepPath = tuple[str, ...]
"""Where a step is: ``("approve",)``, or ``("inner", "approve")`` in a nested workflow."""


MAX_NAME = 200
"""How many characters of a step's or workflow's name are shown."""

MAX_NAMED = 20
"""How many suspensions of a run one line names."""


class RunStatus(StrEnum):
    """The statuses that Mastra's servers are known to give a run."""

    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"
    SUSPENDED = "suspended"
    PAUSED = "paused"
    SUCCESS = "success"
    BAILED = "bailed"
    FAILED = "failed"
    TRIPWIRE = "tripwire"
    CANCELED = "canceled"
    SKIPPED = "skipped"


SUCCEEDED = frozenset({RunStatus.SUCCESS, RunStatus.BAILED})
FINISHED = SUCCEEDED | {
    RunStatus.FAILED,
    RunStatus.TRIPWIRE,
    RunStatus.CANCELED,
    RunStatus.SKIPPED,
}
HELD = frozenset({RunStatus.SUSPENDED, RunStatus.PAUSED})
"""Statuses that nothing but a resume ends."""


@dataclass(frozen=True, slots=True)
class RunFailure:
    """Why a run or a step failed.

    Attributes:
        message: what the server's code said.
        name: the class of the JavaScript error.
        code: Mastra's own code, where there is one.
        stack: the server's stack trace, where it gives one (0.x does).
    """

    message: str
    name: str = "Error"
    code: str | None = None
    stack: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        known = {"message": self.message, "name": self.name, "code": self.code, "stack": self.stack}
        return {key: value for key, value in known.items() if value is not None}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The value that `to_dict` made the JSON of.

        Raises:
            InvalidDataError: it is something else.
        """
        stored = Stored("RunFailure", data)
        return cls(
            message=stored.text_or_none("message") or "",
            name=stored.text_or_none("name") or "Error",
            code=stored.text_or_none("code"),
            stack=stored.text_or_none("stack"),
        )

    def __str__(self) -> str:
        return f"{safe_text(self.name, MAX_NAME)}: {safe_text(self.message)}"


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a run, as the run's record has it.

    Attributes:
        path: the step, and the nested workflows that it is in.
        status: the step's status; while a run is being resumed it may still read ``suspended``.
        payload: what the step was given.
        output: what it returned.
        error: why it failed.
        suspend_payload: what it suspended with, without Mastra's own ``__workflow_meta``.
        resume_payload: what it was resumed with.
        started_at, ended_at, suspended_at, resumed_at: aware datetimes in UTC.
    """

    path: StepPath
    status: str
    payload: JSON = None
    output: JSON = None
    error: RunFailure | None = None
    suspend_payload: JSON = None
    resume_payload: JSON = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    suspended_at: datetime | None = None
    resumed_at: datetime | None = None

    @property
    def name(self) -> str:
        """The path in one word, for people: ``inner.approve``. Two steps may have the same one."""
        return safe_text(".".join(self.path), MAX_NAME)

    @property
    def seconds(self) -> float | None:
        """How long the step took, in seconds; None while it has not ended."""
        if self.started_at is None or self.ended_at is None:
            return None
        return (self.ended_at - self.started_at).total_seconds()

    @property
    def last_moment(self) -> datetime | None:
        """The latest time that is known of it; None if none is."""
        moments = (self.started_at, self.suspended_at, self.resumed_at, self.ended_at)
        return max((moment for moment in moments if moment is not None), default=None)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "path": list(self.path),
            "status": self.status,
            "payload": self.payload,
            "output": self.output,
            "error": self.error.to_dict() if self.error else None,
            "suspend_payload": self.suspend_payload,
            "resume_payload": self.resume_payload,
            "started_at": to_iso(self.started_at),
            "ended_at": to_iso(self.ended_at),
            "suspended_at": to_iso(self.suspended_at),
            "resumed_at": to_iso(self.resumed_at),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The value that `to_dict` made the JSON of.

        Raises:
            InvalidDataError: it is something else.
        """
        stored = Stored("Step", data)
        error = stored.mapping_or_none("error")
        return cls(
            path=stored.path("path"),
            status=stored.text("status"),
            payload=stored.json("payload"),
            output=stored.json("output"),
            error=RunFailure.from_dict(error) if error else None,
            suspend_payload=stored.json("suspend_payload"),
            resume_payload=stored.json("resume_payload"),
            started_at=stored.moment("started_at"),
            ended_at=stored.moment("ended_at"),
            suspended_at=stored.moment("suspended_at"),
            resumed_at=stored.moment("resumed_at"),
        )


@dataclass(frozen=True, slots=True)
class Suspension:
    """A step that waits for an answer.

    Attributes:
        step: the step's path, to be given to ``resume`` as it is.
        payload: what the step asked (its suspend payload).
        description: what the workflow says the step is for; None where it says nothing.
        resume_schema: the JSON Schema of the answer; None where it is not known.
        for_each_index: which item of a ``foreach`` waits, counted from 0; None outside of one.
        suspended_at: since when.
    """

    step: StepPath
    payload: JSON = None
    description: str | None = None
    resume_schema: Mapping[str, Any] | None = None
    for_each_index: int | None = None
    suspended_at: datetime | None = None

    @property
    def name(self) -> str:
        """The step's path in one word, with the item, for people: ``review[2]``."""
        item = "" if self.for_each_index is None else f"[{self.for_each_index}]"
        return safe_text(".".join(self.step), MAX_NAME) + item

    @property
    def identity(self) -> tuple[StepPath, int | None, datetime | None]:
        """What tells this suspension from every other of the run, the next round's included."""
        return self.step, self.for_each_index, self.suspended_at

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "step": list(self.step),
            "payload": self.payload,
            "description": self.description,
            "resume_schema": dict(self.resume_schema) if self.resume_schema is not None else None,
            "for_each_index": self.for_each_index,
            "suspended_at": to_iso(self.suspended_at),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The value that `to_dict` made the JSON of.

        Raises:
            InvalidDataError: it is something else.
        """
        stored = Stored("Suspension", data)
        return cls(
            step=stored.path("step"),
            payload=stored.json("payload"),
            description=stored.text_or_none("description"),
            resume_schema=stored.mapping_or_none("resume_schema"),
            for_each_index=stored.number_or_none("for_each_index"),
            suspended_at=stored.moment("suspended_at"),
        )


@dataclass(frozen=True, slots=True)
class WorkflowRun:
    """A run's own record: the truth about it.

    Attributes:
        workflow_id: the key that the run was asked for with.
        run_id: its id.
        status: see `RunStatus`; a status of a newer server passes through.
        result: what the workflow returned.
        error: why it failed.
        payload: the input data.
        steps: the steps that have begun, in the order in which they started.
        suspensions: the steps that wait for an answer; empty unless the run is suspended.
        resource_id: whom the run belongs to.
        created_at, updated_at: aware datetimes, where the server gives them.
        unmoved: the steps that the record of an active run still shows as suspended: one that is
            being resumed right now (1.71 shows the resume only when the run rests again), or one
            beside a branch at work. Not part of `to_dict`.
    """

    workflow_id: str
    run_id: str
    status: str
    result: JSON = None
    error: RunFailure | None = None
    payload: JSON = None
    steps: tuple[Step, ...] = ()
    suspensions: tuple[Suspension, ...] = ()
    resource_id: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    unmoved: tuple[Suspension, ...] = field(default=(), compare=False, repr=False)

    @property
    def is_finished(self) -> bool:
        """Whether nothing more will happen to the run."""
        return self.status in FINISHED

    @property
    def is_success(self) -> bool:
        """Whether the run ended as it should."""
        return self.status in SUCCEEDED

    @property
    def is_suspended(self) -> bool:
        """Whether the run waits for somebody to resume it."""
        return self.status in HELD

    @property
    def is_pending(self) -> bool:
        """Whether the run is known but was never started."""
        return self.status == RunStatus.PENDING

    @property
    def is_active(self) -> bool:
        """Whether the run is under way by itself (a status we do not know counts as that)."""
        return not (self.is_finished or self.is_suspended or self.is_pending)

    @property
    def running_steps(self) -> tuple[Step, ...]:
        """The steps that the record shows no end of."""
        return tuple(step for step in self.steps if step.status == "running")

    def step(self, path: StepPath) -> Step | None:
        """The step at a path, or None if it has not begun."""
        return next((step for step in self.steps if step.path == path), None)

    def raise_for_status(self) -> Self:
        """Raise if the run ended without success; otherwise return the run.

        Raises:
            RunCanceledError: it was cancelled.
            RunFailedError: it ended in any other way than success.
        """
        if not self.is_finished or self.is_success:
            return self
        if self.status == RunStatus.CANCELED:
            raise RunCanceledError(f"{self}. It is over; only a new run can do the work.", self)
        raise RunFailedError(f"{self}. It is over; only a new run can do the work.", self)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "workflow_id": self.workflow_id,
            "run_id": self.run_id,
            "status": self.status,
            "result": self.result,
            "error": self.error.to_dict() if self.error else None,
            "payload": self.payload,
            "steps": [step.to_dict() for step in self.steps],
            "suspensions": [suspension.to_dict() for suspension in self.suspensions],
            "resource_id": self.resource_id,
            "created_at": to_iso(self.created_at),
            "updated_at": to_iso(self.updated_at),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The value that `to_dict` made the JSON of.

        Raises:
            InvalidDataError: it is something else.
        """
        stored = Stored("WorkflowRun", data)
        error = stored.mapping_or_none("error")
        return cls(
            workflow_id=stored.text("workflow_id"),
            run_id=stored.text("run_id"),
            status=stored.text("status"),
            result=stored.json("result"),
            error=RunFailure.from_dict(error) if error else None,
            payload=stored.json("payload"),
            steps=tuple(map(Step.from_dict, stored.parts("steps"))),
            suspensions=tuple(map(Suspension.from_dict, stored.parts("suspensions"))),
            resource_id=stored.text_or_none("resource_id"),
            created_at=stored.moment("created_at"),
            updated_at=stored.moment("updated_at"),
        )

    def outcome(self, url: str | None = None) -> dict[str, Any]:
        """The one JSON shape that operators and tasks return.

        Args:
            url: where a person can see the run.

        Returns:
            ``run_id, workflow_id, status, result, error, suspensions, url``.
        """
        return {
            "run_id": self.run_id,
            "workflow_id": self.workflow_id,
            "status": self.status,
            "result": self.result,
            "error": self.error.to_dict() if self.error else None,
            "suspensions": [suspension.to_dict() for suspension in self.suspensions],
            "url": url,
        }

    def __str__(self) -> str:
        run, workflow = (safe_text(name, MAX_NAME) for name in (self.run_id, self.workflow_id))
        text = f"Run {run!r} of workflow {workflow!r} is {safe_text(self.status, MAX_NAME)}"
        if self.error:
            failed = [step.name for step in self.steps if step.status == "failed"]
            where = f" in step {failed[-1]!r}" if failed else ""
            return f"{text}{where}: {self.error}"
        if self.suspensions:
            return f"{text} at {named(self.suspensions)}"
        return text


def named(items: Sequence[Step | Suspension]) -> str:
    """The names of steps or suspensions as one short text: ``'approve', 'review[2]'``."""
    names = ", ".join(repr(item.name) for item in items[:MAX_NAMED])
    more = len(items) - MAX_NAMED
    return f"{names} and {more:,} more" if more > 0 else names


@dataclass(frozen=True, slots=True)
class StepDetails:
    """A step as the workflow defines it; schemas are JSON Schemas, None where there is none."""

    path: StepPath
    description: str | None = None
    input_schema: Mapping[str, Any] | None = None
    output_schema: Mapping[str, Any] | None = None
    resume_schema: Mapping[str, Any] | None = None
    suspend_schema: Mapping[str, Any] | None = None
    is_workflow: bool = False


@dataclass(frozen=True, slots=True)
class WorkflowDetails:
    """A workflow as the server defines it.

    Attributes:
        key: the registry key, under which every server knows it.
        name: the workflow's own id.
        description: what it is for.
        input_schema, output_schema: JSON Schemas; None where there is none.
        steps: every step, nested ones too, by path.
        step_graph: how they follow each other, as the server gives it.
    """

    key: str
    name: str
    description: str | None = None
    input_schema: Mapping[str, Any] | None = None
    output_schema: Mapping[str, Any] | None = None
    steps: Mapping[StepPath, StepDetails] = field(default_factory=dict)
    step_graph: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """One record of a stream.

    Attributes:
        type: Mastra's name for it, such as ``workflow-step-result``; ``watch`` on 0.x's watch.
        run_id: the run that it is about.
        payload: what came with it, untouched.
        current_step: the step that it is about, with ``id`` and ``status``; None if none is.
        workflow_state: the state of the whole run, where the event tells it.
        event_timestamp: when it happened, aware; None where the server does not say.
    """

    type: str
    run_id: str | None
    payload: Mapping[str, Any] = field(default_factory=dict)
    current_step: Mapping[str, Any] | None = None
    workflow_state: Mapping[str, Any] | None = None
    event_timestamp: datetime | None = None

    @property
    def is_end(self) -> bool:
        """Whether the stream says that the run came to a stop. Only its record knows for sure."""
        status = (self.workflow_state or {}).get("status")
        has_stopped = isinstance(status, str) and status in FINISHED | HELD
        # 0.17 to 0.21 call it "finish".
        return self.type in ("workflow-finish", "finish") or (self.type == "watch" and has_stopped)
