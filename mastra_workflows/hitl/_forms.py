"""Convert a step's resume schema to form fields, and form input to resume data.

Airflow and Prefect show forms as a flat list of simple fields. The properties of an object become
fields, including those of a nested object. A value that no page can show becomes a JSON field: a
union, a deeper or optional object, or a list of anything but strings. The input is validated
against the whole schema.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from enum import Enum
from functools import cached_property
from itertools import islice
from typing import Any, Final, Literal, Self

from mastra_workflows._models import JSON
from mastra_workflows._schemas import is_readable, validation_errors
from mastra_workflows._text import printable
from mastra_workflows.errors import InvalidResumeDataError

Kind = Literal[
    "boolean",
    "integer",
    "number",
    "string",
    "text",
    "enum",
    "date",
    "time",
    "date-time",
    "strings",
    "json",
]
"""The kind of input of a field: ``text`` has several lines, ``strings`` is a list of strings."""

LONG_TEXT = 200
"""Strings with a larger ``maxLength`` than this get a field with several lines."""

MAX_DESCRIPTION = 1000

MAX_FIELDS = 200
"""A response with more fields than this is entered as one JSON value."""

MAX_DEPTH = 2
"""The maximum nesting depth of a value that has a separate field."""


class _Nothing(Enum):
    NO_DEFAULT = "no default"
    LEFT_OUT = "left out"


NO_DEFAULT: Final = _Nothing.NO_DEFAULT
"""The default of a field that has none; None would be a value."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a form.

    Attributes:
        key: the name of the field in the form: letters, digits and ``_``, not beginning with a
            digit; unique.
        path: the place of the value in the response; empty if it is the whole response.
        kind: the kind of input.
        rule: the JSON Schema of the value, with references resolved and without null.
        required: whether the response must contain the value. A value with a default is not
            required.
        nullable: whether the value may be null.
    """

    key: str
    path: tuple[str, ...]
    kind: Kind
    rule: Mapping[str, Any]
    required: bool
    nullable: bool = False

    @property
    def title(self) -> str:
        """The title in the schema, or the path of the value: ``address.zip``."""
        title = str(self.rule.get("title") or ".".join(self.path) or "response")
        return printable(title[:MAX_DESCRIPTION], keep="")

    @property
    def description(self) -> str:
        """The description in the schema; empty if there is none."""
        return printable(str(self.rule.get("description") or "")[:MAX_DESCRIPTION], keep="")

    @property
    def default(self) -> JSON:
        """The default value; `NO_DEFAULT` if there is none."""
        return self.rule.get("default", NO_DEFAULT)

    @property
    def may_be_empty(self) -> bool:
        """Whether the field may be left empty, because its value is optional or nullable."""
        return self.nullable or not self.required

    @property
    def options(self) -> list[JSON]:
        """The values of an ``enum``; empty for other kinds."""
        return [option for option in _options(self.rule) if option is not None]

    @property
    def schema(self) -> dict[str, Any]:
        """The part of the schema that a page can validate: flat, without references or unions.

        It has no patterns: Airflow and Prefect match them with Python's engine, which some patterns
        block forever.
        """
        schema = _shown(self.kind, self.rule)
        if self.kind == "enum":
            kinds = {type(option) for option in self.options}
            named = {str: "string", int: "integer", float: "number", bool: "boolean"}
            kind = named.get(kinds.pop()) if len(kinds) == 1 else None
            return {**({"type": kind} if kind else {}), "enum": self.options}
        if self.kind == "json":
            return {}
        if self.kind in ("date", "time", "date-time"):
            return {"type": "string", "format": self.kind}
        if self.kind == "strings":
            items = _shown("string", self.rule["items"])
            return {"type": "array", "items": {"type": "string", **items}, **schema}
        return {"type": "string" if self.kind == "text" else self.kind, **schema}

    def read(self, value: JSON) -> JSON:
        """Convert the input of this field to the value to send; `LEFT_OUT` if it is empty.

        If the input has several readings, the first one that matches the schema counts. If none
        matches, the first one is used, for the error message.
        """
        is_empty = value is None or value == "" or (value == [] and not self.required)
        if is_empty and value not in self.options:
            return self._emptied() if self.default is not NO_DEFAULT else self._empty(value)
        readings = list(_readings(self, value))
        fitting = (reading for reading in readings if not validation_errors(self.rule, reading))
        return next(fitting, readings[0])

    def _empty(self, value: JSON) -> JSON:
        if self.may_be_empty:
            return None if self.required else _Nothing.LEFT_OUT
        return "" if value == "" and self.kind in ("string", "text") else _Nothing.LEFT_OUT

    def _emptied(self) -> JSON:
        """Return the value of a field whose default was removed; `LEFT_OUT` if no empty value fits.

        The server fills in the default of a value that is left out.
        """
        if self.nullable:
            return None
        nothing: dict[str, JSON] = {"string": "", "text": "", "strings": []}
        empty = nothing.get(self.kind)
        return _Nothing.LEFT_OUT if empty is None or validation_errors(self.rule, empty) else empty


SHOWN_RULES: dict[Kind, tuple[str, ...]] = {
    "boolean": (),
    "integer": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "string": ("minLength", "maxLength"),
    "text": ("minLength", "maxLength"),
    "enum": (),
    "date": (),
    "time": (),
    "date-time": (),
    "strings": ("minItems", "maxItems"),
    "json": (),
}
"""The keywords of a field's schema that a page may validate as well."""


def _shown(kind: Kind, rule: Mapping[str, Any]) -> dict[str, float]:
    """Return the keywords that a page may validate.

    A fractional `multipleOf` is omitted: in floating point, 19.99 is not a multiple of 0.01.
    """
    return {
        name: value
        for name in SHOWN_RULES[kind]
        if isinstance(value := rule.get(name), int | float)
        and not (name == "multipleOf" and isinstance(value, float))
    }


@dataclass(frozen=True)
class Form:
    """The form of one response.

    Attributes:
        schema: the JSON Schema of the response; None if it is unknown.
    """

    schema: Mapping[str, Any] | None

    @cached_property
    def fields(self) -> tuple[Field, ...]:
        """The fields in the schema's order; none if the response carries no data."""
        schema = self.schema
        if schema is None or not is_readable(schema):
            return (Field("response", (), "json", {}, required=False),)
        parts = _fields(_Rule.of(schema, schema), (), root=schema, required=True)
        fields = list(islice(parts, MAX_FIELDS + 1))
        if len(fields) > MAX_FIELDS:
            return (Field("response", (), "json", {}, required=True),)
        return tuple(_with_unique_keys(map(_usable, fields)))

    def to_resume_data(self, values: Mapping[str, JSON]) -> JSON:
        """Convert form input to resume data, and validate it.

        A time without a zone counts as UTC. JSON may be given as a value or as text, a list as a
        list or with one item on each line.

        Args:
            values: the input, by the fields' keys. A field without input has its default, if there
                is one.

        Raises:
            InvalidResumeDataError: the input is invalid; ``validation_errors`` names each place.
        """
        keys = {field.key for field in self.fields}
        wrong = [f"{key}: not a field of this form" for key in sorted(set(values) - keys)]
        data: JSON = {}
        for field in self.fields:
            is_sent = field.key in values or field.default is NO_DEFAULT
            value = field.read(values.get(field.key)) if is_sent else _Nothing.LEFT_OUT
            if isinstance(value, str) and not _is_in_time(field.kind, value):
                wrong.append(f"{'.'.join(('$', *field.path))}: expected {field.kind}")
            if not field.path:
                data = {} if value is _Nothing.LEFT_OUT else value
                continue
            inner = data
            for name in field.path[:-1]:
                inner = inner.setdefault(name, {})
            if value is not _Nothing.LEFT_OUT:
                inner[field.path[-1]] = value
        wrong += validation_errors(self.schema or {}, data)
        if wrong:
            raise InvalidResumeDataError(
                f"The response is invalid: {'; '.join(wrong)}. Nothing was sent.",
                validation_errors=wrong,
            )
        return data

    def values(self, resume_data: JSON) -> dict[str, JSON]:
        """Convert a response to the values of the fields, by their keys, to fill in the form."""
        values = {}
        for field in self.fields:
            value = resume_data
            for name in field.path:
                value = value.get(name, NO_DEFAULT) if isinstance(value, Mapping) else NO_DEFAULT
            if value is not NO_DEFAULT:
                values[field.key] = value
        return values


@dataclass(frozen=True, slots=True)
class _Rule:
    """A schema without references and other wrappers.

    Attributes:
        rule: the schema, with references resolved and without null.
        nullable: whether the value may be null.
    """

    rule: Mapping[str, Any]
    nullable: bool = False

    @classmethod
    def of(cls, rule: Any, root: Mapping[str, Any]) -> Self:
        """Unwrap a schema. A schema that refers to itself accepts anything."""
        found = cls(rule if isinstance(rule, Mapping) else {})
        for _ in range(MAX_REFERENCES):
            step = found._unwrapped(root)
            if step is None:
                return found
            found = step
        return cls({})

    def _unwrapped(self, root: Mapping[str, Any]) -> Self | None:
        """Remove one wrapper; None if there is none."""
        rule = dict(self.rule)
        if isinstance(reference := rule.pop("$ref", None), str):
            return replace(self, rule={**_resolved(reference, root), **rule})
        parts = rule.get("allOf")
        if isinstance(parts, list) and len(parts) == 1 and isinstance(parts[0], Mapping):
            del rule["allOf"]
            return replace(self, rule={**parts[0], **rule})
        if isinstance(kinds := rule.get("type"), list):
            others = [kind for kind in kinds if kind != "null"]
            if len(others) == 1:
                nullable = self.nullable or "null" in kinds
                return replace(self, rule={**rule, "type": others[0]}, nullable=nullable)
            if others and len(others) < len(kinds):
                return replace(self, rule={**rule, "type": others}, nullable=True)
        for name in ("anyOf", "oneOf"):
            if not isinstance(variants := rule.get(name), list):
                continue
            others = [variant for variant in variants if variant != {"type": "null"}]
            if len(others) == 1 and isinstance(others[0], Mapping):
                del rule[name]
                nullable = self.nullable or len(variants) > 1
                return replace(self, rule={**others[0], **rule}, nullable=nullable)
        return None


MAX_REFERENCES = 20


def _resolved(reference: str, root: Mapping[str, Any]) -> Mapping[str, Any]:
    """Resolve a reference within the schema; other references accept anything."""
    found: Any = root
    if not reference.startswith("#"):
        return {}
    for part in reference.removeprefix("#").split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _fields(
    meant: _Rule, path: tuple[str, ...], *, root: Mapping[str, Any], required: bool
) -> Iterator[Field]:
    rule = meant.rule
    inside = rule.get("properties")
    # An object without known properties may hold anything, but the response itself may hold
    # nothing.
    is_known = bool(inside) or (not path and rule.get("additionalProperties", False) is False)
    shows_inside = (
        rule.get("type", "object") == "object"
        and isinstance(inside, Mapping)
        and is_known
        and not any(name in rule for name in ("anyOf", "oneOf", "allOf"))
        and required
        and not meant.nullable
        and len(path) < MAX_DEPTH
    )
    if shows_inside:
        assert isinstance(inside, Mapping)
        wanted = rule.get("required")
        wanted = wanted if isinstance(wanted, list) else ()
        for name, value in inside.items():
            part = _Rule.of(value, root)
            must = name in wanted and "default" not in part.rule
            yield from _fields(part, (*path, name), root=root, required=must)
        return
    key = re.sub(r"[^0-9A-Za-z_]+", "_", "_".join(path)).strip("_") or "response"
    if key[0].isdigit():
        key = f"n{key}"
    yield Field(key, path, _kind(rule), rule, required=required, nullable=meant.nullable)


def _usable(field: Field) -> Field:
    """Turn a field with an invalid schema into a JSON field: a reference can lead to anything."""
    shown = {name: value for name, value in field.schema.items() if name != "items"}
    return field if is_readable(shown) else replace(field, kind="json", rule={})


def _with_unique_keys(fields: Iterable[Field]) -> Iterator[Field]:
    taken: set[str] = set()
    numbers: dict[str, int] = {}  # the last number of each key, so as not to count from 2 each time
    for field in fields:
        key = field.key
        while key in taken:
            numbers[field.key] = number = numbers.get(field.key, 1) + 1
            key = f"{field.key}_{number}"
        taken.add(key)
        yield replace(field, key=key)


PLAIN: dict[Any, Kind] = {"boolean": "boolean", "integer": "integer", "number": "number"}
MOMENTS: dict[Any, Kind] = {"date": "date", "time": "time", "date-time": "date-time"}


def _kind(rule: Mapping[str, Any]) -> Kind:
    if _options(rule):
        return "enum"
    kind = rule.get("type")
    if kind == "string":
        longest, form = rule.get("maxLength"), rule.get("format")
        is_long = isinstance(longest, int | float) and longest > LONG_TEXT
        kind_of_text: Kind = "text" if is_long or form == "multiline" else "string"
        return MOMENTS.get(form, kind_of_text) if isinstance(form, str) else kind_of_text
    items = rule.get("items")
    if kind == "array" and isinstance(items, Mapping) and items.get("type") == "string":
        return "strings"
    return PLAIN.get(kind, "json") if isinstance(kind, str) else "json"  # a list is a union


def _options(rule: Mapping[str, Any]) -> list[JSON]:
    """Return the values that the schema lists, as one list or one constant each."""
    if isinstance(options := rule.get("enum"), list):
        return options
    if "const" in rule:
        return [rule["const"]]
    variants = rule.get("anyOf") or rule.get("oneOf")
    if isinstance(variants, list):
        each = [variant if isinstance(variant, Mapping) else {} for variant in variants]
        if all("const" in variant or "enum" in variant for variant in each):
            return [option for variant in each for option in _options(variant)]
    return []


def _readings(field: Field, value: JSON) -> Iterator[JSON]:
    """Yield the possible meanings of a page's input, the likeliest first."""
    text = value.strip() if isinstance(value, str) else None
    match field.kind:
        case "boolean" if text is not None:
            yield {"true": True, "false": False}.get(text.lower(), value)
        case "integer" | "number" if text is not None:
            yield _parsed(text)
        case "integer" if isinstance(value, float) and value.is_integer():
            yield int(value)
        case "enum" if value not in field.options:
            yield next((one for one in field.options if _text(one) == text), value)
        case "strings" if text is not None:
            yield [line.strip() for line in text.splitlines() if line.strip()]
        case "date" if text is not None:
            yield text.partition("T")[0]
        case "time" if text is not None:
            yield from (text, f"{text}:00", f"{text}Z")
        case "date-time" if text is not None:
            yield from _moments(text)
        case "json" if text is not None:
            yield from (_parsed(text), value)
        case _:
            yield value


def _is_in_time(kind: Kind, text: str) -> bool:
    """Return whether text is a valid date or time; the schema validation checks no formats."""
    parsers: dict[Kind, Callable[[str], object]] = {
        "date": date.fromisoformat,
        "time": time.fromisoformat,
        "date-time": datetime.fromisoformat,
    }
    try:
        parsers.get(kind, str)(text)
    except ValueError:
        return False
    return True


def _moments(text: str) -> Iterator[str]:
    """Yield a time as the servers' validators accept it, in UTC with seconds, then unchanged."""
    try:
        moment = datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        yield text
        return
    precision = "milliseconds" if moment.microsecond else "seconds"
    yield moment.replace(tzinfo=None).isoformat(timespec=precision) + "Z"
    yield text


def _parsed(text: str) -> JSON:
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return text


def _no_constant(name: str) -> JSON:
    """Refuse ``NaN`` and ``Infinity``, which Python reads but JSON does not have."""
    raise ValueError(name)


def _text(value: JSON) -> str:
    return value if isinstance(value, str) else json.dumps(value)
