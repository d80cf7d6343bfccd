"""Deserialise stored JSON: an XCom, an argument of a trigger, a Prefect result."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from mastra_workflows.errors import InvalidDataError


class Stored:
    """The result of a ``to_dict``, read field by field.

    Args:
        kind: the name of the type, for the error.
        data: the stored JSON.

    Each method raises `InvalidDataError` if the value has another type.
    """

    def __init__(self, kind: str, data: object) -> None:
        self._kind = kind
        if not isinstance(data, Mapping):
            raise self._wrong("it", data)
        self._data = data

    def _wrong(self, what: str, value: object) -> InvalidDataError:
        return InvalidDataError(
            f"The stored {self._kind} is not a result of to_dict(): {what} is a "
            f"{type(value).__name__}."
        )

    def text(self, key: str) -> str:
        """Return a text."""
        value = self._data.get(key)
        if not isinstance(value, str):
            raise self._wrong(key, value)
        return value

    def text_or_none(self, key: str) -> str | None:
        """Return a text; None if there is none."""
        return None if self._data.get(key) is None else self.text(key)

    def number_or_none(self, key: str) -> int | None:
        """Return an integer; None if there is none."""
        value = self._data.get(key)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
            raise self._wrong(key, value)
        return value

    def path(self, key: str) -> tuple[str, ...]:
        """Return a list of texts as a tuple."""
        value = self._data.get(key)
        if not isinstance(value, list | tuple) or not all(isinstance(part, str) for part in value):
            raise self._wrong(key, value)
        return tuple(value)

    def parts(self, key: str) -> list[Any]:
        """Return a list; empty if there is none."""
        value = self._data.get(key, ())
        if not isinstance(value, list | tuple):
            raise self._wrong(key, value)
        return list(value)

    def mapping_or_none(self, key: str) -> Mapping[str, Any] | None:
        """Return an object; None if there is none."""
        value = self._data.get(key)
        if value is not None and not isinstance(value, Mapping):
            raise self._wrong(key, value)
        return value

    def moment(self, key: str) -> datetime | None:
        """Return a time; None if there is none."""
        text = self.text_or_none(key)
        try:
            return from_iso(text)
        except (ValueError, OverflowError):
            raise self._wrong(key, "") from None

    def json(self, key: str) -> Any:
        """Return any JSON; None if there is none."""
        return self._data.get(key)


def to_iso(moment: datetime | None) -> str | None:
    """Serialise a time as ISO 8601."""
    return None if moment is None else moment.isoformat()


def from_iso(text: str | None) -> datetime | None:
    """Parse the result of `to_iso`; a time without a zone counts as UTC.

    Raises:
        TypeError, ValueError: the value is not an ISO 8601 time.
    """
    return None if text is None else _in_utc(datetime.fromisoformat(text))


def _in_utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def from_millis(value: object) -> datetime | None:
    """Parse a JavaScript time (milliseconds since 1970, or an ISO string) as an aware datetime."""
    if isinstance(value, bool):
        return None
    try:
        if isinstance(value, int | float):
            return datetime.fromtimestamp(value / 1000, UTC)
        if isinstance(value, str):
            return _in_utc(datetime.fromisoformat(value))
    except (ValueError, OverflowError, OSError):
        pass  # an invalid time must not make the whole record unusable
    return None
