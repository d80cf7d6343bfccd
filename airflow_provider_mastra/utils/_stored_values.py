"""Validation of the values that the provider stores in Airflow's task state and reads again.

Anybody who may edit a task's state can change them. A damaged value must neither be guessed at,
which could resume a step twice or start a second run, nor surface as an `AttributeError`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mastra_workflows.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping


def damaged(key: str, problem: str, consequence: str) -> ConfigurationError:
    """Return the error for a stored value that the provider did not write.

    Args:
        key: the key in the task state.
        problem: what is wrong with the value.
        consequence: what is unknown now, and what deleting the key does.
    """
    return ConfigurationError(f"The task state {key!r} is invalid ({problem}), so {consequence}")


class StoredValue:
    """An object in the task state, read field by field.

    Each method raises a `ConfigurationError` if the value has another type.

    Args:
        key: the key in the task state, for the error.
        value: the stored value.
        consequence: see `damaged`.
    """

    def __init__(self, key: str, value: object, consequence: str) -> None:
        self._key = key
        self._consequence = consequence
        if not isinstance(value, dict):
            raise self._wrong("it", value)
        self._value: Mapping[str, Any] = value

    def _wrong(self, name: str, value: object) -> ConfigurationError:
        return damaged(self._key, f"{name} is a {type(value).__name__}", self._consequence)

    def _field(self, name: str, *types: type) -> Any:
        value = self._value.get(name)
        # A bool is an int in Python, but not in JSON.
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            raise self._wrong(name, value)
        return value

    def text(self, name: str) -> str:
        """Return a text."""
        value: str = self._field(name, str)
        return value

    def text_or_none(self, name: str) -> str | None:
        """Return a text; None if there is none."""
        value: str | None = self._field(name, str, type(None))
        return value

    def integer(self, name: str) -> int:
        """Return an integer."""
        value: int = self._field(name, int)
        return value

    def flag(self, name: str) -> bool:
        """Return True or False."""
        value: bool = self._field(name, bool)
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts as a tuple."""
        values = self._field(name, list)
        for value in values:
            if not isinstance(value, str):
                raise self._wrong(f"an item of {name}", value)
        return tuple(values)

    def objects(self, name: str) -> list[dict[str, Any]]:
        """Return a list of objects."""
        values = self._field(name, list)
        for value in values:
            if not isinstance(value, dict):
                raise self._wrong(f"an item of {name}", value)
        return list(values)

    def object(self, name: str) -> dict[str, Any]:
        """Return an object."""
        value: dict[str, Any] = self._field(name, dict)
        return value

    def object_or_none(self, name: str) -> dict[str, Any] | None:
        """Return an object; None if there is none."""
        value: dict[str, Any] | None = self._field(name, dict, type(None))
        return value
