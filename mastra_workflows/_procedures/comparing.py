"""Decide whether a run that was found under an id is the run of the work at hand."""

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
"""How far the server's clock may be behind that of the caller."""

MAX_PLACE = 80


def check_choices(on_other_input: OnOtherInput, started_after: datetime | None = None) -> None:
    """Raise a `ConfigurationError` for options that cannot work."""
    require_choice("on_other_input", on_other_input, get_args(OnOtherInput))
    require_aware(started_after=started_after)


def check_input_matches(
    server: Server, found: WorkflowRun, options: StartOptions, on_other_input: OnOtherInput
) -> Procedure[None]:
    """Compare the input of a call with that of the run that was found.

    Raises:
        RunMismatchError: they differ, with ``on_other_input="fail"``.
        InvalidDataError: the input of this call is not JSON.
    """
    given = as_stored(options.input_data)
    places = yield from different_places(
        server, found.workflow_id, given, found.payload, lambda known: known.input_schema
    )
    if not places:
        return
    text = f"{found}, and was started with other input. The inputs differ at {named(places)}."
    if on_other_input == "fail":
        raise RunMismatchError(
            f"{text} Nothing was started. Use another run id for other work, or set "
            "on_other_input='attach' to use this run with the input that it has.",
            found,
        )
    log.warning("%s The run keeps the input that it has.", text)


def different_places(
    server: Server,
    workflow_id: str,
    given: JSON,
    stored: JSON,
    schema_of: Callable[[WorkflowDetails], Mapping[str, Any] | None],
) -> Procedure[list[str]]:
    """Where data differ from what a record shows, as far as the workflow's schema proves it.

    Args:
        given: the data of this call, `as_stored`.
        stored: the data in the record.
        schema_of: the schema of the data, in the workflow's definition.

    Returns:
        As `differences`.
    """
    if given == stored:
        return []
    try:
        known = yield from details(server, workflow_id, max_age=DETAILS_AGE)
    except ApiError:  # nobody knows what the server made of the data
        return differences(given, stored, {})
    return differences(given, stored, schema_of(known))


def as_stored(data: JSON) -> JSON:
    """Data as a record that no schema has changed has it.

    Raises:
        InvalidDataError: it is not JSON.
    """
    return storable(json.loads(encode_json({} if data is None else data)))


def named(places: list[str]) -> str:
    """The places where data differ, as text for messages."""
    return ", ".join(safe_text(place, MAX_PLACE) for place in places)


def check_started_after(found: WorkflowRun, started_after: datetime | None) -> None:
    """Refuse a run that began before the work at hand did.

    Raises:
        RunMismatchError: the run began more than `CLOCK_SKEW` earlier.
    """
    began = _began_at(found)
    if started_after is None or began is None or began >= started_after - CLOCK_SKEW:
        return
    raise RunMismatchError(
        f"{found}. It began at {began.isoformat(timespec='seconds')}, but the work that asks for "
        f"it began at {started_after.isoformat(timespec='seconds')}: it is the run of other work, "
        "such as that of another deployment. Nothing was started, and the run was left as it is. "
        "Use another run id.",
        found,
    )


def _began_at(run: WorkflowRun) -> datetime | None:
    # Servers before 1.0 do not tell when a run was created, and some move the time at each write.
    moments = (run.created_at, *(step.started_at for step in run.steps))
    return min((moment for moment in moments if moment is not None), default=None)
