"""The persistent state of a human-in-the-loop task."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow_provider_mastra.hitl._required_action import HumanResponse
from airflow_provider_mastra.utils._identity import generation
from airflow_provider_mastra.utils.xcoms import escape_keys, unescape_keys

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_mastra.hitl._required_action import RequiredAction
    from mastra_workflows import JSON
    from mastra_workflows.hitl import Question


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

    def has_asked(self, question: Question) -> bool:
        """Whether the form for this request is on the page and may already have a response."""
        return bool(self._asked.get("key") == self._name(question))

    def may_ask(self, action: RequiredAction) -> bool:
        """Whether the task instance has shown no form yet, or one that looks the same."""
        return self._asked.get("look") in (None, action.look(self._run_id))

    def has_other_form(self, action: RequiredAction) -> bool:
        """Whether the form on the page has other fields than this one."""
        return self._asked.get("fields") not in (None, action.fields)

    def is_shown(self, action: RequiredAction, shown: RequiredAction) -> bool:
        """Whether the shown form looks the same, apart from the run that it names."""
        return shown.look(self._shown_run_id) == action.look(self._run_id)

    def save_shown_form(self, question: Question, action: RequiredAction) -> None:
        """Store that the form for a request is on the page."""
        asked = {
            "key": self._name(question),
            "look": action.look(self._run_id),
            "fields": action.fields,
            "run_id": self._shown_run_id,
        }
        self._set("mastra_asked", asked)

    @property
    def answers(self) -> list[dict[str, JSON]]:
        """The responses of this task, the oldest first."""
        kept = self._get("mastra_answers") or {}
        return list(kept["answers"]) if kept.get("run_id") == self._run_id else []

    def save_answer(self, answer: dict[str, JSON]) -> None:
        """Store a delivered response."""
        answers = [*self.answers, answer]
        self._set("mastra_answers", {"run_id": self._run_id, "answers": answers})

    def save_undelivered(self, question: Question, response: HumanResponse) -> None:
        """Store a response until it is delivered to the server."""
        kept = {"run_id": self._run_id, "key": self._name(question), "response": asdict(response)}
        self._set("mastra_undelivered", kept)

    def clear_undelivered(self) -> None:
        """Remove the stored undelivered response."""
        if self._get("mastra_undelivered"):
            self._set("mastra_undelivered", {})

    def undelivered_to(self, question: Question) -> HumanResponse | None:
        """Return the undelivered response to a request; None if there is none."""
        kept = self._get("mastra_undelivered") or {}
        return (
            HumanResponse(**kept["response"]) if kept.get("key") == self._name(question) else None
        )

    @property
    def undelivered_before(self) -> HumanResponse | None:
        """The undelivered response for the run from before a clear; None if there is none."""
        kept = self._get("mastra_undelivered") or {}
        return (
            None
            if kept.get("run_id") in (None, self._run_id)
            else HumanResponse(**kept["response"])
        )

    @property
    def _shown_run_id(self) -> str:
        """The run that the page names: a form keeps the run that it was first shown for."""
        return self._asked.get("run_id", self._run_id)

    @property
    def _asked(self) -> dict[str, str]:
        return self._get("mastra_asked") or {}

    def _name(self, question: Question) -> str:
        # Clearing a task has to show its form again.
        return f"{question.key}-{self._generation}"

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
