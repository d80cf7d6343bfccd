"""Text that nobody vouches for: as data that every store takes, and as one safe line of a log.

What a server sends holds what a model wrote, what a customer typed, what a program cut in half.
`decode` and `storable` are for data: nothing is shortened, but what no database and no UTF-8 text
can hold becomes U+FFFD. `safe_text` is for log lines and messages of exceptions: one line, bounded,
without anything that a terminal, a log viewer or a CI system would obey.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from typing import Any

from mastra_workflows import _secrets

MAX_LINE = 1_000
"""How many characters of a remote text a log line or an error shows."""

MAX_DEPTH = 150
"""How deep data may be nested. Airflow reads no XCom that is nested more than 200 deep, including
what it and the outcome of a run put around the data; encoders give up from about 250 on."""

TOO_DEEP = f"(nested more than {MAX_DEPTH} deep)"
"""What stands for data that is nested deeper than that."""

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_COMMAND = re.compile(
    r"(?<!\S)::(?=[A-Za-z][\w-]*(?:\s.*?)?::)|::(?=(?:end)?group::)|##(?=(?:vso)?\[)", re.IGNORECASE
)
"""Lines such as ``::error file=a::``, and ``::group::`` and ``##[group]`` anywhere in one."""


LARGE = 256 * 1024
"""From how many bytes on JSON is parsed apart from an event loop."""

_INTERRUPTIBLE: dict[str, Any] = {
    "object_hook": lambda item: item,
    "parse_int": lambda digits: int(digits),
    "parse_float": lambda digits: float(digits),
}
"""Functions in which Python can change to another thread; its parser alone never lets it."""


def decode(text: str | bytes) -> Any:
    """Parse JSON of a remote system as storable data.

    While a large text is parsed, other threads can run, such as that of an event loop.

    Raises:
        ValueError: it is no JSON, or nested deeper than can be parsed.
    """
    try:
        value = json.loads(text, **(_INTERRUPTIBLE if len(text) >= LARGE else {}))
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    # Going through every value takes several times as long as parsing; it is seldom needed.
    return storable(value) if _may_be_odd(text) or not _is_flat(value) else value


def _may_be_odd(text: str | bytes) -> bool:
    """Whether JSON may hold texts or numbers that `storable` replaces."""
    raw = text.encode(errors="surrogatepass") if isinstance(text, str) else text
    # Piece by piece: no other thread can run during a search.
    return any(mark in raw for mark in _ODD_MARKS) or any(
        _LARGE_NUMBER.search(raw, start, start + LARGE + _LONGEST_MARK)
        for start in range(0, len(raw), LARGE)
    )


_ODD_MARKS = (b"\\u0000", b"\\ud", b"\\uD", b"\xed", b"\0", b"NaN", b"Infinity")
"""Escapes of NUL and surrogates, the first byte of an encoded one, and of UTF-16 and UTF-32."""

_LARGE_NUMBER = re.compile(rb"[0-9]{19}|[eE]\+?[0-9]{3}")
_LONGEST_MARK = 19


def _is_flat(value: Any) -> bool:
    """Whether data is nested no deeper than it may be."""
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
    """A copy of JSON data that every JSON encoder and every database takes.

    In texts and keys, U+FFFD stands for lone surrogates and NUL. A number that is not finite is
    null, and an integer of more than 64 bits a float: that is what JavaScript has there. What is
    nested more than 150 deep is left out, with a text in its place.

    Args:
        value: JSON data, as a parser made it. Other values stay as they are.
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
    """A remote value as one line of at most ``limit`` characters that does nothing.

    Line ends become spaces. Other characters that are not seen (escapes, controls, marks that turn
    the direction of a text) become visible, those without a width are left out, and commands of log
    viewers and CI systems such as ``::group::`` are taken apart. Secrets of the clients of this
    process are masked. Applying it twice changes nothing.

    Args:
        value: a text; anything else is shown as JSON, or by its `str`.
        limit: the most characters; a longer text ends in ``… (N characters)``.
    """
    text = value if isinstance(value, str) else _shown(value)
    longest = _secrets.longest()
    line = _secrets.mask(text[: limit + 1 + longest])
    if len(text) <= limit + 1 + longest:
        text = line
    else:
        line = line[: max(0, len(line) - longest)]  # which may be the first half of a secret
    masked = line[: limit + 1]
    line = " ".join(printable(masked.translate(_WITHOUT_WIDTH), keep="").split())
    if line != masked:
        line = _secrets.mask(line)  # a secret that was taken apart by what is left out now
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
    except (RecursionError, ValueError):  # an integer of more digits than Python writes
        return f"({type(value).__name__})"


def printable(text: str, *, keep: str = "\n\t") -> str:
    """A text in which every character can be seen, and stored by every database.

    Args:
        keep: control characters that stay as they are.
    """
    return "".join(
        character
        if character in keep or unicodedata.category(character) not in _HIDDEN
        else _picture(character)
        for character in text
    )


_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Categories of characters that are not seen: controls, marks that turn the direction of what
follows, half characters, line ends of other kinds."""

_JOINERS = "\u200d\u200c\ufe0f"
"""Hidden characters that emoji and some scripts are written with."""

_WITHOUT_WIDTH = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufe0e\ufe0f\ufeff\u00ad"))
"""What a log line can do without."""


def _picture(character: str) -> str:
    if character in _JOINERS:
        return character
    number = ord(character)
    if number < 0x20:
        return " " if character in "\r\n\t" else chr(0x2400 + number)
    return "\u2421" if number == 0x7F else f"(U+{number:04X})"
