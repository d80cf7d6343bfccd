"""Mask the secrets of this process's clients in log lines and error messages.

A server or proxy that echoes the request would put them there, as in ``you sent Authorization:
Bearer ...``; so would a workflow that throws its own headers. `text.safe_text`, which all remote
text passes on its way into a log or an error, masks them. They stay registered after their client
is closed, since an error may be shown later.
"""

from __future__ import annotations

import base64
import html
import json
import os
import re
import threading
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

MASK = "***"

SHORTEST = 4
"""The minimum length of a secret. Shorter texts occur in too many words."""

MOST = 500
"""The maximum number of registered secrets; the least recently used ones are dropped."""

_UNRESERVED_IN_JAVASCRIPT = "!'()*"
_ESCAPE = re.compile("%[0-9A-F]{2}")
_UNICODE_ESCAPE = re.compile(r"(\\u)([0-9a-f]{4})")
_ESCAPED_IN_GO = {ord(character): f"\\u{ord(character):04x}" for character in "<>&"}

_lock = threading.Lock()
_secrets: dict[str, frozenset[str]] = {}  # each with its forms, the most recently used one last
_forms: tuple[str, ...] = ()


def _renew_lock() -> None:
    """Replace the lock in a forked child: the thread that held it exists only in the parent."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def register(secrets: Iterable[str]) -> None:
    """Mask these secrets from now on, in every form in which an error may contain them."""
    global _secrets, _forms
    with _lock:
        known = dict(_secrets)  # replaced as a whole, so that a concurrent fork loses nothing
        for secret in secrets:
            if len(secret) >= SHORTEST and secret.strip("*"):
                known[secret] = known.pop(secret, frozenset()) or frozenset(_forms_of(secret))
        while len(known) > MOST:
            del known[next(iter(known))]
        if known.keys() != _secrets.keys():
            every = {form for forms in known.values() for form in forms}
            _forms = tuple(sorted(every, key=len, reverse=True))  # a form may contain a shorter one
        _secrets = known


def mask(text: str) -> str:
    """Return a text with all secrets masked."""
    for form in _forms:
        if form in text:
            text = text.replace(form, MASK)
    return text


def longest() -> int:
    """Return the length of the longest form of a secret."""
    return len(_forms[0]) if _forms else 0


def _forms_of(secret: str) -> Iterator[str]:
    yield secret
    yield html.escape(secret)
    yield html.escape(secret).replace("&quot;", "&#34;").replace("&#x27;", "&#39;")  # Go's
    yield repr(secret)[1:-1]
    for is_ascii in (True, False):
        text = json.dumps(secret, ensure_ascii=is_ascii)[1:-1]
        yield text
        yield _UNICODE_ESCAPE.sub(lambda escape: escape[1] + escape[2].upper(), text)
        yield text.replace("/", "\\/")  # PHP's
        yield text.translate(_ESCAPED_IN_GO)
        yield json.dumps(text, ensure_ascii=is_ascii)[1:-1]  # JSON inside of JSON
    raw = secret.encode(errors="replace")
    for safe in ("", "/", _UNRESERVED_IN_JAVASCRIPT):
        encoded = quote(raw, safe=safe)
        yield encoded
        yield _ESCAPE.sub(lambda escape: escape[0].lower(), encoded)
        yield encoded.replace("%", "%25")  # encoded twice, as in a redirect
    yield quote_plus(raw)
    yield base64.b64encode(raw).decode().rstrip("=")
    yield base64.urlsafe_b64encode(raw).decode().rstrip("=")
