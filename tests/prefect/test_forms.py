"""Test which responses Prefect's server accepts for a form generated from a resume schema."""

from __future__ import annotations

from prefect.utilities.schema_tools.validation import validate

from mastra_workflows import Suspension
from mastra_workflows.hitl import PendingRequest
from prefect_mastra.hitl._response_loop import _form


def test_a_time_of_day_needs_no_zone() -> None:
    """Mastra's validators refuse one, which the format of JSON Schema wants."""
    schema = {"type": "object", "properties": {"at": {"type": "string", "format": "time"}}}
    pending_request = PendingRequest("plan", "run-1", Suspension(("when",), resume_schema=schema))
    form = _form(pending_request, 1, [])
    assert not validate({"at": "09:30:00"}, form.schema)
    assert validate({"at": 9}, form.schema)
    assert pending_request.form.to_resume_data({"at": "09:30:00"}) == {"at": "09:30:00"}
