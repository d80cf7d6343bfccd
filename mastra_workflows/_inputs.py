"""Compare the input of a call with the input that a run was started with.

A 1.x server stores the input as its schema converted it: defaults filled in, unknown fields
dropped, texts trimmed, numbers and dates coerced. So equal inputs can differ in the record. Only a
difference that no built-in of Zod explains counts here.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from mastra_workflows._models import JSON

MAX_DIFFERENCES = 5
"""The maximum number of differing places to name; the comparison stops there."""

Schema = Mapping[str, Any] | None
"""The JSON Schema of a place; empty if it is unknown, None if there is none."""


def differences(given: JSON, stored: JSON, schema: Schema) -> list[str]:
    """Return where an input differs from a stored one, such as ``$.city``.

    Values are never part of the result.

    Args:
        given: the input of this call, as JSON data.
        stored: the input in the run's record; None if the server does not send it.
        schema: the workflow's input schema; None if it has none, so that nothing was coerced.

    Returns:
        At most `MAX_DIFFERENCES` places, in the order of ``given``; empty if no difference is
        proved.
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
        elif not _may_be_same(now, before, rule):
            found.append(place)
    return found[:MAX_DIFFERENCES]


def _lost_or_added(
    now: Mapping[str, JSON], before: Mapping[str, JSON], rule: Schema
) -> Iterator[str]:
    """Yield the keys that only one side has, and that no schema has dropped or filled in."""
    known = _mapping(rule and rule.get("properties"))
    for key, value in now.items():
        if key not in before and value is not None and (rule is None or key in known):
            yield key
    for key in before:
        if key not in now and key in known and "default" not in _mapping(known[key]):
            yield key


def _inside(rule: Schema, *keys: str) -> Schema:
    """Return the schema of a part; empty if it is unknown."""
    if rule is None:
        return None
    for key in keys:
        rule = _mapping(rule.get(key))
    return rule


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _may_be_same(now: JSON, before: JSON, rule: Schema) -> bool:
    if isinstance(now, bool) or isinstance(before, bool) or now is None or before is None:
        return now is before or (rule is not None and type(now) is not type(before))
    numbers = (_number(now), _number(before))
    if type(now) is type(before) or None not in numbers:
        return _is_same_scalar(now, before, numbers, rule)
    return rule is not None


def _is_same_scalar(
    now: JSON, before: JSON, numbers: tuple[float | None, float | None], rule: Schema
) -> bool:
    if isinstance(now, str) and isinstance(before, str):
        return now == before or (rule is not None and _is_same_text(now, before, rule))
    if not (isinstance(now, str) or isinstance(before, str)):
        return numbers[0] == numbers[1]  # JavaScript numbers are floats
    return rule is not None and numbers[0] == numbers[1]


def _is_same_text(now: str, before: str, rule: Mapping[str, Any]) -> bool:
    if _plain(now) == _plain(before):
        return True
    if _STORED_INTEGER.fullmatch(before) and rule.get("type") != "string":
        return _integer(now) == int(before)  # `z.coerce.bigint`, which has an empty schema
    given, stored = _moment(now), _moment(before)
    if given is not None and stored is not None:
        # A time without an offset is in the server's time zone, which is unknown here.
        leeway = timedelta(0) if given.tzinfo is not None or len(now) <= DATE_LENGTH else ZONES
        return abs(_aware(given) - _aware(stored)) <= leeway
    # JavaScript parses many more texts as dates, so no difference is proved.
    return given is None and _is_date(rule) and _STORED_DATE.fullmatch(before) is not None


_STORED_INTEGER = re.compile(r"-?[0-9]{1,1000}")
_STORED_DATE = re.compile(r"([+-][0-9]{2})?[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{3}Z")
"""The format in which JavaScript serialises a date as JSON."""

DATE_LENGTH = len("2026-11-29")
ZONES = timedelta(hours=14)
"""The largest offset of a time zone."""


def _number(value: JSON) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _integer(text: str) -> int | None:
    """Parse a text as JavaScript's ``BigInt`` does; None if it is not an integer."""
    text = text.replace("\ufeff", " ").strip()
    try:
        return int(text or "0", 0 if text[:2].lower() in ("0x", "0o", "0b") else 10)
    except ValueError:
        return None


def _plain(text: str) -> str:
    """Undo the changes of ``trim``, ``toLowerCase``, ``toUpperCase`` and ``normalize``."""
    trimmed = text.replace("\ufeff", " ")  # JavaScript trims the byte order mark as well
    return unicodedata.normalize("NFKC", trimmed).strip().casefold()


def _moment(text: str) -> datetime | None:
    """Parse an ISO 8601 time with milliseconds, the precision of JavaScript's dates."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _is_date(rule: Mapping[str, Any]) -> bool:
    """Return whether a schema is that of a date, or a union with one."""
    choices = [rule]
    for word in ("anyOf", "oneOf"):
        more = rule.get(word)
        choices += [_mapping(choice) for choice in more] if isinstance(more, list) else []
    return any(choice.get("format") == "date-time" for choice in choices)
