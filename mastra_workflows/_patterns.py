"""Match a server's regular expressions with JavaScript semantics, in linear time.

Python's engine tries 2ⁿ ways to match a text of n characters with an expression such as
``^(a+)+$``. RE2 needs linear time for every expression. Expressions that RE2 does not support, such
as a lookahead, or that JavaScript interprets differently are left to the server.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, NamedTuple

MAX_PATTERN = 500
"""The maximum length of an expression in characters."""

MAX_SUBJECT = 1_000
"""The maximum length of a text to match in characters."""

MAX_MEMORY = 128 * 1024
"""The memory limit of one expression in bytes: some thousands of states, each tried at each
character."""

_ESCAPE = re.compile(
    r"\\(?:u(?P<unit>[0-9A-Fa-f]{4})|x[0-9A-Fa-f]{2}|[dDwWsSbBtnrfv0]|[^0-9A-Za-z])", re.DOTALL
)
"""The escapes that both engines support, and ``\\u00e9``, which RE2 spells differently."""

_READ_OTHERWISE = re.compile(r"\\|\[\^?\]|\[:.*:\]|\{(?:[0-9]+,)?[0-9]{5}", re.DOTALL)
"""Other escapes; an empty set; a class such as ``[:alpha:]``; a count that RE2 reads as text."""

_SEVERAL_UNITS = re.compile("[\ud800-\udfff\U00010000-\U0010ffff]")
"""Characters that are two code units in JavaScript, and lone surrogates."""

_OTHER_SPACE = re.compile("[\v\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]")
r"""Characters that ``\s`` matches in JavaScript only."""


class Pattern(NamedTuple):
    """A compiled expression.

    Attributes:
        regex: the compiled expression of RE2.
        knows_spaces: whether the expression contains ``\\s`` or ``\\S``.
    """

    regex: Any
    knows_spaces: bool

    def cost(self, text: str) -> int:
        """Return the maximum number of steps of RE2: each of its states at each character."""
        return int(self.regex.programsize) * len(text)

    def fits(self, text: str) -> bool:
        """Return whether a text matches; True for a text that is left to the server."""
        is_left = (
            len(text) > MAX_SUBJECT
            or _SEVERAL_UNITS.search(text) is not None
            or (self.knows_spaces and _OTHER_SPACE.search(text) is not None)
        )
        return is_left or self.regex.search(text) is not None


@lru_cache(maxsize=256)
def read_pattern(pattern: str) -> Pattern | None:
    """Compile an expression; None if it is left to the server."""
    # Imported here, since only schemas with a pattern need it.
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
