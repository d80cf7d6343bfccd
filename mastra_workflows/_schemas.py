"""Parse Mastra's schema strings to JSON Schema, and validate data against them.

A server describes its Zod schemas as JSON Schema strings. Zod is more lenient than these strings in
some ways. The validation here follows Zod, so that it never refuses data that the server would
accept:

- A field with a default may be left out, though 1.x lists it as required.
- A plain ``z.object`` drops unknown fields, though the string says ``additionalProperties: false``.
  Such fields cause a warning, not an error.
- In Zod, 19.99 is a multiple of 0.01, though it is not in floating point.
- A ``pattern`` may be one that only JavaScript supports. The server validates that.
- ``z.coerce`` and ``z.preprocess`` convert a value before it is validated, and the string does not
  contain them. So `check` separates certain errors from possible ones.

Schemas come from the server, so the size of a schema and the work of one validation are bounded.
Beyond these bounds nothing is validated here.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from mastra_workflows._models import JSON
from mastra_workflows._patterns import MAX_SUBJECT, read_pattern
from mastra_workflows._text import decode, safe_text

# jsonschema is imported on use: a scheduler that parses a DAG file validates no data.
if TYPE_CHECKING:
    from jsonschema import ValidationError
    from jsonschema.protocols import Validator

log = logging.getLogger(__name__)

MAX_SHOWN = 120
MAX_LINE = 300
MAX_PROBLEMS = 50
"""The maximum length of the line about an error, and the maximum number of lines about one
value."""

MAX_ERRORS = 500
"""The maximum number of errors to collect; each passes through all enclosing rules."""

MAX_SCHEMA_CHARACTERS = 500_000
MAX_SCHEMA_VALUES = 5_000
MAX_SCHEMA_DEPTH = 60
"""The limits of a schema: the length of its text, the number of its values, and their nesting
depth."""

REFERENCE_WORK = 10
"""The work of resolving a reference, as a number of rules."""

MAX_WORK = 100_000
"""The maximum number of rules to apply in one validation, about a second of work. A list of choices
counts by its length."""

PATTERN_WORK = 200
"""The work of compiling a pattern, as a number of rules."""

STEPS_PER_RULE = 400
"""The number of steps of a pattern that take as long as one rule."""


def parse_schema(text: object) -> dict[str, Any] | None:
    """Parse a schema as a server sends it: a JSON string, shaped ``{"json": {...}}``.

    Returns:
        The JSON Schema; None if there is none, or if it exceeds the limits.
    """
    if isinstance(text, str):
        if len(text) > MAX_SCHEMA_CHARACTERS:
            _warn(f"it has {len(text):,} characters")
            return None
        try:
            text = decode(text)
        except ValueError:
            _warn("it is not valid JSON, or nested too deep")
            return None
    if isinstance(text, dict) and isinstance(text.get("json"), dict):
        text = text["json"]
    if not isinstance(text, dict) or not text:
        return None
    if not _is_small(text):
        _warn(f"it has over {MAX_SCHEMA_VALUES:,} values, or is over {MAX_SCHEMA_DEPTH} deep")
        return None
    return text


@lru_cache(maxsize=1024)  # schemas are parsed repeatedly, but logged once
def _warn(reason: str) -> None:
    log.warning(
        "A JSON Schema of a workflow is ignored: %s. Only the server validates the data, and forms "
        "accept a response as JSON.",
        reason,
    )


def _is_small(schema: Mapping[str, Any]) -> bool:
    left = MAX_SCHEMA_VALUES
    level: list[Any] = [schema]
    for _ in range(MAX_SCHEMA_DEPTH):
        left -= len(level)
        if left < 0:
            return False
        parts = (
            value.values() if isinstance(value, Mapping) else value
            for value in level
            if isinstance(value, Mapping | list)
        )
        level = list(islice((part for each in parts for part in each), left + 1))
        if not level:
            return True
    return False


class Findings(NamedTuple):
    """The validation errors of data; one line each, such as ``$.city: required``.

    Attributes:
        refused: errors that make the server refuse the data.
        doubtful: errors that make the server refuse the data unless its schema converts the value
            first, by ``z.coerce`` or ``z.preprocess``.
    """

    refused: list[str]
    doubtful: list[str]


def check(schema: Mapping[str, Any], data: JSON) -> Findings:
    """Validate data to be sent; separate certain errors from possible ones."""
    errors = _errors(schema, data, keep_closed=False)
    refused = _lines(error for error in errors if _is_certain(error))
    doubtful = _lines(error for error in errors if not _is_certain(error))
    return Findings(refused, doubtful)


def validation_errors(schema: Mapping[str, Any], data: JSON) -> list[str]:
    """Return all errors of ``data`` by the schema as written: one line each, as in `Findings`."""
    return _lines(_errors(schema, data, keep_closed=False))


def unknown_fields(schema: Mapping[str, Any], data: JSON) -> list[str]:
    """Return the fields of ``data`` that are not in the schema and that the server may drop."""
    errors = _errors(schema, data, keep_closed=True)
    return _lines(error for error in errors if error.validator == "additionalProperties")


def is_readable(schema: Mapping[str, Any]) -> bool:
    """Return whether a value is a valid JSON Schema within the limits."""
    return _validator_of(schema, keep_closed=False) is not None


def _lines(errors: Iterable[ValidationError]) -> list[str]:
    lines = sorted({safe_text(line, MAX_LINE) for error in errors for line in _say(error)})
    more = len(lines) - MAX_PROBLEMS
    return [*lines[:MAX_PROBLEMS], f"… and {more:,} more"] if more > 0 else lines


def _is_certain(error: ValidationError) -> bool:
    """Return whether no coercion can help: a field is missing, or an object is.

    A text may be parsed into an object, and null replaced by one. A single value may become a list
    of one. Any value may be converted to a scalar that the rules for it allow.
    """
    if error.validator == "required":
        return True
    if error.validator == "type":
        is_plain = isinstance(error.instance, bool | int | float | list)
        return error.validator_value == "object" and is_plain
    if error.validator in ("anyOf", "oneOf"):
        variants: dict[Any, bool] = {}
        for part in error.context or ():
            index = part.schema_path[0] if part.schema_path else None
            variants[index] = variants.get(index, False) or _is_certain(part)
        return bool(variants) and all(variants.values())
    return False


def _errors(schema: Mapping[str, Any], data: JSON, *, keep_closed: bool) -> list[ValidationError]:
    validator = _validator_of(schema, keep_closed=keep_closed)
    if validator is None:
        return []  # the server validates by a schema that is not usable here
    _work.begin()
    try:
        return list(islice(validator.iter_errors(_as_sent(data)), MAX_ERRORS))
    except _TooMuchWorkError:
        log.debug("Data was not validated: its JSON Schema takes too long.")
    except Exception as error:  # a reference can lead to an invalid rule, with any exception
        log.debug(
            "Data was not validated: its JSON Schema is not usable (%s).", type(error).__name__
        )
    return []


class _TooMuchWorkError(Exception):
    """A validation exceeds its work limit."""


class _Work(threading.local):
    """The remaining work of a validation, for each thread."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Begin a validation."""
        self.left = MAX_WORK
        self.patterns: set[str] = set()

    def spend(self, work: int) -> None:
        """Count the application of a rule.

        Raises:
            _TooMuchWorkError: the limit is exceeded.
        """
        self.left -= work
        if self.left < 0:
            raise _TooMuchWorkError

    def spend_pattern(self, pattern: str) -> None:
        """Count the compilation of a pattern, once in a validation.

        Raises:
            _TooMuchWorkError: the limit is exceeded.
        """
        if pattern not in self.patterns:
            self.patterns.add(pattern)
            self.spend(PATTERN_WORK)


_work = _Work()


def _validator_of(schema: Mapping[str, Any], *, keep_closed: bool) -> Validator | None:
    try:
        text = json.dumps(schema)
    except (TypeError, ValueError, RecursionError):
        return None
    return _validator(text, keep_closed)


@lru_cache(maxsize=256)
def _validator(schema_text: str, keep_closed: bool) -> Validator | None:
    """Create the validator of a schema; cached, since validating a schema is slower than data.

    Returns:
        None for a schema that is invalid or too large.
    """
    from jsonschema import Draft202012Validator
    from jsonschema.validators import validator_for
    from referencing import Registry

    schema = parse_schema({"json": json.loads(schema_text)})
    if schema is None:
        return None if schema_text != "{}" else Draft202012Validator({})
    try:
        rules = _lenient(schema, keep_closed=keep_closed)
        standard: Any = validator_for(rules, default=Draft202012Validator)
        standard.check_schema(rules, format_checker=None)  # patterns are JavaScript's, not Python's
        # An empty registry: no external reference is fetched.
        return _bounded(standard)(rules, registry=Registry())
    except Exception as error:  # any exception, for ``$schema: 5`` and the like
        log.debug("A workflow's JSON Schema is not valid (%s).", type(error).__name__)
        return None


Rule: TypeAlias = Callable[[Any, Any, Any, Any], "Iterator[ValidationError] | None"]


@lru_cache(maxsize=16)
def _bounded(standard: type[Validator]) -> type[Validator]:
    """Create a validator class that follows Zod where it is more lenient, and counts its work."""
    from jsonschema.validators import extend

    own: dict[str, Rule] = {
        "multipleOf": _multiple_of,
        "pattern": _pattern,
        "uniqueItems": _unique_items,
    }
    rules = {
        name: _counted(own.get(name) or rule, REFERENCE_WORK if name == "$ref" else 1)
        for name, rule in standard.VALIDATORS.items()
        if rule is not None
        and name not in ("unevaluatedItems", "unevaluatedProperties")  # their work is not counted
    }
    kind: type[Validator] = extend(standard, rules)  # type: ignore[no-untyped-call]
    return kind


def _counted(rule: Rule, work: int) -> Rule:
    def counted(
        validator: Any, value: Any, data: Any, schema: Any
    ) -> Iterator[ValidationError] | None:
        _work.spend(work + (len(value) if isinstance(value, list | dict) else 0))
        return rule(validator, value, data, schema)

    return counted


def _pattern(
    validator: Validator, pattern: str, value: JSON, _schema: object
) -> Iterator[ValidationError]:
    if not validator.is_type(value, "string") or len(value) > MAX_SUBJECT:
        return
    _work.spend_pattern(pattern)
    readable = read_pattern(pattern)
    if readable is None:
        return
    _work.spend(readable.cost(value) // STEPS_PER_RULE)
    if not readable.fits(value):
        from jsonschema import ValidationError

        yield ValidationError(f"does not match {pattern}")


def _unique_items(
    validator: Validator, is_wanted: bool, value: JSON, _schema: object
) -> Iterator[ValidationError]:
    if is_wanted and validator.is_type(value, "array"):
        different = {json.dumps(item, sort_keys=True, default=str) for item in value}
        if len(different) < len(value):
            from jsonschema import ValidationError

            yield ValidationError("items are not unique")


def _multiple_of(
    validator: Validator, step: float, value: JSON, _schema: object
) -> Iterator[ValidationError]:
    if not validator.is_type(value, "number"):
        return
    try:
        is_multiple = Decimal(str(value)) % Decimal(str(step)) == 0
    except InvalidOperation:  # more digits than the precision of Decimal
        is_multiple = True
    if not is_multiple:
        from jsonschema import ValidationError

        yield ValidationError(f"not a multiple of {step}")


def _as_sent(data: JSON) -> JSON:
    """Return data as the server receives it: tuples become lists, and keys become texts."""
    try:
        return json.loads(json.dumps(data))
    except (TypeError, ValueError, RecursionError):
        return data  # not JSON; encoding the request raises the error


IGNORED = frozenset({"$id", "id", "unevaluatedItems", "unevaluatedProperties"})
"""Keywords that no Zod schema contains. They would make the validation depend on URLs, or on work
that is not bounded."""


def _lenient(schema: Any, *, keep_closed: bool, is_root: bool = True) -> Any:
    def inner(part: Any) -> Any:
        return _lenient(part, keep_closed=keep_closed, is_root=False)

    if isinstance(schema, list):
        return [inner(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    properties = schema.get("properties")
    with_default = (
        {name for name, rule in properties.items() if isinstance(rule, dict) and "default" in rule}
        if isinstance(properties, Mapping)
        else set()
    )
    left_out = IGNORED if is_root else IGNORED | {"$schema"}
    if not keep_closed and schema.get("additionalProperties") is False:
        left_out |= {"additionalProperties"}
    if "patternProperties" in schema:
        left_out |= {"patternProperties", "additionalProperties"}
    result: dict[str, Any] = {}
    for key, value in schema.items():
        if key in left_out:
            continue
        if key == "required" and isinstance(value, list):
            result[key] = [
                name for name in value if not (isinstance(name, str) and name in with_default)
            ]
        elif key in ("const", "enum", "default", "examples"):
            result[key] = value  # data, not schemas
        elif key in NAMED and isinstance(value, Mapping):
            result[key] = {name: inner(rule) for name, rule in value.items()}
        else:
            result[key] = inner(value)
    return result


NAMED = frozenset({"properties", "$defs", "definitions", "dependentSchemas"})
"""Keywords whose value is not a schema but maps arbitrary names to schemas."""


def _say(error: ValidationError) -> list[str]:
    # The text ends up in logs, so it does not contain the data, which may be confidential.
    place = _place(error.absolute_path)
    rule: Any = error.validator_value
    if error.validator == "required" and isinstance(error.instance, Mapping):
        missing = [name for name in rule if name not in error.instance][: MAX_PROBLEMS + 1]
        return [f"{_place([*error.absolute_path, name])}: required" for name in missing]
    if error.validator == "additionalProperties" and isinstance(error.instance, Mapping):
        known = (error.schema.get("properties") or {}) if isinstance(error.schema, dict) else {}
        return [
            f"{_place([*error.absolute_path, name])}: not in the schema"
            for name in islice(error.instance, MAX_SCHEMA_VALUES)
            if name not in known
        ]
    if error.validator == "type":
        wanted = rule if isinstance(rule, str) else " or ".join(rule)
        return [f"{place}: expected {wanted}, got {_kind(error.instance)}"]
    if error.validator == "enum":
        return [f"{place}: expected one of {_short(rule)}"]
    if error.validator in ("anyOf", "oneOf"):
        from jsonschema.exceptions import best_match

        nearest = best_match([error])
        if nearest is not None and nearest is not error:
            return [f"{place}: matches no variant; closest: {', '.join(_say(nearest))}"]
    # A rule that contains schemas would fill the line.
    limit = "" if isinstance(rule, dict | list) else f" {_short(rule)}"
    return [f"{place}: violates {error.validator}{limit}"]


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
