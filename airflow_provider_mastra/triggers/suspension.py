"""Watching for questions in the triggerer: asset events of what suspended runs ask."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypedDict

from airflow.providers.common.compat.sdk import AirflowException
from airflow.sdk.exceptions import AirflowRuntimeError
from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from airflow_provider_mastra.triggers._clients import async_client
from airflow_provider_mastra.utils._arguments import naming
from mastra_workflows.errors import MastraError
from mastra_workflows.hitl import InboxState, question_reference
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
    from mastra_workflows.hitl import InboxPage, QuestionReference

MEMORY = "mastra_questions"
"""Under which name the memory is kept in Airflow's store of the asset's state."""

STORED_SECONDS = 5.0
"""After how many seconds an event is taken to be in Airflow's database. The triggerer hands its
events over once a second and tells no trigger when they have arrived. Remembered sooner, a question
would be lost with a triggerer that dies in between; so it is told of twice instead."""
STORE_FAILURES = (AirflowException, AirflowRuntimeError, ValueError)
"""A ValueError is Airflow's word for a trigger that several assets share."""


class SuspensionEvent(TypedDict):
    """An event's payload.

    Attributes:
        workflow_id: the workflow's registry key.
        questions: those that are new, the oldest first.
        since: every run that is older than this is over (0.x), as ISO 8601; None where the server
            can be asked for the others.
    """

    workflow_id: str
    questions: list[QuestionReference]
    since: str | None


class MastraSuspensionTrigger(BaseEventTrigger):
    """Fires an event when suspended runs of a workflow ask something new, whoever started them.

    It is made for an `AssetWatcher`; `mastra_questions` puts the two together. An event's payload
    is a `SuspensionEvent`. It polls the server after ``poll_interval`` seconds, then more and more
    rarely while nothing new is asked. While the server is out of reach, or the connection
    is wrong, it continues polling and logs a warning in the triggerer's log.

    Airflow 3.3 keeps what was told in the asset's state, so that a triggerer that starts again
    tells nothing twice, but for what the old one told in its last few seconds. Airflow 3.1 and 3.2
    have no such store: what is open is told again whenever the triggerer starts. A reader
    recognises it by its ``key``.

    Take an event for a sign to look, as the DAG of `mastra_inbox` does: of several that come before
    the scheduler has made a DAG run of the first one, Airflow gives that DAG run the first one
    only, and the others to the DAG run that a later event causes, whenever that comes.

    Args:
        workflow_id: the workflow's registry key.
        mastra_conn_id: the connection to the server.
        poll_interval: seconds until the next look; each look without news doubles it.
        max_poll_interval: the longest time between two looks, in seconds.
        lookback: how old a run of a 0.x server may be that is looked at, in seconds; see
            `mastra_workflows.Workflow.new_questions`.
        repeat_after: after how many seconds an open question is told of again, for readers that
            recognise it; None for never. Airflow drops an event whose DAG is paused.
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
        with naming(self):  # wrong ones fail in the DAG file
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
        """The trigger as Airflow stores it; it holds no secret."""
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
        """Look for questions for as long as the trigger is wanted."""
        memory = await self._load_memory()
        stored: InboxState | None = memory
        quiet = 0
        while True:
            quiet += 1
            wait = self._policy.wait(quiet)
            look = await self._look(memory)
            if look is not None:
                memory = look.state
                if look.questions:
                    yield self._event(look)
                    quiet = 0
                    wait = 0.0 if look.has_more else self._policy.wait(1)
            if memory != stored and self._store is not None:
                await asyncio.sleep(STORED_SECONDS)
                wait -= STORED_SECONDS
                stored = await self._save_memory(memory)
            await asyncio.sleep(max(0.0, wait))

    def _event(self, look: InboxPage) -> TriggerEvent:
        for question in look.questions:
            self.log.info("%s.", question)
        news = SuspensionEvent(
            workflow_id=self.workflow_id,
            questions=[question_reference(question) for question in look.questions],
            since=to_iso(look.state.since),
        )
        return TriggerEvent(dict(news))  # type: ignore[no-untyped-call]

    async def _look(self, memory: InboxState) -> InboxPage | None:
        """What is new; None while that cannot be known."""
        try:
            # Read the connection at each look: somebody may have changed it, or mended it.
            async with await async_client(self.mastra_conn_id) as client:
                look = await client.get_workflow(self.workflow_id).new_questions(
                    memory, lookback=self.lookback, repeat_after=self.repeat_after
                )
        except (MastraError, AirflowException, AirflowRuntimeError) as error:
            if str(error) != self._failure:
                self._failure = str(error)
                what = "What runs of workflow %r ask is not seen now; looking again. %s"
                self.log.warning(what, self.workflow_id, error)
            return None
        if self._failure:
            self._failure = ""
            self.log.info("What runs of workflow %r ask is seen again.", self.workflow_id)
        return look

    @property
    def _store(self) -> Any:
        """Airflow's store of the asset's state; None on Airflow 3.1 and 3.2."""
        return getattr(self, "asset_state_store", None)

    async def _load_memory(self) -> InboxState:
        if self._store is None:
            return InboxState()
        try:
            return InboxState.from_dict(await self._store.aget(MEMORY))
        except STORE_FAILURES as error:
            self.log.warning("What was told before is not known (%s): all is told again.", error)
            return InboxState()

    async def _save_memory(self, memory: InboxState) -> InboxState | None:
        """Store the memory; None if that failed, which the next look tries again."""
        try:
            await self._store.aset(MEMORY, memory.to_dict())
        except STORE_FAILURES as error:
            self.log.warning("What was told cannot be stored: %s", error)
            return None
        return memory
