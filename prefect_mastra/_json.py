"""Convert callers' data to JSON values: Pydantic models, dataclasses, dates and others.

The conversion precedes the derivation of a run id, so that every attempt derives the same id.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import uuid
from collections.abc import Mapping
from typing import Any, cast

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from mastra_workflows import JSON
from mastra_workflows.errors import InvalidDataError
from mastra_workflows.integration import StartArguments

SCALARS = (datetime.date, datetime.time, decimal.Decimal, uuid.UUID)
"""Types with one standard text form. `datetime.datetime` is a subclass of `datetime.date`."""


def start_arguments(
    *,
    input_data: Any,
    initial_state: Any = None,
    request_context: Any = None,
    tracing_options: Any = None,
    resource_id: str | None = None,
) -> StartArguments:
    """Return the arguments that start a run, as JSON values.

    Raises:
        InvalidDataError: the data is nested too deeply or contains itself.
    """
    return {
        "input_data": as_json(input_data),
        "initial_state": as_json(initial_state),
        "request_context": as_json(request_context),
        "tracing_options": as_json(tracing_options),
        "resource_id": resource_id,
    }


def as_json(value: Any) -> JSON:
    """Convert models, dataclasses, enums, dates, decimals and UUIDs in a value to JSON values.

    Other types stay unchanged, so that the client rejects them: a set has no stable order, and a
    secret would be serialised as asterisks.

    Raises:
        InvalidDataError: the value is nested too deeply or contains itself.
    """
    try:
        return _convert(value)
    except RecursionError as error:
        raise InvalidDataError("The data is not valid JSON: it is nested too deeply.") from error


def _convert(value: Any) -> Any:
    match value:
        case enum.Enum():
            return _convert(value.value)
        case None | str() | int() | float():
            return value
        case BaseModel():
            return _convert(value.model_dump(by_alias=True))
        case Mapping():
            return {_convert(name): _convert(item) for name, item in value.items()}
        case list() | tuple():
            return [_convert(item) for item in value]
        case _ if isinstance(value, SCALARS):
            return to_jsonable_python(value)
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = dataclasses.fields(cast(Any, value))
            return {field.name: _convert(getattr(value, field.name)) for field in fields}
    return value
