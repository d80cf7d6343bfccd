"""Airflow's page of required actions: how it shows a form, and how it returns the response.

All code that is specific to Airflow's human-in-the-loop API (3.1 and later) is in this module.
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
from mastra_workflows.errors import ConfigurationError, InvalidDataError
from mastra_workflows.hitl import NO_DEFAULT, PendingRequest
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
"""Whether this version of Airflow waits for a response without a triggerer."""

RESUME = "Resume"
CANCEL = "Cancel run"
"""The buttons of a form."""


def as_users(value: object) -> Sequence[HITLUser] | None:
    """Validate the users who may respond.

    Args:
        value: ``{"id": …, "name": …}``, a sequence of such users, or None for everybody.

    Raises:
        ConfigurationError: the value is anything else.
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
    """Validate the notifiers.

    Args:
        value: a notifier, a sequence of notifiers, or None.

    Raises:
        ConfigurationError: the value is anything else.
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
    """A form on the page of required actions.

    Attributes:
        subject: the headline.
        body: the text above the fields, as Markdown.
        params: the fields, in Airflow's format for params.
    """

    subject: str
    body: str
    params: Mapping[str, Any]

    @classmethod
    def of(cls, pending_request: PendingRequest, *remarks: str) -> Self:
        """Create the form for a pending request.

        Args:
            pending_request: the pending request.
            *remarks: paragraphs to append to the body.
        """
        body = "\n\n".join([pending_request.body, *remarks])
        return cls(pending_request.subject, body, _params(pending_request.form))

    @property
    def fields(self) -> str:
        """A digest of the fields only."""
        return hashlib.sha256(json.dumps(self.params, sort_keys=True).encode()).hexdigest()

    def look(self, run_id: str) -> str:
        """Return a digest of the form as people see it, without the run's id."""
        seen = [self.subject, self.body.replace(run_id, ""), self.params]
        return hashlib.sha256(json.dumps(seen, sort_keys=True).encode()).hexdigest()


def await_input(method_name: str, kwargs: dict[str, Any], seconds: float) -> None:
    """Release the worker until a person responds.

    Args:
        method_name: the operator's method to call with the response as ``event``.
        kwargs: further arguments of that method.
        seconds: after how long to call the method without a response.

    Returns:
        Only on Airflow 3.1 and 3.2, which do not support this; the task must be deferred instead.
    """
    if SUPPORTS_AWAITING_INPUT:
        raise TaskAwaitingInput(
            method_name=method_name, kwargs=kwargs, timeout=timedelta(seconds=seconds)
        )


def show_form(
    ti_id: Any, action: RequiredAction, assigned_users: Sequence[HITLUser] | None
) -> RequiredAction:
    """Show a form for a task instance, and remove an earlier response to it.

    A task instance keeps the first form that it showed, across retries and clears.

    Args:
        ti_id: the id of the task instance.
        action: the form.
        assigned_users: who may respond, by ``id`` and ``name``; None for every permitted user.

    Returns:
        The form on the page: this one, or the first one.
    """
    # Imported here because DAG files do not need it. `upsert_hitl_detail` is not used because it
    # discards the server's response, which contains the form on the page.
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
    """A pending request that a task waits for a response to.

    Attributes:
        pending_request: the pending request, without its payload, which is not needed any more.
        deadline: when the wait ends, in seconds since 1970; None for never.
    """

    pending_request: PendingRequest
    deadline: float | None

    @classmethod
    def of(cls, pending_request: PendingRequest, timeout: float | None) -> Self:
        """Create the value for a request whose form is shown now.

        Args:
            pending_request: the pending request.
            timeout: how many seconds to wait for a response; None for no limit.
        """
        bare = replace(
            pending_request, suspension=replace(pending_request.suspension, payload=None)
        )
        return cls(bare, None if timeout is None else time.time() + timeout)

    @property
    def is_expired(self) -> bool:
        """Whether the time to respond has passed."""
        return self.deadline is not None and time.time() >= self.deadline

    def to_text(self) -> str:
        """Serialise to a string; Airflow's serialisers would interpret keys in a JSON object."""
        return json.dumps(
            {"pending_request": self.pending_request.to_dict(), "deadline": self.deadline}
        )

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Deserialise the result of `to_text`.

        Raises:
            InvalidDataError: the text is anything else.
        """
        try:
            data = json.loads(text)
            deadline = data["deadline"]
            return cls(
                PendingRequest.from_dict(data["pending_request"]),
                None if deadline is None else float(deadline),
            )
        except (KeyError, OverflowError, RecursionError, TypeError, ValueError) as error:
            raise InvalidDataError(f"The stored request is damaged: {error!r}.") from None


@dataclass(frozen=True)
class HumanResponse:
    """A person's response to a form.

    Attributes:
        option: the button that was pressed.
        values: the values of the fields, by key.
        user: the author, by ``id`` and ``name``; None if Airflow does not provide it.
        at: the time of the response, as ISO 8601.
    """

    option: str
    values: Mapping[str, JSON]
    user: Mapping[str, str] | None
    at: str

    @classmethod
    def of(cls, event: Mapping[str, Any]) -> Self | None:
        """Return the response in an event that woke a task; None if only a timeout woke it."""
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
            # The value is returned in an event, which Airflow serialises.
            "value": escape_keys(_value(field)),
            "description": field.description or None,
            "schema": _schema(field),
            # For other sources, the page would show the values of the DAG's params.
            "source": "task",
        }
        for field in form.fields
    }


def _value(field: Field) -> JSON:
    default = field.default
    if default is not NO_DEFAULT:
        is_value = field.kind != "json" or _json_schema(field.rule) != JSON_TEXT
        return default if is_value or isinstance(default, str | None) else json.dumps(default)
    # An untouched switch looks like "no", so its value must be False.
    return False if field.kind == "boolean" and not field.may_be_empty else None


def _schema(field: Field) -> dict[str, Any]:
    schema: dict[str, Any] = {"title": field.title, **field.schema}
    if field.kind == "json":
        schema |= _json_schema(field.rule)
    elif field.kind == "text":
        schema["format"] = "multiline"
    # Without a type, the page makes the field mandatory.
    kind = schema.setdefault("type", "string")
    if field.may_be_empty:
        schema["type"] = [kind, "null"]  # "null" makes the field optional on the page
    return schema


JSON_TEXT: dict[str, Any] = {"type": "string", "format": "multiline"}


def _json_schema(rule: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of the page's best editor for a JSON value.

    The page has editors for an object and for a list of objects or numbers. Other lists it would
    edit as one line of text per item, or refuse, so they use a text field.
    """
    kind, items = rule.get("type"), rule.get("items")
    inner = items.get("type") if isinstance(items, Mapping) else None
    if kind == "object":
        return {"type": "object"}
    if kind == "array" and inner in ("object", "number", "integer"):
        return {"type": "array", "items": {"type": "object" if inner == "object" else "number"}}
    return JSON_TEXT
