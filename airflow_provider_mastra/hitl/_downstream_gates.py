"""Whether a gate after a task asks what the task itself cannot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.providers.common.compat.sdk import XComArg

ADVICE = (
    "Put a gate after it, such as ask_in_turn(task) for questions one after the other or "
    "ask_each(task) for several at once, of airflow_provider_mastra.hitl.gates; or answer it by "
    "code (answers=…). The run waits, and executes nothing until it is resumed or cancelled."
)


def tasks_behind(value: object) -> frozenset[str]:
    """The tasks whose output an argument is made of; none if it is just a value or a template."""
    if not isinstance(value, XComArg):
        return frozenset()
    return frozenset(operator.task_id for operator, _ in value.iter_references())


def gate_follows(task: Any) -> bool:
    """Whether a gate after this task is for the same run, as far as the DAG tells."""
    followers = [one for one in task.get_flat_relatives(upstream=False) if _is_gate(one)]
    mine = {task.task_id, *_asked_of(task)}
    if _is_gate(task) and not _asked_of(task):
        return bool(followers)
    return any(mine & _asked_of(one) or not _asked_of(one) for one in followers)


def _is_gate(task: Any) -> bool:
    return bool(getattr(getattr(task, "operator_class", type(task)), "is_gate", False))


def _asked_of(task: Any) -> frozenset[str]:
    """The tasks whose run a gate asks of; none if it was told of the run in another way."""
    partial: Mapping[str, Any] | None = getattr(task, "partial_kwargs", None)
    if partial is not None:
        return tasks_behind(partial.get("run_id"))
    asked_of: frozenset[str] = getattr(task, "asked_of", frozenset())
    return asked_of
