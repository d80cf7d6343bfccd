"""Decide whether the run that exists under an id belongs to the work at hand."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, get_args

from mastra_workflows._api import StartOptions, encode_json
from mastra_workflows._arguments import require_aware
from mastra_workflows._inputs import differences
from mastra_workflows._models import JSON, WorkflowDetails, WorkflowRun
from mastra_workflows._options import OnOtherInput
from mastra_workflows._policy import require_choice
from mastra_workflows._procedures._effects import Procedure, Server
from mastra_workflows._procedures.reading import DETAILS_AGE, details
from mastra_workflows._text import safe_text, storable
from mastra_workflows.errors import ApiError, RunMismatchError

log = logging.getLogger(__name__)

CLOCK_SKEW = timedelta(seconds=60)
"""How far the server's clock may be behind the caller's."""

MAX_PLACE = 80


def check_choices(on_other_input: OnOtherInput, started_after: datetime | None = None) -> None:
    """Raise a `ConfigurationError` if an option is invalid."""
    require_choice("on_other_input", on_other_input, get_args(OnOtherInput))
    require_aware(started_after=started_after)


def check_input_matches(
    server: Server, found: WorkflowRun, options: StartOptions, on_other_input: OnOtherInput
) -> Procedure[None]:
    """Compare the input of a call with that of an existing run.

    Raises:
        RunMismatchError: the inputs differ, with ``on_other_input="fail"``.
        InvalidDataError: the input of this call cannot be serialised as JSON.
    """
    given = as_stored(options.input_data)
    places = yield from different_places(
        server, found.workflow_id, given, found.payload, lambda known: known.input_schema
    )
    if not places:
        return
    text = f"{found}. It was started with other input; the inputs differ at {named(places)}."
    if on_other_input == "fail":
        raise RunMismatchError(
            f"{text} Nothing was started. Use another run id for other work, or set "
            "on_other_input='attach' to attach to this run with its own input.",
            found,
        )
    log.warning("%s The run keeps its own input.", text)


def different_places(
    server: Server,
    workflow_id: str,
    given: JSON,
    stored: JSON,
    schema_of: Callable[[WorkflowDetails], Mapping[str, Any] | None],
) -> Procedure[list[str]]:
    """Return where data differ from a record, as far as the workflow's schema proves it.

    Args:
        given: the data of this call, `as_stored`.
        stored: the data in the record.
        schema_of: selects the schema of the data from the workflow's definition.

    Returns:
        The differing places; see `differences`.
    """
    if given == stored:
        return []
    try:
        known = yield from details(server, workflow_id, max_age=DETAILS_AGE)
    except ApiError:  # it is unknown how the server converted the data
        return differences(given, stored, {})
    return differences(given, stored, schema_of(known))


def as_stored(data: JSON) -> JSON:
    """Return data as a record contains it, if no schema has changed it.

    Raises:
        InvalidDataError: the data cannot be serialised as JSON.
    """
    return storable(json.loads(encode_json({} if data is None else data)))


def named(places: list[str]) -> str:
    """Join the differing places as text for messages."""
    return ", ".join(safe_text(place, MAX_PLACE) for place in places)


def check_started_after(found: WorkflowRun, started_after: datetime | None) -> None:
    """Refuse a run that began before the work at hand.

    Raises:
        RunMismatchError: the run began more than `CLOCK_SKEW` too early.
    """
    began = _began_at(found)
    if started_after is None or began is None or began >= started_after - CLOCK_SKEW:
        return
    raise RunMismatchError(
        f"{found}. It began at {began.isoformat(timespec='seconds')}, before this work "
        f"({started_after.isoformat(timespec='seconds')}). It belongs to other work, for example "
        "of another deployment. Nothing was started, and the run is unchanged. Use another run id.",
        found,
    )


def _began_at(run: WorkflowRun) -> datetime | None:
    # Servers before 1.0 do not report when a run was created, and some change the time at each
    # write.
    moments = (run.created_at, *(step.started_at for step in run.steps))
    return min((moment for moment in moments if moment is not None), default=None)
