"""Provide the lower bound for a deferrable operator: a trigger that fires at a preset time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.sdk import BaseOperator, Context
from airflow.triggers.base import BaseTrigger, TaskSuccessEvent, TriggerEvent


class KnownInstantTrigger(BaseTrigger):
    """A trigger that fires at a preset time and does nothing else.

    Args:
        at: when to fire, as a Unix timestamp.
        ends_task: whether the trigger ends the task, without resuming it on a worker.
    """

    def __init__(self, at: float, ends_task: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.at = at
        self.ends_task = ends_task

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {"at": self.at, "ends_task": self.ends_task},
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        await asyncio.sleep(self.at - time.time())
        if self.ends_task:
            yield TaskSuccessEvent(xcoms={"return_value": {"at": self.at}})
        else:
            yield TriggerEvent({"at": self.at})  # type: ignore[no-untyped-call]


class WaitForInstant(BaseOperator):
    """An operator that defers until the time in the DAG run's conf, ``ends_at``.

    Args:
        ends_task: whether the trigger ends the task.
        **kwargs: passed to `BaseOperator`.
    """

    def __init__(self, *, ends_task: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.ends_task = ends_task

    def execute(self, context: Context) -> None:
        at = float(context["params"]["ends_at"])
        self.defer(trigger=KnownInstantTrigger(at, self.ends_task), method_name="resume")

    def resume(self, context: Context, event: Any) -> Any:
        return event
