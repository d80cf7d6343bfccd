"""Workflows, runs, steps and events of a server, as immutable values.

They are independent of HTTP. ``to_dict`` serialises to plain JSON (an XCom, a trigger event, a
Prefect result) and ``from_dict`` deserialises it. Statuses are plain strings, so unknown statuses
of newer servers are kept.
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
"""The path of a step: ``("approve",)``, or ``("inner", "approve")`` in a nested workflow."""


MAX_NAME = 200
"""The maximum number of characters shown of a step's or workflow's name."""

MAX_NAMED = 20
"""The maximum number of suspensions that one line names."""


class RunStatus(StrEnum):
    """The run statuses that Mastra servers are known to use."""

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
"""Statuses that only a resume or a cancellation ends."""

_STATES: dict[str, str] = {
    RunStatus.SUCCESS: "succeeded",
    RunStatus.FAILED: "failed",
    RunStatus.CANCELED: "was cancelled",
    RunStatus.SKIPPED: "was skipped",
}
"""Statuses that do not read well after "is" in a message."""

_FINAL = "It has finished; start a new run to do the work again."


@dataclass(frozen=True, slots=True)
class RunFailure:
    """The error of a failed run or step.

    Attributes:
        message: the error message.
        name: the class of the JavaScript error.
        code: Mastra's error code, if there is one.
        stack: the server's stack trace, if the server sends it (0.x does).
    """

    message: str
    name: str = "Error"
    code: str | None = None
    stack: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Serialise to plain JSON."""
        known = {"message": self.message, "name": self.name, "code": self.code, "stack": self.stack}
        return {key: value for key, value in known.items() if value is not None}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Create a failure from the result of `to_dict`.

        Raises:
            InvalidDataError: the data is not a serialised failure.
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
    """One step of a run, from the run's record.

    Attributes:
        path: the ids of the enclosing nested workflows and of the step.
        status: the step's status; while a run is being resumed, it may still read ``suspended``.
        payload: the step's input.
        output: the step's output.
        error: the step's error.
        suspend_payload: the data that the step suspended with, without Mastra's
            ``__workflow_meta``.
        resume_payload: the data that the step was resumed with.
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
        """The path as one readable word: ``inner.approve``. It is not unique."""
        return safe_text(".".join(self.path), MAX_NAME)

    @property
    def seconds(self) -> float | None:
        """The duration of the step in seconds; None while it has not finished."""
        if self.started_at is None or self.ended_at is None:
            return None
        return (self.ended_at - self.started_at).total_seconds()

    @property
    def last_moment(self) -> datetime | None:
        """The latest known time of the step; None if none is known."""
        moments = (self.started_at, self.suspended_at, self.resumed_at, self.ended_at)
        return max((moment for moment in moments if moment is not None), default=None)

    def to_dict(self) -> dict[str, Any]:
        """Serialise to plain JSON."""
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
        """Create a step from the result of `to_dict`.

        Raises:
            InvalidDataError: the data is not a serialised step.
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
    """A suspended step of a run, with its pending request.

    Attributes:
        step: the step's path, as ``resume`` accepts it.
        payload: the content of the request (the suspend payload).
        description: the step's description in the workflow; None if there is none.
        resume_schema: the JSON Schema of the response; None if it is unknown.
        for_each_index: the suspended item of a ``foreach``, counted from 0; None outside of one.
        suspended_at: when the step was suspended.
    """

    step: StepPath
    payload: JSON = None
    description: str | None = None
    resume_schema: Mapping[str, Any] | None = None
    for_each_index: int | None = None
    suspended_at: datetime | None = None

    @property
    def name(self) -> str:
        """The step's path as one readable word, with the item: ``review[2]``."""
        item = "" if self.for_each_index is None else f"[{self.for_each_index}]"
        return safe_text(".".join(self.step), MAX_NAME) + item

    @property
    def identity(self) -> tuple[StepPath, int | None, datetime | None]:
        """Distinguishes this suspension from all others of the run, including later rounds."""
        return self.step, self.for_each_index, self.suspended_at

    def to_dict(self) -> dict[str, Any]:
        """Serialise to plain JSON."""
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
        """Create a suspension from the result of `to_dict`.

        Raises:
            InvalidDataError: the data is not a serialised suspension.
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
    """The record of a run, which is authoritative.

    Attributes:
        workflow_id: the key that the run was requested with.
        run_id: the id of the run.
        status: see `RunStatus`; an unknown status of a newer server is kept.
        result: the workflow's output.
        error: the error of a failed run.
        payload: the input data.
        steps: the steps that have begun, in the order of their start.
        suspensions: the suspended steps; empty unless the run is suspended.
        resource_id: the owner of the run.
        created_at, updated_at: aware datetimes, if the server sends them.
        unmoved: the steps that the record of an active run still shows as suspended: a step that is
            being resumed (1.71 shows the resume only when the run has finished or is suspended
            again), or one next to an executing branch. Not part of `to_dict`.
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
        """Whether the status is terminal."""
        return self.status in FINISHED

    @property
    def is_success(self) -> bool:
        """Whether the run succeeded."""
        return self.status in SUCCEEDED

    @property
    def is_suspended(self) -> bool:
        """Whether the run waits to be resumed."""
        return self.status in HELD

    @property
    def is_pending(self) -> bool:
        """Whether the record exists but the run was never started."""
        return self.status == RunStatus.PENDING

    @property
    def is_active(self) -> bool:
        """Whether the run executes by itself. An unknown status counts as active."""
        return not (self.is_finished or self.is_suspended or self.is_pending)

    @property
    def running_steps(self) -> tuple[Step, ...]:
        """The steps with the status ``running``."""
        return tuple(step for step in self.steps if step.status == "running")

    def step(self, path: StepPath) -> Step | None:
        """Return the step with a path; None if it has not begun."""
        return next((step for step in self.steps if step.path == path), None)

    def raise_for_status(self) -> Self:
        """Raise if the run finished without success; otherwise return the run.

        Raises:
            RunCanceledError: the run was cancelled.
            RunFailedError: the run finished with any other status than success.
        """
        if not self.is_finished or self.is_success:
            return self
        if self.status == RunStatus.CANCELED:
            raise RunCanceledError(f"{self}. {_FINAL}", self)
        raise RunFailedError(f"{self}. {_FINAL}", self)

    def to_dict(self) -> dict[str, Any]:
        """Serialise to plain JSON."""
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
        """Create a run from the result of `to_dict`.

        Raises:
            InvalidDataError: the data is not a serialised run.
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
        """Return the JSON object that operators and tasks return.

        Args:
            url: the web page of the run.

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
        state = _STATES.get(self.status, f"is {safe_text(self.status, MAX_NAME)}")
        text = f"Run {run!r} of workflow {workflow!r} {state}"
        if self.error:
            failed = [step.name for step in self.steps if step.status == "failed"]
            where = f" in step {failed[-1]!r}" if failed else ""
            return f"{text}{where}: {self.error}"
        if self.suspensions:
            return f"{text} at {named(self.suspensions)}"
        return text


def named(items: Sequence[Step | Suspension]) -> str:
    """Join the names of steps or suspensions as a short text: ``'approve', 'review[2]'``."""
    names = ", ".join(repr(item.name) for item in items[:MAX_NAMED])
    more = len(items) - MAX_NAMED
    return f"{names} and {more:,} more" if more > 0 else names


@dataclass(frozen=True, slots=True)
class StepDetails:
    """The definition of a step. Schemas are JSON Schemas, or None if the step has none."""

    path: StepPath
    description: str | None = None
    input_schema: Mapping[str, Any] | None = None
    output_schema: Mapping[str, Any] | None = None
    resume_schema: Mapping[str, Any] | None = None
    suspend_schema: Mapping[str, Any] | None = None
    is_workflow: bool = False


@dataclass(frozen=True, slots=True)
class WorkflowDetails:
    """The definition of a workflow.

    Attributes:
        key: the registry key, which every server version accepts.
        name: the workflow's own id.
        description: the description.
        input_schema, output_schema: JSON Schemas; None if the workflow has none.
        steps: all steps by path, including nested ones.
        step_graph: the order of the steps, as sent by the server.
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
    """One event of a stream.

    Attributes:
        type: Mastra's event type, such as ``workflow-step-result``; ``watch`` for events of ``GET
            .../watch`` (0.x).
        run_id: the run that the event is about.
        payload: the unchanged payload of the event.
        current_step: the step that the event is about, with ``id`` and ``status``; None if there is
            none.
        workflow_state: the state of the whole run, if the event contains it.
        event_timestamp: the aware time of the event; None if the server does not send it.
    """

    type: str
    run_id: str | None
    payload: Mapping[str, Any] = field(default_factory=dict)
    current_step: Mapping[str, Any] | None = None
    workflow_state: Mapping[str, Any] | None = None
    event_timestamp: datetime | None = None

    @property
    def is_end(self) -> bool:
        """Whether the event reports the end of the run, or its suspension.

        Only the record is authoritative.
        """
        status = (self.workflow_state or {}).get("status")
        has_stopped = isinstance(status, str) and status in FINISHED | HELD
        # 0.17 to 0.21 send "finish".
        return self.type in ("workflow-finish", "finish") or (self.type == "watch" and has_stopped)
