"""Decode the bytes of a Mastra stream to events, at any chunk boundary. No I/O.

A record is a JSON document, followed by ``\\x1e``. The ``/watch`` stream of 0.x wraps each document
in a JSON string once more. Servers 1.0 to 1.4 end with a line ``data: [DONE]`` that is not a
record.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from mastra_workflows._models import MAX_NAME, Event, from_millis
from mastra_workflows._text import LARGE, decode, safe_text, storable
from mastra_workflows.errors import BodyTooLargeError, NotMastraError

log = logging.getLogger(__name__)

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
"""The events that mark the progress of a run. Each of them is unique."""


OUTPUT = frozenset({"workflow-step-output", "workflow-step-progress"})
"""Events with output of a running step, such as thousands of text chunks."""

_TYPE = re.compile(rb'\s*\{"type":"([a-z-]+)"')
MAX_SHOWN = 100
HEAD_BYTES = 64
"""The number of bytes of a record that suffice to read its type."""


class Decoder:
    """Decodes the bytes of a stream incrementally, and yields complete events.

    Args:
        max_record_bytes: the maximum size of a record; a larger one is an error.
        passes_over: types of records to skip; they are neither parsed nor buffered.
        run_id: the requested run. Workflow events of another run are dropped. Other events, such as
            those of an agent in a step, may have any run id.
    """

    def __init__(
        self,
        *,
        max_record_bytes: int,
        passes_over: frozenset[str] = frozenset(),
        run_id: str | None = None,
    ) -> None:
        self._max = max_record_bytes
        self._run_id = run_id
        self._has_foreign = False
        self._passes_over = frozenset(name.encode() for name in passes_over)
        self._tail = bytearray()
        self._searched = 0  # how much of the tail contains no separator
        self._is_passing = False

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """Yield the events that ``chunk`` completes.

        Raises:
            NotMastraError: a record is not a JSON object.
            BodyTooLargeError: a record exceeds the limit.
        """
        self._tail += chunk
        while (end := self._tail.find(SEPARATOR, self._searched)) >= 0:
            record = bytes(self._tail[:end])
            del self._tail[: end + 1]
            self._searched = 0
            if self._is_passing or self._is_unwanted(record):
                self._is_passing = False
                continue
            self._check_size(record)
            if not record.strip():
                # A chunk may have many empty records.
                self._tail = self._tail.lstrip(SEPARATOR + b" \t\r\n")
            elif not self._is_foreign(event := parse_record(record)):
                yield event
        if not self._is_passing and len(self._tail) >= HEAD_BYTES:
            self._is_passing = self._is_unwanted(self._tail)
        if self._is_passing:
            self._tail.clear()
        self._searched = len(self._tail)
        self._check_size(self._tail)

    def _is_unwanted(self, record: bytes | bytearray) -> bool:
        if not self._passes_over:
            return False
        kind = _TYPE.match(record)
        return kind is not None and kind[1] in self._passes_over

    def _is_foreign(self, event: Event) -> bool:
        if self._run_id is None or event.run_id in (None, self._run_id, storable(self._run_id)):
            return False
        if event.type not in MARKS | {"watch"}:
            return False
        if not self._has_foreign:
            self._has_foreign = True
            log.warning(
                "The event stream of run %r holds events of run %r, which are ignored.",
                self._run_id,
                safe_text(event.run_id, MAX_NAME),
            )
        return True

    def _check_size(self, record: bytes | bytearray) -> None:
        if len(record) > self._max:
            raise BodyTooLargeError(
                f"A record of the stream is over {self._max} bytes; max_body_bytes sets the limit."
            )

    @property
    def buffered(self) -> int:
        """The number of buffered bytes of an incomplete record."""
        return len(self._tail)

    @property
    def is_cut(self) -> bool:
        """Whether the bytes so far end inside a record; at the end of a stream, it was cut."""
        rest = bytes(self._tail).strip()
        return self._is_passing or (bool(rest) and rest != DONE)


class EventDeduplicator:
    """Filters out duplicate events across all streams of one run.

    `/observe` replays past events, often twice, and a reopened stream begins again. Events that
    mark the progress of a step or the run have an identity. The output of a step has none and may
    repeat itself, so it is identified by its position after the last mark. The ``workflow-start``
    of a resumed run is distinguished from the start of a replay by the event that follows.

    Args:
        after: drop replayed events up to this time: those of rounds before the one that the first
            stream showed. None to yield all of them.
    """

    def __init__(self, after: datetime | None = None) -> None:
        self._after = after
        self._is_before = False
        self._seen: set[int] = set()
        self._mark = 0  # a hash, since it includes the previous mark and would nest without end
        self._after_mark = 0
        self._start: Event | None = None

    def expect_replay(self) -> None:
        """Expect another stream next, which begins with all past events."""
        self._is_before = self._after is not None

    def feed(self, event: Event) -> Iterator[Event]:
        """Yield the new events after a received event: none, the event, or a start before it."""
        if event.type == "workflow-start":
            self._start = event
            return
        start, self._start = self._start, None
        key = self._key(event)
        if key in self._seen or self._is_after(event):
            self._is_before = False  # the following events may have no time
        if key in self._seen or self._is_before:
            return
        self._seen.add(key)
        if start is not None:
            yield start
        yield event

    def _is_after(self, event: Event) -> bool:
        moment = event.event_timestamp
        return self._after is not None and moment is not None and moment > self._after

    def _key(self, event: Event) -> int:
        step = event.current_step
        if event.type not in MARKS and event.type != "watch":
            self._after_mark += 1
            return hash((self._mark, self._after_mark))
        self._after_mark = 0
        if step is None:
            # A resumed run finishes more than once, and these events have neither an id nor a time:
            # the preceding events distinguish them.
            self._mark = hash((event.type, event.event_timestamp, self._mark))
        else:
            names = (repr(step.get(word)) for word in ("id", "stepCallId", "status"))
            self._mark = hash((event.type, *names, event.event_timestamp))
        return self._mark


def parse_record(record: bytes) -> Event:
    """Parse one record, without its separator.

    Raises:
        NotMastraError: the record is not a JSON object.
    """
    try:
        data = decode(record)
        if isinstance(data, str):
            data = decode(data)
    except ValueError as error:
        raise NotMastraError(f"A record of the stream is not JSON: {_start(record)}") from error
    if not isinstance(data, dict):
        raise NotMastraError(f"A record of the stream is not a JSON object: {_start(record)}")
    return _event(data)


def _start(record: bytes) -> str:
    return safe_text(record[:LARGE].decode(errors="replace"), MAX_SHOWN)


def _event(data: Mapping[str, Any]) -> Event:
    kind, run_id = data.get("type"), data.get("runId")
    if not isinstance(kind, str):
        kind = ""
    payload = data.get("payload")
    if not isinstance(payload, dict):
        payload = {}
    return Event(
        type=kind,
        run_id=run_id if isinstance(run_id, str) else None,
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


def _timestamp(data: Mapping[str, Any], payload: Mapping[str, Any]) -> datetime | None:
    if (moment := from_millis(data.get("eventTimestamp"))) is not None:
        return moment
    # The start event of a resumed step also contains the time of its suspension.
    keys = ("startedAt", "suspendedAt", "resumedAt", "endedAt")
    moments = (from_millis(payload.get(key)) for key in keys)
    return max((moment for moment in moments if moment is not None), default=None)
