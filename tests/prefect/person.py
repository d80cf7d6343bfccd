"""Simulate a person on Prefect's page: find the paused flow run, read its form and fill it in."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from contextvars import copy_context
from typing import Any, TypeVar
from uuid import UUID

from httpx import HTTPStatusError
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterName
from prefect.client.schemas.objects import FlowRun, State
from prefect.client.schemas.responses import OrchestrationResult
from prefect.client.schemas.sorting import FlowRunSort
from prefect.states import Cancelled, Cancelling

T = TypeVar("T")

SECONDS = 120.0
"""How long a request may take to come, on a machine that is busy with other things."""

LEAVE_SECONDS = 60.0
"""How long a flow run that was cancelled after a failed test may take to end."""


class Person:
    """Fills in the forms of the flow run of one name.

    Args:
        api: a client of Prefect's API.
        name: the name of the flow run.
    """

    def __init__(self, api: SyncPrefectClient, name: str) -> None:
        self.api = api
        self.name = name
        self.asked: list[str] = []
        self.description = ""
        self.schema: dict[str, Any] = {}
        self._threads = ThreadPoolExecutor()
        self._watched: list[Future[Any]] = []

    def watch(self, work: Callable[[], T]) -> Future[T]:
        """Run a flow in another thread, so that this one is free to respond."""
        running = self._threads.submit(copy_context().run, work)
        self._watched.append(running)
        return running

    def flow_run(self) -> FlowRun:
        """The flow run as it stands; it has begun."""
        (found,) = self._found()
        return found

    def state(self) -> State[Any]:
        """Its state."""
        state: State[Any] | None = self.flow_run().state
        assert state is not None
        return state

    def read(self) -> str:
        """Wait for the next request and read its form.

        Returns:
            The text above the fields.
        """
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            for flow_run in self._found():
                if flow_run.state is not None and flow_run.state.is_paused():
                    details = flow_run.state.state_details
                    assert details.pause_key
                    assert details.run_input_keyset
                    if details.pause_key not in self.asked:
                        keys = details.run_input_keyset
                        with suppress(HTTPStatusError):  # it is stored a moment after the pause
                            self.description = self._input(flow_run.id, keys["description"])
                            self.schema = self._input(flow_run.id, keys["schema"])
                            self.asked.append(details.pause_key)
                            return self.description
            time.sleep(0.05)
        raise AssertionError(f"Nothing new is asked by {self._found()}.")

    def enter(self, **values: Any) -> str:
        """Send the form.

        Returns:
            What the page says against it; empty if it was taken.
        """
        result = self.api.resume_flow_run(self.flow_run().id, run_input=values)
        if result.status.value == "ACCEPT":
            return ""
        return str(getattr(result.details, "reason", result.details))

    def cancel(self) -> None:
        """Press *Cancel*.

        Prefect 3.8.4 refuses that for a paused flow run; there its state is set by hand.
        """
        flow_run_id = self.flow_run().id
        result: OrchestrationResult[Any] = self.api.set_flow_run_state(flow_run_id, Cancelling())
        if result.status.value != "ACCEPT":
            self.api.set_flow_run_state(flow_run_id, Cancelled())

    def leave(self) -> None:
        """Let no flow run wait on, as after a test that has failed."""
        for flow_run in self._found():
            if flow_run.state is not None and not flow_run.state.is_final():
                self.api.set_flow_run_state(flow_run.id, Cancelled(), force=True)
        wait(self._watched, timeout=LEAVE_SECONDS)
        self._threads.shutdown(wait=False)

    def _found(self) -> list[FlowRun]:
        return self.api.read_flow_runs(
            flow_run_filter=FlowRunFilter(name=FlowRunFilterName(any_=[self.name])),
            limit=1,
            sort=FlowRunSort.ID_DESC,
        )

    def _input(self, flow_run_id: UUID, key: str) -> Any:
        return json.loads(self.api.read_flow_run_input(flow_run_id, key))
