"""The trigger that waits for a response to a form.

Airflow 3.1 and 3.2 offer no better way. On Airflow 3.3 and later, a task only defers to it if its
form may already have a response.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any
from uuid import UUID

from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from airflow_provider_mastra.hitl._required_action import AwaitedResponse
from airflow_provider_mastra.triggers._clients import async_client
from airflow_provider_mastra.triggers.workflow import SETTLE_SECONDS
from mastra_workflows.errors import MastraError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["MastraHITLTrigger"]

POLL_SECONDS = 5.0
"""The interval between polls of the form, the same as that of Airflow's own trigger."""

LOOK_SECONDS = 30.0
"""The interval between polls of the run, to detect that no response is needed any more."""


class MastraHITLTrigger(BaseTrigger):
    """Wait for a response to a task's form, or until no response is needed any more.

    The trigger does not resume the run. It wakes the task, which does.

    Args:
        mastra_conn_id: the id of the Airflow connection to the server.
        ti_id: the id of the task instance that shows the form.
        asked: the pending request, serialised by `AwaitedResponse.to_text`.
        wake_at: when to wake the task in any case, in seconds since 1970; None for never.
        not_before: the earliest time to wake the task, in seconds since 1970; None for
            `SETTLE_SECONDS` from now.
    """

    def __init__(
        self,
        *,
        mastra_conn_id: str,
        ti_id: str,
        asked: str,
        wake_at: float | None,
        not_before: float | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.mastra_conn_id = mastra_conn_id
        self.ti_id = ti_id
        self.asked = asked
        self.wake_at = wake_at
        self.not_before = time.time() + SETTLE_SECONDS if not_before is None else not_before

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the trigger as Airflow stores it, without secrets."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "mastra_conn_id": self.mastra_conn_id,
                "ti_id": self.ti_id,
                "asked": self.asked,
                "wake_at": self.wake_at,
                "not_before": self.not_before,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll the form and, less often, the run; fire once the task has to act."""
        await asyncio.sleep(self.not_before - time.time())
        poll_run_at = time.time() + LOOK_SECONDS
        while (event := await self._response()) is None:
            if self.wake_at is not None and time.time() >= self.wake_at:
                event = {"error_type": "timeout"}
                break
            if time.time() >= poll_run_at:
                poll_run_at = time.time() + LOOK_SECONDS
                if await self._is_over():
                    event = {"error_type": "over"}
                    break
            await asyncio.sleep(POLL_SECONDS)
        yield TriggerEvent({**event, "asked": self.asked})  # type: ignore[no-untyped-call]

    async def _response(self) -> dict[str, Any] | None:
        """Return the response in Airflow's own event format; None if there is none yet."""
        from airflow.sdk.execution_time.hitl import get_hitl_detail_content_detail

        form: Any = await sync_to_async(get_hitl_detail_content_detail)(ti_id=UUID(self.ti_id))
        if form is None or not form.response_received:  # None in `dag.test()`
            return None
        user = form.responded_by_user
        return {
            "chosen_options": list(form.chosen_options or ()),
            "params_input": form.params_input,
            "responded_by_user": {"id": user.id, "name": user.name} if user else None,
            "responded_at": form.responded_at.isoformat(),
        }

    async def _is_over(self) -> bool:
        pending_request = AwaitedResponse.from_text(self.asked).pending_request
        try:
            async with await async_client(self.mastra_conn_id) as client:
                record = (
                    await client.get_workflow(pending_request.workflow_id)
                    .get_run(pending_request.run_id)
                    .read()
                )
        except MastraError as error:
            self.log.warning(
                "Mastra server unreachable; continuing to wait for a response. %s", error
            )
            return False
        return not pending_request.is_open(record)
