"""Mastra's schema strings to JSON Schema, and data checked against them.

A server describes its Zod schemas as JSON Schema strings. Zod is more lenient than that text in
some ways, which the check here follows so that it never refuses what the server would take:

- a field with a default may be left out, though 1.x lists it as required;
- a plain ``z.object`` drops fields that it does not know, though the text says
  ``additionalProperties: false``. Such fields are worth a warning, not an error;
- 19.99 is a multiple of 0.01 there, though it is not in floating point;
- a ``pattern`` may be one that Python cannot read. It is left to the server.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

from jsonschema import ValidationError
from jsonschema.exceptions import SchemaError, best_match
from jsonschema.protocols import Validator
from jsonschema.validators import extend, validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable

from mastra_workflows.models import JSON
from mastra_workflows.text import decode

MAX_SHOWN = 120


def parse_schema(text: object) -> dict[str, Any] | None:
    """A schema as a server sends it: a JSON string, shaped ``{"json": {...}}``.

    Returns:
        The JSON Schema; None where there is none, or none that can be read.
    """
    if isinstance(text, str):
        try:
            text = decode(text)
        except ValueError:
            return None
    if isinstance(text, dict) and isinstance(text.get("json"), dict):
        text = text["json"]
    return text if isinstance(text, dict) and text else None


def problems(schema: Mapping[str, Any], data: JSON) -> list[str]:
    """What the server would refuse in ``data``: one line each, such as ``$.city: required``."""
    errors = _errors(schema, data, keep_closed=False)
    return sorted({line for error in errors for line in _say(error)})


def unknown_fields(schema: Mapping[str, Any], data: JSON) -> list[str]:
    """Where ``data`` has fields that the schema does not know and the server may drop."""
    errors = _errors(schema, data, keep_closed=True)
    return sorted(
        {
            line
            for error in errors
            if error.validator == "additionalProperties"
            for line in _say(error)
        }
    )


def is_readable(schema: Mapping[str, Any]) -> bool:
    """Whether it is a JSON Schema at all."""
    try:
        _validator(json.dumps(schema), keep_closed=False)
    except (SchemaError, RecursionError):
        return False
    return True


def portable(rule: Mapping[str, Any]) -> dict[str, Any]:
    """A rule without what another JSON Schema library would read otherwise than the server does."""
    return {
        key: portable(value) if isinstance(value, Mapping) else value
        for key, value in rule.items()
        if not (key == "pattern" and not _compiles(value))
        and not (key == "multipleOf" and isinstance(value, float))
    }


def _errors(schema: Mapping[str, Any], data: JSON, *, keep_closed: bool) -> list[ValidationError]:
    try:
        validator = _validator(json.dumps(schema), keep_closed)
        return list(validator.iter_errors(_as_sent(data)))
    except (SchemaError, Unresolvable, RecursionError):
        return []  # the server knows better than a schema that we cannot read


@lru_cache(maxsize=256)
def _validator(schema_text: str, keep_closed: bool) -> Validator:
    """Made once for each schema: checking a schema takes longer than checking data by it."""
    schema = _lenient(json.loads(schema_text), keep_closed=keep_closed)
    standard = validator_for(schema)
    standard.check_schema(schema)
    kind: type[Validator] = extend(standard, {"multipleOf": _multiple_of})  # type: ignore[no-untyped-call]
    # An empty registry: nothing that a schema refers to elsewhere is fetched.
    return kind(schema, registry=Registry())


def _multiple_of(
    validator: Validator, step: float, value: JSON, _schema: object
) -> Iterator[ValidationError]:
    if not validator.is_type(value, "number"):
        return
    try:
        is_multiple = Decimal(str(value)) % Decimal(str(step)) == 0
    except InvalidOperation:  # more digits than can be told apart
        is_multiple = True
    if not is_multiple:
        yield ValidationError(f"not a multiple of {step}")


def _as_sent(data: JSON) -> JSON:
    """Data as the server gets it: a tuple is a list there, and every key a text."""
    try:
        return json.loads(json.dumps(data))
    except (TypeError, ValueError, RecursionError):
        return data  # no JSON; the request that would carry it says so


def _lenient(schema: Any, *, keep_closed: bool) -> Any:
    if isinstance(schema, list):
        return [_lenient(item, keep_closed=keep_closed) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    properties = schema.get("properties")
    with_default = (
        {name for name, rule in properties.items() if isinstance(rule, dict) and "default" in rule}
        if isinstance(properties, Mapping)
        else set()
    )
    result: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "required" and isinstance(value, list):
            result[key] = [name for name in value if name not in with_default]
        elif key == "additionalProperties" and value is False and not keep_closed:
            continue
        elif key == "pattern" and not _compiles(value):
            continue  # JavaScript's expressions know things that Python's do not
        elif key in ("const", "enum", "default", "examples"):
            result[key] = value  # data, not schemas
        elif key == "properties" and isinstance(value, Mapping):
            result[key] = {
                name: _lenient(rule, keep_closed=keep_closed) for name, rule in value.items()
            }
        else:
            result[key] = _lenient(value, keep_closed=keep_closed)
    return result


def _compiles(pattern: object) -> bool:
    try:
        return bool(re.compile(pattern)) if isinstance(pattern, str) else True
    except re.error:
        return False


def _say(error: ValidationError) -> list[str]:
    # The data itself stays out of the text, which ends in logs: it may hold what nobody should see.
    place = _place(error.absolute_path)
    rule: Any = error.validator_value
    if error.validator == "required" and isinstance(error.instance, Mapping):
        missing = [name for name in rule if name not in error.instance]
        return [f"{_place([*error.absolute_path, name])}: required" for name in missing]
    if error.validator == "additionalProperties" and isinstance(error.instance, Mapping):
        known = (error.schema.get("properties") or {}) if isinstance(error.schema, dict) else {}
        return [
            f"{_place([*error.absolute_path, name])}: not in the schema"
            for name in error.instance
            if name not in known
        ]
    if error.validator == "type":
        wanted = rule if isinstance(rule, str) else " or ".join(rule)
        return [f"{place}: {_kind(error.instance)} where {wanted} is wanted"]
    if error.validator == "enum":
        return [f"{place}: not one of {_short(rule)}"]
    if error.validator in ("anyOf", "oneOf"):
        nearest = best_match([error])
        if nearest is not None and nearest is not error:
            return [f"{place}: fits no variant; the nearest fails: {', '.join(_say(nearest))}"]
    return [f"{place}: breaks the rule {error.validator} {_short(rule)}"]


def _place(path: Any) -> str:
    text = "$"
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif isinstance(part, str) and part.isidentifier():
            text += f".{part}"
        else:
            text += f"[{json.dumps(part, ensure_ascii=False, default=str)}]"
    return text


def _kind(value: JSON) -> str:
    if value is None:
        return "null"
    for kind, name in (
        (bool, "boolean"),
        (int, "integer"),
        (float, "number"),
        (str, "string"),
        (list, "array"),
        (dict, "object"),
    ):
        if isinstance(value, kind):
            return name
    return type(value).__name__


def _short(value: JSON) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…"
