"""The floor under what a deferrable operator can reach: triggers that know when they will fire."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TaskSuccessEvent, TriggerEvent


class KnownInstantTrigger(BaseTrigger):
    """Fires at an instant and does nothing else.

    Args:
        at: the instant, in seconds since 1970.
        ends_task: whether the task then succeeds without being woken on a worker.
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
