"""Sanitise untrusted text: as data for any database, or as one safe log line.

Text from a server may come from a model or a customer, or may be truncated by a program. `decode`
and `storable` are for data: they shorten nothing, but replace characters by U+FFFD that databases
or UTF-8 do not support. `safe_text` is for log lines and error messages: one line of bounded
length, without control sequences for a terminal, a log viewer or a CI system.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from typing import Any

from mastra_workflows import _secrets

MAX_LINE = 1_000
"""The maximum number of characters of a remote text in a log line or an error."""

MAX_DEPTH = 150
"""The maximum nesting depth of data. Airflow reads no XCom that is nested more than 200 deep,
including the structure that it and the outcome of a run add. Encoders fail from about 250 on."""

TOO_DEEP = f"(nested more than {MAX_DEPTH} deep)"
"""The replacement for data that is nested too deep."""

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_COMMAND = re.compile(
    r"(?<!\S)::(?=[A-Za-z][\w-]*(?:\s.*?)?::)|::(?=(?:end)?group::)|##(?=(?:vso)?\[)", re.IGNORECASE
)
"""Commands such as ``::error file=a::`` at a word's start, and ``::group::`` and ``##[group]``
anywhere."""


LARGE = 256 * 1024
"""The size in bytes from which JSON is parsed outside an event loop."""

_INTERRUPTIBLE: dict[str, Any] = {
    "object_hook": lambda item: item,
    "parse_int": lambda digits: int(digits),
    "parse_float": lambda digits: float(digits),
}
"""Python functions during which another thread can run; the C parser alone never yields."""


def decode(text: str | bytes) -> Any:
    """Parse the JSON of a remote system as storable data.

    Other threads, such as that of an event loop, can run while a large text is parsed.

    Raises:
        ValueError: the text is not JSON, or is nested too deep to parse.
    """
    try:
        value = json.loads(text, **(_INTERRUPTIBLE if len(text) >= LARGE else {}))
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    # Visiting every value takes several times as long as parsing, and is seldom needed.
    return storable(value) if _may_be_odd(text) or not _is_flat(value) else value


def _may_be_odd(text: str | bytes) -> bool:
    """Return whether JSON may contain texts or numbers that `storable` replaces."""
    raw = text.encode(errors="surrogatepass") if isinstance(text, str) else text
    # Piece by piece, since no other thread can run during a search.
    return any(mark in raw for mark in _ODD_MARKS) or any(
        _LARGE_NUMBER.search(raw, start, start + LARGE + _LONGEST_MARK)
        for start in range(0, len(raw), LARGE)
    )


_ODD_MARKS = (b"\\u0000", b"\\ud", b"\\uD", b"\xed", b"\0", b"NaN", b"Infinity")
"""Escapes of NUL and surrogates, the first byte of an encoded surrogate, and signs of UTF-16 and
UTF-32."""

_LARGE_NUMBER = re.compile(rb"[0-9]{19}|[eE]\+?[0-9]{3}")
_LONGEST_MARK = 19


def _is_flat(value: Any) -> bool:
    """Return whether data is within the maximum nesting depth."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [
            part
            for each in level
            if type(each) is dict or type(each) is list
            for part in (each.values() if type(each) is dict else each)
            if type(part) is dict or type(part) is list
        ]
        if not level:
            return True
    return False


def storable(value: Any) -> Any:
    """Copy JSON data in a form that every JSON encoder and every database accepts.

    In texts and keys, U+FFFD replaces lone surrogates and NUL. A number that is not finite becomes
    null, and an integer of more than 64 bits a float, as in JavaScript. Data nested more than 150
    deep is replaced by a text.

    Args:
        value: JSON data from a parser. Other values stay as they are.
    """
    root: list[Any] = [value]
    waiting: list[tuple[Any, int]] = [(root, 0)]
    while waiting:
        container, depth = waiting.pop()
        items = container.items() if isinstance(container, dict) else enumerate(container)
        for place, item in items:
            kind = type(item)
            if kind is str:
                if not item.isascii() or "\0" in item:
                    container[place] = _storable_text(item)
            elif kind is dict or kind is list:
                if depth > MAX_DEPTH:
                    container[place] = TOO_DEEP
                    continue
                copy: Any = (
                    item.copy()
                    if kind is list
                    else {_storable_text(key): part for key, part in item.items()}
                )
                container[place] = copy
                waiting.append((copy, depth + 1))
            elif kind is float:
                if not math.isfinite(item):
                    container[place] = None
            elif kind is int and item.bit_length() > 63:
                container[place] = _as_float(item)
    return root[0]


def _storable_text(text: Any) -> Any:
    return _UNSTORABLE.sub("\ufffd", text) if isinstance(text, str) else text


def _as_float(number: int) -> float | None:
    try:
        return float(number)
    except OverflowError:
        return None


def safe_text(value: object, limit: int = MAX_LINE) -> str:
    """Format a remote value as one safe line of at most ``limit`` characters.

    Line ends become spaces. Other invisible characters (escapes, controls, bidirectional marks)
    become visible, and characters without a width are removed. Commands of log viewers and CI
    systems, such as ``::group::``, are broken up. Secrets of the clients of this process are
    masked. The function is idempotent.

    Args:
        value: a text; other values are shown as JSON, or by `str`.
        limit: the maximum number of characters; a longer text ends in ``… (N characters)``.
    """
    text = value if isinstance(value, str) else _shown(value)
    longest = _secrets.longest()
    line = _secrets.mask(text[: limit + 1 + longest])
    if len(text) <= limit + 1 + longest:
        text = line
    else:
        line = line[: max(0, len(line) - longest)]  # the end may be the first half of a secret
    masked = line[: limit + 1]
    line = " ".join(printable(masked.translate(_WITHOUT_WIDTH), keep="").split())
    if line != masked:
        line = _secrets.mask(line)  # a secret that the removed characters had split
    line = _COMMAND.sub(lambda found: f"{found[0][0]} {found[0][1]}", line)
    if len(text) <= limit and len(line) <= limit:
        return line
    end = f"… ({len(text):,} characters)"
    return line[: max(0, limit - len(end))].rstrip() + end


def _shown(value: object) -> str:
    if isinstance(value, dict | list | tuple | bool) or value is None:
        try:
            return json.dumps(value, ensure_ascii=False, default=str)
        except (RecursionError, TypeError, ValueError):
            return f"({type(value).__name__})"
    try:
        return str(value)
    except (RecursionError, ValueError):  # an integer with more digits than Python formats
        return f"({type(value).__name__})"


def printable(text: str, *, keep: str = "\n\t") -> str:
    """Replace characters that are invisible, or that some databases do not store.

    Args:
        keep: control characters to keep.
    """
    return "".join(
        character
        if character in keep or unicodedata.category(character) not in _HIDDEN
        else _picture(character)
        for character in text
    )


_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories of invisible characters: controls, bidirectional marks, lone surrogates, and
other line ends."""

_JOINERS = "\u200d\u200c\ufe0f"
"""Invisible characters that emoji and some scripts require."""

_WITHOUT_WIDTH = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufe0e\ufe0f\ufeff\u00ad"))
"""Characters without a width, which log lines omit."""


def _picture(character: str) -> str:
    if character in _JOINERS:
        return character
    number = ord(character)
    if number < 0x20:
        return " " if character in "\r\n\t" else chr(0x2400 + number)
    return "\u2421" if number == 0x7F else f"(U+{number:04X})"
