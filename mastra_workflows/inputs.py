"""Compare the input of a call with the input that a run was started with.

A 1.x server stores what its schema made of the input: defaults filled in, unknown fields dropped,
texts trimmed, numbers and dates coerced. So equal inputs can look different in the record. Only
what no built-in of Zod explains counts as a difference here.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from mastra_workflows.models import JSON

MAX_DIFFERENCES = 5
"""How many places are named; comparing ends there."""

Schema = Mapping[str, Any] | None
"""The JSON Schema of a place; empty if the place's schema is not known, None if there is none."""


def differences(given: JSON, stored: JSON, schema: Schema) -> list[str]:
    """Where an input differs from a stored one, such as ``$.city``; at most `MAX_DIFFERENCES`.

    Values are never part of the result.

    Args:
        given: the input of this call, as JSON data.
        stored: the input in the run's record; None if the server does not tell it.
        schema: the workflow's input schema; None if it has none, so that nothing was coerced.

    Returns:
        The places, in the order of ``given``; empty if the inputs are the same, as far as can be
        known.
    """
    found: list[str] = []
    if stored is None:
        return found
    waiting: list[tuple[str, JSON, JSON, Schema]] = [("$", given, stored, schema)]
    while waiting and len(found) < MAX_DIFFERENCES:
        place, now, before, rule = waiting.pop()
        if isinstance(now, dict) and isinstance(before, dict):
            found.extend(f"{place}.{key}" for key in _lost_or_added(now, before, rule))
            shared = [key for key in now if key in before]
            waiting.extend(
                (f"{place}.{key}", now[key], before[key], _inside(rule, "properties", key))
                for key in reversed(shared)
            )
        elif isinstance(now, list) and isinstance(before, list):
            if len(now) != len(before):
                found.append(place)
                continue
            waiting.extend(
                (f"{place}[{index}]", now[index], before[index], _inside(rule, "items"))
                for index in reversed(range(len(now)))
            )
        elif not _may_be_same(now, before, may_be_coerced=rule is not None):
            found.append(place)
    return found[:MAX_DIFFERENCES]


def _lost_or_added(
    now: Mapping[str, JSON], before: Mapping[str, JSON], rule: Schema
) -> Iterator[str]:
    """The keys that only one side has, and that no schema has dropped or filled in."""
    known = _mapping(rule and rule.get("properties"))
    for key, value in now.items():
        if key not in before and value is not None and (rule is None or key in known):
            yield key
    for key in before:
        if key not in now and key in known and "default" not in _mapping(known[key]):
            yield key


def _inside(rule: Schema, *keys: str) -> Schema:
    """The schema of a part; empty where it is not known."""
    if rule is None:
        return None
    for key in keys:
        rule = _mapping(rule.get(key))
    return rule


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _may_be_same(now: JSON, before: JSON, *, may_be_coerced: bool) -> bool:
    if isinstance(now, bool) or isinstance(before, bool) or now is None or before is None:
        return now is before or (may_be_coerced and type(now) is not type(before))
    numbers = (_number(now), _number(before))
    if type(now) is type(before) or None not in numbers:
        return _is_same_scalar(now, before, numbers, may_be_coerced=may_be_coerced)
    return may_be_coerced


def _is_same_scalar(
    now: JSON,
    before: JSON,
    numbers: tuple[float | None, float | None],
    *,
    may_be_coerced: bool,
) -> bool:
    if not (isinstance(now, str) or isinstance(before, str)):
        return numbers[0] == numbers[1]  # JavaScript has floats only
    if not may_be_coerced or now == before:
        return bool(now == before)
    if type(now) is not type(before):
        return numbers[0] == numbers[1]
    if _plain(now) == _plain(before):
        return True
    moments = (_moment(now), _moment(before))
    return moments[0] is not None and moments[0] == moments[1]


def _number(value: JSON) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _plain(text: str) -> str:
    """A text without what ``trim``, ``toLowerCase``, ``toUpperCase`` and ``normalize`` change."""
    return unicodedata.normalize("NFKC", text).strip().casefold()


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
