"""The trigger that fires asset events for pending requests of suspended runs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypedDict

from airflow.providers.common.compat.sdk import AirflowException
from airflow.sdk.exceptions import AirflowRuntimeError
from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from airflow_provider_mastra.triggers._clients import async_client
from airflow_provider_mastra.utils._arguments import naming
from mastra_workflows.errors import MastraError
from mastra_workflows.hitl import InboxState, pending_request_reference
from mastra_workflows.integration import (
    LOOKBACK_SECONDS,
    InboxOptions,
    PollPolicy,
    as_seconds,
    to_iso,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mastra_workflows import Duration
    from mastra_workflows.hitl import InboxPage, PendingRequestReference

__all__ = ["MastraSuspensionTrigger", "SuspensionEvent"]

MEMORY = "mastra_pending_requests"
"""The key of the trigger's state in Airflow's asset state store."""

STORED_SECONDS = 5.0
"""How many seconds after firing an event the trigger saves its state. The triggerer writes events
to the database once a second and does not confirm this to the trigger. If the state were saved
sooner and the triggerer crashed in between, the request would be lost; this way it is reported
twice."""
STORE_FAILURES = (AirflowException, AirflowRuntimeError, ValueError)
"""Airflow raises a ValueError for a trigger that several assets share."""


class SuspensionEvent(TypedDict):
    """The payload of an event.

    Attributes:
        workflow_id: the workflow's registry key.
        pending_requests: the new pending requests, the oldest first.
        since: the time before which all runs have finished (0.x), as ISO 8601; None if the server
            can list suspended runs.
    """

    workflow_id: str
    pending_requests: list[PendingRequestReference]
    since: str | None


class MastraSuspensionTrigger(BaseEventTrigger):
    """Fire an event for new pending requests of a workflow's suspended runs.

    It covers all runs of the workflow, including those that other clients started. Use it with an
    `AssetWatcher`, as `mastra_pending_requests` does. The payload of an event is a
    `SuspensionEvent`. The interval between polls starts at ``poll_interval`` and grows while there
    are no new requests. While the server is unreachable or the connection is invalid, the trigger
    continues to poll and writes a warning to the triggerer's log.

    On Airflow 3.3 and later, the trigger saves which requests it has reported in the asset's state.
    After a restart of the triggerer it only reports requests again that the old one reported in its
    last few seconds. Airflow 3.1 and 3.2 have no asset state: the trigger reports all pending
    requests again whenever the triggerer starts. Consumers deduplicate them by ``key``.

    Treat an event as a signal to poll, as the DAG of `mastra_inbox` does. If several events arrive
    before the scheduler creates a DAG run for the first one, Airflow passes only the first one to
    that DAG run. The others go to the DAG run that a later event triggers.

    Args:
        workflow_id: the workflow's registry key.
        mastra_conn_id: the id of the Airflow connection to the server.
        poll_interval: the initial poll interval in seconds; each poll without new requests doubles
            it.
        max_poll_interval: the upper limit of the poll interval, in seconds.
        lookback: the maximum age of the runs to read on a 0.x server, in seconds; see
            `mastra_workflows.Workflow.new_pending_requests`.
        repeat_after: after how many seconds to report a pending request again, for consumers that
            deduplicate; None for never. Airflow drops the events of a paused DAG.
    """

    def __init__(
        self,
        *,
        workflow_id: str,
        mastra_conn_id: str = "mastra_default",
        poll_interval: Duration = 10.0,
        max_poll_interval: Duration = 60.0,
        lookback: Duration = LOOKBACK_SECONDS,
        repeat_after: Duration | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.workflow_id = workflow_id
        self.mastra_conn_id = mastra_conn_id
        with naming(self):  # an invalid value fails the import of the DAG file
            self.poll_interval = as_seconds("poll_interval", poll_interval)
            self.max_poll_interval = as_seconds("max_poll_interval", max_poll_interval)
            self._policy = PollPolicy(
                first_wait=self.poll_interval, longest_wait=self.max_poll_interval
            )
            options = InboxOptions.of(lookback=lookback, repeat_after=repeat_after)
        self.lookback = options.lookback
        self.repeat_after = options.repeat_after
        self._failure = ""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the trigger as Airflow stores it, without secrets."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "workflow_id": self.workflow_id,
                "mastra_conn_id": self.mastra_conn_id,
                "poll_interval": self.poll_interval,
                "max_poll_interval": self.max_poll_interval,
                "lookback": self.lookback,
                "repeat_after": self.repeat_after,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll for pending requests until the trigger is cancelled."""
        memory = await self._load_memory()
        stored: InboxState | None = memory
        quiet = 0
        while True:
            quiet += 1
            wait = self._policy.wait(quiet)
            look = await self._look(memory)
            if look is not None:
                memory = look.state
                if look.pending_requests:
                    yield self._event(look)
                    quiet = 0
                    wait = 0.0 if look.has_more else self._policy.wait(1)
            if memory != stored and self._store is not None:
                await asyncio.sleep(STORED_SECONDS)
                wait -= STORED_SECONDS
                stored = await self._save_memory(memory)
            await asyncio.sleep(max(0.0, wait))

    def _event(self, look: InboxPage) -> TriggerEvent:
        for pending_request in look.pending_requests:
            self.log.info("%s.", pending_request)
        news = SuspensionEvent(
            workflow_id=self.workflow_id,
            pending_requests=[
                pending_request_reference(pending_request)
                for pending_request in look.pending_requests
            ],
            since=to_iso(look.state.since),
        )
        return TriggerEvent(dict(news))  # type: ignore[no-untyped-call]

    async def _look(self, memory: InboxState) -> InboxPage | None:
        """Return the new pending requests; None while the server cannot be polled."""
        try:
            # Read the connection for each poll, because it may have been edited.
            async with await async_client(self.mastra_conn_id) as client:
                look = await client.get_workflow(self.workflow_id).new_pending_requests(
                    memory, lookback=self.lookback, repeat_after=self.repeat_after
                )
        except (MastraError, AirflowException, AirflowRuntimeError) as error:
            if str(error) != self._failure:
                self._failure = str(error)
                what = "Pending requests of workflow %r cannot be read; retrying. %s"
                self.log.warning(what, self.workflow_id, error)
            return None
        if self._failure:
            self._failure = ""
            self.log.info("Pending requests of workflow %r can be read again.", self.workflow_id)
        return look

    @property
    def _store(self) -> Any:
        """Airflow's asset state store; None on Airflow 3.1 and 3.2."""
        return getattr(self, "asset_state_store", None)

    async def _load_memory(self) -> InboxState:
        if self._store is None:
            return InboxState()
        try:
            return InboxState.from_dict(await self._store.aget(MEMORY))
        except STORE_FAILURES as error:
            self.log.warning(
                "The state of the inbox cannot be read (%s): reporting all pending requests again.",
                error,
            )
            return InboxState()

    async def _save_memory(self, memory: InboxState) -> InboxState | None:
        """Store the state; return None if that failed, so that the next poll retries it."""
        try:
            await self._store.aset(MEMORY, memory.to_dict())
        except STORE_FAILURES as error:
            self.log.warning("The state of the inbox cannot be stored: %s", error)
            return None
        return memory
