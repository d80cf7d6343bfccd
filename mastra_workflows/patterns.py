"""Which regular expressions of others are safe to try: those that cannot backtrack for long.

An expression such as ``^(a+)+$`` tries 2ⁿ ways through a text of n characters that does not fit.
What may take long, or what JavaScript reads and Python does not, is left to the server.
"""

from __future__ import annotations

import re
from functools import lru_cache
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

MAX_PATTERN = 500
"""How many characters an expression that is tried may have."""

MAX_SUBJECT = 1_000
"""How many characters a text may have that an expression is tried on."""

MAX_WAYS = 2_000_000
"""How many ways through a text an expression may have, all its beginnings counted."""

_RESERVED = re.compile(r"\[\[|--|&&|\|\||~~")
"""What Python warns of in a set of characters: its later versions may read it otherwise."""

_REPEATS = {codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT}
_LOOKS = {codes.ASSERT, codes.ASSERT_NOT}
_BEGINNINGS = {codes.AT_BEGINNING, codes.AT_BEGINNING_STRING}


@lru_cache(maxsize=1024)
def is_quick(pattern: str) -> bool:
    """Whether Python can read an expression, and surely ends soon on a text of 1,000 characters."""
    if len(pattern) > MAX_PATTERN or _RESERVED.search(pattern):
        return False
    try:
        re.compile(pattern)
        parsed = list(parser.parse(pattern))
    except (re.error, OverflowError, RecursionError, ValueError):
        return False
    is_fixed = bool(parsed) and parsed[0][0] is codes.AT and parsed[0][1] in _BEGINNINGS
    return _ways(parsed) * (1 if is_fixed else MAX_SUBJECT) <= MAX_WAYS


def fits(pattern: str, text: str) -> bool:
    """Whether a quick expression is found in a text; true of a text that is too long to try."""
    return len(text) > MAX_SUBJECT or re.search(pattern, text) is not None


def _ways(items: Any) -> int:
    """In how many ways a part of an expression can match, at most; any number over the limit."""
    ways = 1
    for code, value in items:
        if code in _REPEATS:
            least, most, part = value
            most, inside = min(most, MAX_SUBJECT), _ways(part)
            ways *= 1 + max(0, most - min(least, most))
            if inside > 1:
                ways *= inside ** min(most, MAX_WAYS.bit_length())
        elif code is codes.SUBPATTERN:
            ways *= _ways(value[-1])
        elif code is codes.ATOMIC_GROUP:
            ways *= _ways(value)
        elif code is codes.BRANCH:
            ways *= sum(_ways(part) for part in value[1])
        elif code in _LOOKS:
            ways *= _ways(value[1])
        elif code is codes.GROUPREF or code is codes.GROUPREF_EXISTS:
            return MAX_WAYS + 1
        if ways > MAX_WAYS:
            break
    return ways
