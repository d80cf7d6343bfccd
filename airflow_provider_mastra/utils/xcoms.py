"""Escaping of JSON from a Mastra server, so that Airflow stores it in XComs unchanged.

Airflow marks serialised objects with reserved keys. A foreign dict with such a key cannot be stored
(``__classname__``, ``__id__``), or is deserialised to an object of the class that it names
(``__type`` and ``__var``). Reserved keys therefore get the prefix ``mastra.``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["escape_keys", "unescape_keys"]

PREFIX = "mastra."

RESERVED = frozenset(
    {
        "__cache__",
        "__classname__",
        "__data__",
        "__id__",
        "__source",
        "__type",
        "__var",
        "__version__",
    }
)
"""The reserved keys of the serialisers of Airflow 2.x and 3.x."""

_ESCAPED = re.compile(f"(?:{re.escape(PREFIX)})*(?:{'|'.join(map(re.escape, sorted(RESERVED)))})")


def escape_keys(value: Any) -> Any:
    """Add a prefix to reserved keys in JSON data: ``__type`` becomes ``mastra.__type``.

    A key that is already escaped gets another prefix, so that `unescape_keys` restores each key.
    """
    return _with_keys(value, lambda key: PREFIX + key if _ESCAPED.fullmatch(key) else key)


def unescape_keys(value: Any) -> Any:
    """Undo `escape_keys`, for tasks that need the data exactly as the server sent it."""
    return _with_keys(
        value,
        lambda key: key.removeprefix(PREFIX) if _ESCAPED.fullmatch(key) else key,
    )


def _with_keys(value: Any, rename: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {
            rename(key) if isinstance(key, str) else key: _with_keys(part, rename)
            for key, part in value.items()
        }
    if isinstance(value, list | tuple):
        return [_with_keys(item, rename) for item in value]
    return value
