"""Pending requests of suspended steps, and responses to them by code."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Any, Final, Literal, Self, get_args

from mastra_workflows._models import JSON, Suspension, WorkflowRun
from mastra_workflows._policy import convert_durations, quoted, require_choice
from mastra_workflows._stored import Stored
from mastra_workflows._text import safe_text
from mastra_workflows.errors import ConfigurationError
from mastra_workflows.hitl._forms import MAX_DESCRIPTION, Form
from mastra_workflows.hitl._markdown import code, inline, link, shown

MAX_SUBJECT = 150


class _Ask(Enum):
    ASK = "ask a person"


ASK: Final = _Ask.ASK
"""The value that a callable of `Responses` returns to leave a request to a person."""


@dataclass(frozen=True)
class PendingRequest:
    """The pending request of one suspension.

    Attributes:
        workflow_id, run_id: the run that waits for the response.
        suspension: the suspended step, its suspend payload, and the JSON Schema of the response.
        url: the web page of the run in Mastra Studio; None without a Studio.
    """

    workflow_id: str
    run_id: str
    suspension: Suspension
    url: str | None = None

    @property
    def key(self) -> str:
        """A unique key of this request; the next round of the same step has another one.

        Returns:
            At most 60 characters of ``a-z``, ``0-9`` and ``-``.
        """
        step, item, since = self.suspension.identity
        identity = [self.workflow_id, self.run_id, step, item, since and since.isoformat()]
        digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:20]
        label = re.sub(r"[^a-z0-9]+", "-", self.suspension.name.lower()).strip("-")[:39]
        return f"{label or 'step'}-{digest}"

    @property
    def subject(self) -> str:
        """One line of plain text: the workflow and the suspended step."""
        line = f"{self.workflow_id}: {self.suspension.name}"
        return safe_text(line, MAX_SUBJECT)

    @property
    def body(self) -> str:
        """The content of the request as safe Markdown, for any payload."""
        parts = [
            inline((self.suspension.description or "")[:MAX_DESCRIPTION]),
            shown(self.suspension.payload),
            f"Step {code(self.suspension.name)} of workflow {code(self.workflow_id)}, "
            f"run {code(self.run_id)}.",
            link("See the run in Mastra Studio", self.url),
        ]
        return "\n\n".join(part for part in parts if part)

    @cached_property
    def form(self) -> Form:
        """The form of the response."""
        return Form(self.suspension.resume_schema)

    def is_open(self, run: WorkflowRun) -> bool:
        """Return whether the request is still pending, as far as the run's record shows.

        While another branch of the run executes, the record lists no suspensions.
        """
        if run.is_suspended:
            return any(item.identity == self.suspension.identity for item in run.suspensions)
        step = run.step(self.suspension.step)
        is_resumed = step is not None and step.status not in ("suspended", "running")
        return run.is_active and not is_resumed

    def to_dict(self) -> dict[str, Any]:
        """Serialise to plain JSON."""
        return {
            "workflow_id": self.workflow_id,
            "run_id": self.run_id,
            "suspension": self.suspension.to_dict(),
            "url": self.url,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Create a pending request from the result of `to_dict`.

        Raises:
            InvalidDataError: the data is not a serialised pending request.
        """
        stored = Stored("PendingRequest", data)
        return cls(
            workflow_id=stored.text("workflow_id"),
            run_id=stored.text("run_id"),
            suspension=Suspension.from_dict(stored.mapping_or_none("suspension") or {}),
            url=stored.text_or_none("url"),
        )

    def __str__(self) -> str:
        return (
            f"Step {self.suspension.name!r} of run {safe_text(self.run_id)!r} of workflow "
            f"{safe_text(self.workflow_id)!r} waits for a response"
        )


def pending_requests(run: WorkflowRun, url: str | None = None) -> tuple[PendingRequest, ...]:
    """Return the pending requests of a run in the server's order; none unless it is suspended.

    Args:
        run: the record of the run.
        url: the web page of the run.
    """
    if not run.is_suspended:
        return ()
    return tuple(PendingRequest(run.workflow_id, run.run_id, item, url) for item in run.suspensions)


def first_of_each_step(asked: Sequence[PendingRequest]) -> list[PendingRequest]:
    """Return one request for each step of a run.

    Servers before 1.26 give the response to every suspended item of a ``foreach``.
    """
    first = {one.suspension.step: one for one in reversed(asked)}
    return [one for one in asked if first[one.suspension.step] is one]


Responses = Mapping[str, Any] | Callable[[PendingRequest], Any]
"""Responses by code. A mapping of step names (``approve``, ``inner.approve``, ``review[2]``) to
resume data, or to callables that receive the `PendingRequest` and return it; or one callable for
all steps. A callable that returns `ASK` leaves the request to a person."""

OnResponseTimeout = Literal["fail", "cancel", "respond"]
"""What happens when nobody responds in time: raise an error, cancel the run, or use the
``default_response``."""


MAX_RESPONSE_SECONDS = 100 * 365 * 86_400.0
"""The maximum of `AskOptions.response_timeout`. Airflow and Prefect store the deadline as a
date."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskOptions:
    """How to respond to the pending requests of a run.

    Attributes:
        responses: responses by code; see `Responses`.
        response_timeout: how many seconds to wait for a person; None for no limit.
        on_response_timeout: see `OnResponseTimeout`.
        default_response: the resume data to use when nobody responds in time.

    Raises:
        ConfigurationError: an option is invalid, or two options contradict each other.
    """

    responses: Responses | None = None
    response_timeout: float | None = None
    on_response_timeout: OnResponseTimeout = "fail"
    default_response: JSON = None

    def __post_init__(self) -> None:
        if not (
            self.responses is None
            or isinstance(self.responses, Mapping)
            or callable(self.responses)
        ):
            raise ConfigurationError(
                "responses: expected a dict of resume data by step name, or a callable, got "
                f"{quoted(self.responses)}."
            )
        require_choice("on_response_timeout", self.on_response_timeout, get_args(OnResponseTimeout))
        convert_durations(self, optional=["response_timeout"])
        if self.response_timeout is not None and not (
            0 < self.response_timeout <= MAX_RESPONSE_SECONDS
        ):
            raise ConfigurationError(
                f"response_timeout is {self.response_timeout:g} s; it must be more than 0 and at "
                "most 100 years. None means no limit."
            )
        uses_default = self.on_response_timeout == "respond"
        if uses_default and (self.default_response is None or self.response_timeout is None):
            raise ConfigurationError(
                'on_response_timeout="respond" needs a default_response and a response_timeout.'
            )
        if self.default_response is not None and not uses_default:
            raise ConfigurationError('default_response needs on_response_timeout="respond".')

    def by_code(self, pending_request: PendingRequest) -> JSON:
        """Return the response that code gives to a request; `ASK` if a person has to respond."""
        responses = self.responses
        if responses is None:
            return ASK
        if isinstance(responses, Mapping):
            suspension = pending_request.suspension
            names = (suspension.name, ".".join(suspension.step))
            response = next((responses[name] for name in names if name in responses), ASK)
        else:
            response = responses
        return response(pending_request) if callable(response) else response
