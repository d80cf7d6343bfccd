"""Detection of downstream gates that handle the requests a task leaves pending."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import XComArg

if TYPE_CHECKING:
    from collections.abc import Mapping

GATE_HINT = (
    "Put a gate after it, such as ask_in_turn(task) for consecutive requests or "
    "ask_each(task) for several at once, of airflow_provider_mastra.hitl.gates; or respond by "
    "code (responses=…). The run waits, and executes nothing until it is resumed or cancelled."
)


def source_task_ids(value: object) -> frozenset[str]:
    """Return the tasks whose output an argument refers to; none for a plain value or a template."""
    if not isinstance(value, XComArg):
        return frozenset()
    return frozenset(operator.task_id for operator, _ in value.iter_references())


def has_downstream_gate(task: Any) -> bool:
    """Whether a downstream gate is for the same run, as far as the DAG's structure shows."""
    followers = [one for one in task.get_flat_relatives(upstream=False) if _is_gate(one)]
    mine = {task.task_id, *_gated_task_ids(task)}
    if _is_gate(task) and not _gated_task_ids(task):
        return bool(followers)
    return any(mine & _gated_task_ids(one) or not _gated_task_ids(one) for one in followers)


def _is_gate(task: Any) -> bool:
    return bool(getattr(getattr(task, "operator_class", type(task)), "is_gate", False))


def _gated_task_ids(task: Any) -> frozenset[str]:
    """Return the tasks whose run a gate handles; none if its ``run_id`` is no task's output."""
    partial: Mapping[str, Any] | None = getattr(task, "partial_kwargs", None)
    if partial is not None:
        return source_task_ids(partial.get("run_id"))
    gated_task_ids: frozenset[str] = getattr(task, "gated_task_ids", frozenset())
    return gated_task_ids
