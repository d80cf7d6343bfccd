"""The persistent state of a human-in-the-loop task."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow_provider_mastra.hitl._required_action import HumanResponse
from airflow_provider_mastra.utils._identity import generation
from airflow_provider_mastra.utils._stored_values import StoredValue
from airflow_provider_mastra.utils.xcoms import escape_keys, unescape_keys
from mastra_workflows.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_mastra.hitl._required_action import RequiredAction
    from mastra_workflows import JSON
    from mastra_workflows.hitl import PendingRequest

log = logging.getLogger(__name__)

ASKED = "mastra_asked"
RESPONSES = "mastra_responses"
UNDELIVERED = "mastra_undelivered"

ASKED_DAMAGED = (
    "it is unknown which form the page shows. Delete the key from the task's state to show the "
    "form again; a response that it has is discarded."
)
RESPONSES_DAMAGED = "the earlier responses are missing in the XCom 'responses'."
UNDELIVERED_DAMAGED = (
    "a response may not have been delivered. Delete the key from the task's state to use the "
    "response that the page has."
)


class HITLState:
    """The form and responses of a task instance, stored across processes.

    On Airflow 3.3 and later the state survives retries and clears. Before that, it only survives
    the wait for a response.

    Args:
        context: the task's context.
        run_id: the id of the run.
    """

    def __init__(self, context: Context, run_id: str) -> None:
        self._ti: Any = context["ti"]
        self._store: Any = context.get("task_state_store")
        self._run_id = run_id
        self._generation = generation(context)

    def has_asked(self, pending_request: PendingRequest) -> bool:
        """Whether the form for this request is on the page and may already have a response."""
        return self._asked("key") == self._name(pending_request)

    def may_ask(self, action: RequiredAction) -> bool:
        """Whether the task instance has shown no form yet, or one that looks the same."""
        return self._asked("look") in (None, action.look(self._run_id))

    def has_other_form(self, action: RequiredAction) -> bool:
        """Whether the form on the page has other fields than this one."""
        return self._asked("fields") not in (None, action.fields)

    def is_shown(self, action: RequiredAction, shown: RequiredAction) -> bool:
        """Whether the shown form looks the same, apart from the run that it names."""
        return shown.look(self._shown_run_id) == action.look(self._run_id)

    def save_shown_form(self, pending_request: PendingRequest, action: RequiredAction) -> None:
        """Store that the form for a request is on the page."""
        asked = {
            "key": self._name(pending_request),
            "look": action.look(self._run_id),
            "fields": action.fields,
            "run_id": self._shown_run_id,
        }
        self._set(ASKED, asked)

    @property
    def responses(self) -> list[dict[str, JSON]]:
        """The responses of this task, the oldest first.

        They are only reported, so a damaged state is logged: an error would fail a task whose run
        may have succeeded.
        """
        try:
            kept = self._read(RESPONSES, RESPONSES_DAMAGED)
            if kept is None or kept.text("run_id") != self._run_id:
                return []
            return kept.objects("responses")
        except ConfigurationError as error:
            log.warning("%s", error)
            return []

    def save_response(self, response: dict[str, JSON]) -> None:
        """Store a delivered response."""
        responses = [*self.responses, response]
        self._set(RESPONSES, {"run_id": self._run_id, "responses": responses})

    def save_undelivered(self, pending_request: PendingRequest, response: HumanResponse) -> None:
        """Store a response until it is delivered to the server."""
        kept = {
            "run_id": self._run_id,
            "key": self._name(pending_request),
            "response": asdict(response),
        }
        self._set(UNDELIVERED, kept)

    def clear_undelivered(self) -> None:
        """Remove the stored undelivered response."""
        if self._get(UNDELIVERED):
            self._set(UNDELIVERED, {})

    def undelivered_to(self, pending_request: PendingRequest) -> HumanResponse | None:
        """Return the undelivered response to a request; None if there is none."""
        kept = self._read(UNDELIVERED, UNDELIVERED_DAMAGED)
        if kept is None or kept.text("key") != self._name(pending_request):
            return None
        return self._response(kept)

    @property
    def undelivered_before(self) -> HumanResponse | None:
        """The undelivered response for the run from before a clear; None if there is none."""
        kept = self._read(UNDELIVERED, UNDELIVERED_DAMAGED)
        if kept is None or kept.text("run_id") == self._run_id:
            return None
        return self._response(kept)

    def _response(self, kept: StoredValue) -> HumanResponse:
        response = StoredValue(UNDELIVERED, kept.object("response"), UNDELIVERED_DAMAGED)
        return HumanResponse(
            option=response.text("option"),
            values=response.object("values"),
            user=response.object_or_none("user"),
            at=response.text("at"),
        )

    @property
    def _shown_run_id(self) -> str:
        """The run that the page names: a form keeps the run that it was first shown for."""
        return self._asked("run_id") or self._run_id

    def _asked(self, name: str) -> str | None:
        kept = self._read(ASKED, ASKED_DAMAGED)
        return None if kept is None else kept.text(name)

    def _read(self, key: str, damaged: str) -> StoredValue | None:
        kept = self._get(key)
        return None if kept in (None, {}) else StoredValue(key, kept, damaged)

    def _name(self, pending_request: PendingRequest) -> str:
        # Clearing a task has to show its form again.
        return f"{pending_request.key}-{self._generation}"

    def _get(self, key: str) -> Any:
        if self._store is not None:
            return self._store.get(key)
        ti = self._ti
        found = ti.xcom_pull(task_ids=ti.task_id, key=key, map_indexes=ti.map_index)
        return unescape_keys(found)

    def _set(self, key: str, value: JSON) -> None:
        if self._store is not None:
            self._store.set(key, value)
        else:
            self._ti.xcom_push(key=key, value=escape_keys(value))
