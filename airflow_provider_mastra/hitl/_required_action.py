"""Airflow's page of required actions: how a question is shown there, and what comes back.

Everything that is Airflow's own about that (3.1 and later) is here.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from airflow_provider_mastra.utils.xcoms import escape_keys, unescape_keys
from mastra_workflows.errors import ConfigurationError
from mastra_workflows.hitl import NO_DEFAULT, Question
from mastra_workflows.integration import quoted

if TYPE_CHECKING:
    from airflow.sdk.bases.notifier import BaseNotifier
    from airflow.sdk.execution_time.hitl import HITLUser

    from mastra_workflows import JSON
    from mastra_workflows.hitl import Field, Form

try:
    from airflow.sdk.exceptions import TaskAwaitingInput
except ImportError:  # Airflow 3.1 and 3.2: the task is deferred to a trigger instead
    TaskAwaitingInput = None  # type: ignore[assignment, misc]

SUPPORTS_AWAITING_INPUT = TaskAwaitingInput is not None
"""Whether this Airflow waits for a person without a triggerer."""

RESUME = "Resume"
CANCEL = "Cancel run"
"""The buttons under a form."""


def as_users(value: object) -> Sequence[HITLUser] | None:
    """Validate who may answer.

    Args:
        value: ``{"id": …, "name": …}``, a sequence of such, or None for everybody.

    Raises:
        ConfigurationError: it is anything else.
    """
    users = [value] if isinstance(value, Mapping) else value
    if users is None:
        return None
    if isinstance(users, Sequence) and all(map(_is_user, users)):
        return users
    raise ConfigurationError(
        "assigned_users: expected a user such as {'id': 'ann', 'name': 'Ann'} or a list of users, "
        f"got {quoted(value)}."
    )


def _is_user(value: object) -> bool:
    return isinstance(value, Mapping) and all(isinstance(value.get(k), str) for k in ("id", "name"))


def as_notifiers(value: object) -> Sequence[BaseNotifier]:
    """Validate who is notified.

    Args:
        value: a notifier, a sequence of notifiers, or None for nobody.

    Raises:
        ConfigurationError: it is anything else.
    """
    if value is None:
        return []
    from airflow.sdk.bases.notifier import BaseNotifier  # not needed to import most DAG files

    given = value if isinstance(value, list | tuple) else [value]
    notifiers = [notifier for notifier in given if isinstance(notifier, BaseNotifier)]
    if len(notifiers) == len(given):
        return notifiers
    raise ConfigurationError(
        f"notifiers: expected a notifier or a list of notifiers, got {quoted(value)}."
    )


@dataclass(frozen=True)
class RequiredAction:
    """A form as the page shows it.

    Attributes:
        subject: its headline.
        body: the text above it, as Markdown.
        params: its fields, as Airflow describes parameters.
    """

    subject: str
    body: str
    params: Mapping[str, Any]

    @classmethod
    def of(cls, question: Question, *remarks: str) -> Self:
        """The form for a question.

        Args:
            question: the question.
            *remarks: lines to put below what is asked.
        """
        body = "\n\n".join([question.body, *remarks])
        return cls(question.subject, body, _params(question.form))

    @property
    def fields(self) -> str:
        """A digest of the fields alone."""
        return hashlib.sha256(json.dumps(self.params, sort_keys=True).encode()).hexdigest()

    def look(self, run_id: str) -> str:
        """A digest of what a person sees, but for which run it is about."""
        seen = [self.subject, self.body.replace(run_id, ""), self.params]
        return hashlib.sha256(json.dumps(seen, sort_keys=True).encode()).hexdigest()


def await_input(method_name: str, kwargs: dict[str, Any], seconds: float) -> None:
    """End a task's process until a person has answered its form; holds nothing meanwhile.

    Args:
        method_name: what of the operator is called then, with the answer as ``event``.
        kwargs: what it is called with besides.
        seconds: after how long it is called in any case.

    Returns:
        On Airflow 3.1 and 3.2, which have no such thing; the task has to be deferred.
    """
    if SUPPORTS_AWAITING_INPUT:
        raise TaskAwaitingInput(
            method_name=method_name, kwargs=kwargs, timeout=timedelta(seconds=seconds)
        )


def show_form(
    ti_id: Any, action: RequiredAction, assigned_users: Sequence[HITLUser] | None
) -> RequiredAction:
    """Show a form for a task instance, and drop the answer that was given to it before.

    A task instance keeps the first form that it showed, through every retry and clear.

    Args:
        ti_id: the task instance's id.
        action: the form.
        assigned_users: who may answer, by ``id`` and ``name``; None for everybody who may.

    Returns:
        The form that is shown: this one, or the first one.
    """
    # Not needed to import a DAG file. `upsert_hitl_detail` drops the server's answer, which shows
    # the form as it is.
    from airflow.sdk.api.datamodels._generated import HITLUser as User
    from airflow.sdk.execution_time.comms import CreateHITLDetailPayload
    from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

    shown: Any = SUPERVISOR_COMMS.send(
        msg=CreateHITLDetailPayload(
            ti_id=ti_id,
            options=[RESUME, CANCEL],
            subject=action.subject,
            body=action.body,
            params=dict(action.params),
            assigned_users=[User(**user) for user in assigned_users or ()],
        )
    )
    return RequiredAction(shown.subject, shown.body or "", shown.params or {})


@dataclass(frozen=True)
class AwaitedResponse:
    """A question that a task waits with.

    Attributes:
        question: the question; without its payload, which nobody needs to take the answer.
        deadline: until when an answer is waited for, in seconds since 1970; None for ever.
    """

    question: Question
    deadline: float | None

    @classmethod
    def of(cls, question: Question, timeout: float | None) -> Self:
        """A question that is asked now.

        Args:
            question: the question.
            timeout: for how many seconds an answer is waited for; None for as long as it takes.
        """
        bare = replace(question, suspension=replace(question.suspension, payload=None))
        return cls(bare, None if timeout is None else time.time() + timeout)

    @property
    def is_expired(self) -> bool:
        """Whether the time for an answer is over."""
        return self.deadline is not None and time.time() >= self.deadline

    def to_text(self) -> str:
        """JSON as one text: Airflow's serialisers would look into an object of a server's keys."""
        return json.dumps({"question": self.question.to_dict(), "deadline": self.deadline})

    @classmethod
    def from_text(cls, text: str) -> Self:
        """The value that `to_text` made the text of."""
        data = json.loads(text)
        return cls(Question.from_dict(data["question"]), data["deadline"])


@dataclass(frozen=True)
class HumanResponse:
    """What a person sent.

    Attributes:
        option: the button that was pressed.
        values: what is in the fields, by their keys.
        user: who it was, by ``id`` and ``name``; None where Airflow does not say.
        at: when, as ISO 8601 text.
    """

    option: str
    values: Mapping[str, JSON]
    user: Mapping[str, str] | None
    at: str

    @classmethod
    def of(cls, event: Mapping[str, Any]) -> Self | None:
        """What woke a task: a person's response, or None if it was only time to look."""
        options = event.get("chosen_options")
        if not options:
            return None
        at = event.get("responded_at") or datetime.now(UTC)
        return cls(
            option=options[0],
            values=unescape_keys(event.get("params_input") or {}),
            user=event.get("responded_by_user"),
            at=at if isinstance(at, str) else at.isoformat(),
        )

    def __str__(self) -> str:
        user = self.user or {}
        return str(user.get("name") or user.get("id") or "Somebody")


def _params(form: Form) -> dict[str, Any]:
    return {
        field.key: {
            # It comes back in an event, which Airflow serialises.
            "value": escape_keys(_value(field)),
            "description": field.description or None,
            "schema": _schema(field),
            # Of parameters of the whole DAG the page would show those of the DAG.
            "source": "task",
        }
        for field in form.fields
    }


def _value(field: Field) -> JSON:
    default = field.default
    if default is not NO_DEFAULT:
        is_value = field.kind != "json" or _json_schema(field.rule) != JSON_TEXT
        return default if is_value or isinstance(default, str | None) else json.dumps(default)
    # A switch that nobody has touched looks like "no", so it has to be one.
    return False if field.kind == "boolean" and not field.may_be_empty else None


def _schema(field: Field) -> dict[str, Any]:
    schema: dict[str, Any] = {"title": field.title, **field.schema}
    if field.kind == "json":
        schema |= _json_schema(field.rule)
    elif field.kind == "text":
        schema["format"] = "multiline"
    # Without a type the page would want it to be filled in.
    kind = schema.setdefault("type", "string")
    if field.may_be_empty:
        schema["type"] = [kind, "null"]  # how the page knows that it may be left empty
    return schema


JSON_TEXT: dict[str, Any] = {"type": "string", "format": "multiline"}


def _json_schema(rule: Mapping[str, Any]) -> dict[str, Any]:
    """JSON as the page's own editors know it: an object, a list of objects or of numbers; or text.

    Of other lists the page would show one line of text for each item, or refuse what is entered.
    """
    kind, items = rule.get("type"), rule.get("items")
    inner = items.get("type") if isinstance(items, Mapping) else None
    if kind == "object":
        return {"type": "object"}
    if kind == "array" and inner in ("object", "number", "integer"):
        return {"type": "array", "items": {"type": "object" if inner == "object" else "number"}}
    return JSON_TEXT
