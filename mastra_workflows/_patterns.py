"""A server's regular expressions, as JavaScript means them, in linear time.

Python's own engine tries 2ⁿ ways through a text of n characters by an expression such as
``^(a+)+$``. RE2 needs linear time for every expression. What RE2 cannot
read, such as a lookahead, and what JavaScript reads otherwise is left to the server.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, NamedTuple

MAX_PATTERN = 500
"""How many characters an expression that is tried may have."""

MAX_SUBJECT = 1_000
"""How many characters a text may have that an expression is tried on."""

MAX_MEMORY = 128 * 1024
"""Bytes that one expression may take: some thousands of states, each tried at each character."""

_ESCAPE = re.compile(
    r"\\(?:u(?P<unit>[0-9A-Fa-f]{4})|x[0-9A-Fa-f]{2}|[dDwWsSbBtnrfv0]|[^0-9A-Za-z])", re.DOTALL
)
"""The escapes that both languages have, and ``\\u00e9``, which RE2 spells otherwise."""

_READ_OTHERWISE = re.compile(r"\\|\[\^?\]|\[:.*:\]|\{(?:[0-9]+,)?[0-9]{5}", re.DOTALL)
"""What is no such escape; an empty set; a class such as ``[:alpha:]``; a count that RE2 takes for a
text."""

_SEVERAL_UNITS = re.compile("[\ud800-\udfff\U00010000-\U0010ffff]")
"""What is two characters in JavaScript, or half of one."""

_OTHER_SPACE = re.compile("[\v\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]")
r"""What is ``\s`` in JavaScript alone."""


class Pattern(NamedTuple):
    """An expression that can be tried.

    Attributes:
        regex: what RE2 has made of it.
        knows_spaces: whether ``\\s`` or ``\\S`` is in it.
    """

    regex: Any
    knows_spaces: bool

    def cost(self, text: str) -> int:
        """How many steps RE2 takes at most: each of its states at each character."""
        return int(self.regex.programsize) * len(text)

    def fits(self, text: str) -> bool:
        """Whether it is found in a text; true of a text that is left to the server."""
        is_left = (
            len(text) > MAX_SUBJECT
            or _SEVERAL_UNITS.search(text) is not None
            or (self.knows_spaces and _OTHER_SPACE.search(text) is not None)
        )
        return is_left or self.regex.search(text) is not None


@lru_cache(maxsize=256)
def read_pattern(pattern: str) -> Pattern | None:
    """Read an expression; None if it is left to the server."""
    # Only an input with a pattern in its schema needs it.
    import re2

    if len(pattern) > MAX_PATTERN or _READ_OTHERWISE.search(_ESCAPE.sub(".", pattern)):
        return None
    translated = _ESCAPE.sub(
        lambda found: rf"\x{{{found['unit']}}}" if found["unit"] else found[0], pattern
    )
    options = re2.Options()
    options.max_mem = MAX_MEMORY
    options.never_capture = True
    options.log_errors = False
    try:
        regex = re2.compile(translated, options)
    except (re2.error, UnicodeEncodeError):
        return None
    return Pattern(regex, r"\s" in pattern.lower())
