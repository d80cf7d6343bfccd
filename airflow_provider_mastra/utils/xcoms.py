"""JSON of a Mastra server as XCom values that Airflow gives back as they are.

Airflow marks serialised objects by keys of its own. A dict of somebody else's that has one of them
cannot be stored (``__classname__``, ``__id__``), or becomes an object of a class that it names when
it is read (``__type`` and ``__var``). So a reserved key gets the prefix ``mastra.``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

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
"""Keys by which Airflow's serialisers know what they have serialised, of 3.x and of 2.x."""

_ESCAPED = re.compile(f"(?:{re.escape(PREFIX)})*(?:{'|'.join(map(re.escape, sorted(RESERVED)))})")


def escape_keys(value: Any) -> Any:
    """Give reserved keys in JSON data a prefix: ``__type`` becomes ``mastra.__type``.

    A key that looks so already gets one more, so that `unescape_keys` gives each one back.
    """
    return _with_keys(value, lambda key: PREFIX + key if _ESCAPED.fullmatch(key) else key)


def unescape_keys(value: Any) -> Any:
    """Undo `escape_keys`: for a task that needs the data just as the server sent it."""
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
