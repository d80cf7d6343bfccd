"""Bytes of a Mastra stream to events, at any chunk boundary. No I/O.

A record is a JSON document and ``\\x1e``. 0.x's ``/watch`` wraps each document in a JSON string
once more; servers 1.0 to 1.4 end with a line ``data: [DONE]`` that is no record.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from mastra_workflows.errors import BodyTooLargeError, NotMastraError
from mastra_workflows.models import Event, from_millis

SEPARATOR = b"\x1e"
DONE = b"data: [DONE]"

MARKS = frozenset(
    {
        "workflow-start",
        "workflow-step-start",
        "workflow-step-result",
        "workflow-step-suspended",
        "workflow-step-waiting",
        "workflow-step-finish",
        "workflow-canceled",
        "workflow-paused",
        "workflow-finish",
    }
)
"""The events that mark a run's way; each of them is there once."""


class Decoder:
    """Takes a stream's bytes as they come and gives the events that are whole.

    Args:
        max_record_bytes: a record longer than this is an error instead of memory.
    """

    def __init__(self, *, max_record_bytes: int) -> None:
        self._max = max_record_bytes
        self._tail = bytearray()

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """The events that ``chunk`` completes.

        Raises:
            NotMastraError: a record is no JSON object.
            BodyTooLargeError: a record is longer than the limit.
        """
        start = len(self._tail)  # what was here before holds no separator
        self._tail += chunk
        while (end := self._tail.find(SEPARATOR, start)) >= 0:
            record = bytes(self._tail[:end])
            del self._tail[: end + 1]
            start = 0
            self._check_size(record)
            if record.strip():
                yield parse_record(record)
        self._check_size(self._tail)

    def _check_size(self, record: bytes | bytearray) -> None:
        if len(record) > self._max:
            raise BodyTooLargeError(
                f"A record of the stream is over {self._max} bytes; max_body_bytes sets the limit."
            )

    @property
    def is_cut(self) -> bool:
        """Whether the bytes so far end inside a record: said at the end, the stream was cut."""
        rest = bytes(self._tail).strip()
        return bool(rest) and rest != DONE


class Once:
    """Tells the events that were not there before; `/observe` replays what has happened twice.

    Only what marks a step's or the run's way is told apart. A step's own output (text chunks and
    the like) has no identity and may well repeat itself: it passes, always, as does an event of a
    type that we do not know.
    """

    def __init__(self) -> None:
        self._seen: set[tuple[object, ...]] = set()
        self._last_step: tuple[object, ...] = ()
        self._ends = 0

    def is_new(self, event: Event) -> bool:
        """Whether an event was not given before."""
        if event.type not in MARKS:
            return True
        key = self._key(event)
        if key in self._seen:
            return False
        self._seen.add(key)
        self._ends += event.type == "workflow-finish"
        return True

    def _key(self, event: Event) -> tuple[object, ...]:
        step = event.current_step
        if step is not None:
            names = (repr(step.get("id")), repr(step.get("stepCallId")))
            self._last_step = (event.type, *names, event.event_timestamp)
            return self._last_step
        # A run that is suspended and resumed starts and finishes more than once, and these events
        # carry neither an id nor a time: what came before them tells them apart.
        return (event.type, self._ends if event.type == "workflow-start" else self._last_step)


def parse_record(record: bytes) -> Event:
    """One record, without its separator.

    Raises:
        NotMastraError: it is no JSON object.
    """
    try:
        data = json.loads(record)
        if isinstance(data, str):
            data = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise NotMastraError(f"A record of the stream is not JSON: {record[:80]!r}") from error
    if not isinstance(data, dict):
        raise NotMastraError(f"A record of the stream is not a JSON object: {record[:80]!r}")
    return _event(data)


def _event(data: Mapping[str, Any]) -> Event:
    kind = str(data.get("type", ""))
    payload = data.get("payload")
    if not isinstance(payload, dict):
        payload = {}
    return Event(
        type=kind,
        run_id=data.get("runId"),
        payload=payload,
        current_step=_current_step(kind, payload),
        workflow_state=_workflow_state(kind, payload),
        event_timestamp=_timestamp(data, payload),
    )


def _current_step(kind: str, payload: Mapping[str, Any]) -> Mapping[str, Any] | None:
    step = payload.get("currentStep")
    if isinstance(step, dict):
        return step
    return payload if "step" in kind and "id" in payload else None


def _workflow_state(kind: str, payload: Mapping[str, Any]) -> Mapping[str, Any] | None:
    state = payload.get("workflowState")
    if isinstance(state, dict):
        return state
    if kind != "workflow-finish":
        return None
    metadata = payload.get("metadata")
    if not isinstance(metadata, dict):
        metadata = {}
    return {
        "status": payload.get("workflowStatus"),
        "result": payload.get("finalWorkflowResult"),
        "error": metadata.get("errorMessage") or metadata.get("error"),
    }


def _timestamp(data: Mapping[str, Any], payload: Mapping[str, Any]) -> Any:
    for value in (
        data.get("eventTimestamp"),
        *(payload.get(key) for key in ("endedAt", "suspendedAt", "resumedAt", "startedAt")),
    ):
        if (moment := from_millis(value)) is not None:
            return moment
    return None
