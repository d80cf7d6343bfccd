"""Detect whether a suspended step is being resumed right now.

Current servers write a resume to the run's record only when the resumed part has finished or
suspends again, which may take hours. Until then the record reads ``running`` with the step still
suspended (1.71, and the event-driven engine), or shows no sign of the resume at all (1.57, which
would execute the step a second time if resumed again). The run's event stream shows the resume at
once.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from mastra_workflows import _api as api
from mastra_workflows._api import ServerGeneration
from mastra_workflows._models import JSON, Event, Suspension
from mastra_workflows._procedures._effects import Listen, Procedure, Server, StreamResult
from mastra_workflows._procedures.reading import generation
from mastra_workflows._stream import OUTPUT
from mastra_workflows.errors import BodyTooLargeError, ConnectionFailedError, NotMastraError

log = logging.getLogger(__name__)

FIRST_SECONDS = 5.0
"""The maximum time until the first event of a stream."""

SILENT_SECONDS = 1.0
"""The silence after which a stream is considered to have replayed all past events."""

MAX_SECONDS = 20.0
MAX_BYTES = 16 * 1024 * 1024
"""The maximum number of bytes and seconds that a stream is read."""

FOLLOW_SECONDS = 5.0
"""The poll interval for a step that executes although its record does not show it."""

CLAIMING = (1, 71)
"""The first version whose record of a run reads ``running`` as soon as a step is resumed."""


@dataclass(frozen=True, slots=True)
class Resumption:
    """A step that executes after a resume, according to the event stream.

    Attributes:
        suspension: the suspension that the record still shows.
        payload: the resume data; None if the stream does not show it.
    """

    suspension: Suspension
    payload: JSON


def shown_at_once(server: Server) -> Procedure[bool]:
    """Return whether a record reads ``running`` as soon as a step is resumed."""
    if (yield from generation(server)) is ServerGeneration.V0:
        return True
    version = server.known.version
    return version is not None and version >= CLAIMING


def find_resumption(
    server: Server, workflow_id: str, run_id: str, suspension: Suspension, *, must_live: bool
) -> Procedure[Resumption | None]:
    """Return the resume of a step that the record shows as suspended, if there is one.

    Args:
        must_live: whether the server must still execute the step. Required if the record does not
            show that the run is active: a stored stream may outlive the process that executed the
            run.

    Returns:
        None if the event stream does not show a resume. That does not prove that there is none: the
        stream is empty on another replica, and for a run that was resumed without a stream.
    """
    found: Event | None = None
    read_bytes = 0

    def note(event: Event) -> bool:
        nonlocal found
        if found is None and is_resumption(event, suspension):
            found = event
        return found is not None and not must_live

    def affords(size: int) -> bool:
        nonlocal read_bytes
        read_bytes += size
        return read_bytes <= MAX_BYTES

    try:
        heard: StreamResult = yield Listen(
            api.observe(workflow_id, run_id),
            note,
            MAX_SECONDS,
            first_within=FIRST_SECONDS,
            silent_within=SILENT_SECONDS,
            affords=affords,
            passes_over=OUTPUT,
        )
    except (ConnectionFailedError, NotMastraError, BodyTooLargeError) as error:
        log.debug("Run %r: event stream failed: %s", run_id, error)
        return None
    if found is None or (must_live and heard.ended):
        return None
    step = api.step_of(found)
    return Resumption(suspension, step and step.resume_payload)


def executing(
    server: Server, workflow_id: str, run_id: str, suspension: Suspension
) -> Procedure[Resumption | None]:
    """Return the resume of a step that executes although the record reads ``suspended``, if any."""
    if (yield from shown_at_once(server)):
        return None
    return (yield from find_resumption(server, workflow_id, run_id, suspension, must_live=True))


def is_resumption(event: Event, suspension: Suspension) -> bool:
    """Return whether an event shows that a step began to execute after its suspension."""
    step = api.step_of(event)
    if event.type != "workflow-step-start" or step is None or suspension.suspended_at is None:
        return False
    if step.path != (".".join(suspension.step),):
        return False
    if step.resumed_at is not None:
        return step.resumed_at >= suspension.suspended_at
    # The event-driven engine starts the step anew, and does not report the resume data.
    return step.started_at is not None and step.started_at > suspension.suspended_at
