"""Validated settings of a client: address, secrets, limits and timeouts."""

from __future__ import annotations

import base64
import logging
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Self, TypedDict, Unpack
from urllib.parse import quote, urlsplit

from mastra_workflows import _secrets
from mastra_workflows._policy import Duration, RetryPolicy, as_seconds, require_positive
from mastra_workflows.errors import ConfigurationError

log = logging.getLogger(__name__)

LONG_CALL_TIMEOUT = 200.0
"""The timeout of requests that the server responds to when the run has finished, in seconds.
Servers cut them after 180."""

WHOLE_RESPONSE = 10
"""The maximum duration of a whole response that makes progress, as a multiple of ``timeout``."""

ClientCertificate = str | tuple[str, str] | tuple[str, str, str]
"""The path of a PEM file with a certificate and its key; or the paths of both; or these and the
password of the key."""

_EXAMPLE = "such as http://localhost:4111"
_TOKEN = re.compile(r"[\x21-\x7e]+")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"([\x21-\x7e]([\t\x20-\x7e]*[\x21-\x7e])?)?")
_SECRET_HEADER = re.compile(r"auth|cookie|key|pass|secret|session|token", re.IGNORECASE)
_PLAIN_HEADER = re.compile(r"(accept|content|user-agent)\b", re.IGNORECASE)
_MOST_SHOWN = 40
_LIKE_A_SECRET = re.compile(r"(?=.*\d)(?=.*[A-Za-z])\S{8,}")
"""Matches values of other headers that count as secrets. Plain words do not match, such as a team's
name, since they may also occur in ids and messages."""

_HOST_LABEL = re.compile(r"[\w-]{1,63}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_PATH_CHARACTERS = "/%:@!$&'()*+,;=~-._"

RESERVED_HEADERS = frozenset(
    {
        "connection",
        "content-encoding",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "trailers",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers that the transport sets itself, for message framing and connection handling."""

_warned_of: set[str] = set()


class OfOneProcess:
    """Base class of objects with secrets and connections, which cannot be copied or pickled."""

    __slots__ = ()

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Refuse to be copied or pickled."""
        raise TypeError(
            f"cannot pickle or copy {type(self).__name__!r} object: a Mastra client, and the "
            "workflows and runs made by it, hold secrets and connections. Make a client in each "
            "process."
        )


class SettingsArguments(TypedDict, total=False):
    """The keyword arguments of `MastraClient`."""

    token: str | None
    basic_auth: tuple[str, str] | None
    headers: Mapping[str, str] | None
    api_prefix: str
    timeout: Duration
    connect_timeout: Duration
    verify: bool | str
    client_cert: ClientCertificate | None
    max_body_bytes: int
    retry: RetryPolicy | None
    check_data: bool
    start_timeout: Duration


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(OfOneProcess):
    """The address, secrets, limits and timeouts of a client; see `MastraClient`.

    ``base_url`` has a scheme, host and port, and optionally a path in front of the API prefix. The
    repr contains no secret.

    Raises:
        ConfigurationError: a setting is invalid.
    """

    base_url: str
    token: str | None = field(default=None, repr=False)
    basic_auth: tuple[str, str] | None = field(default=None, repr=False)
    headers: Mapping[str, str] | None = field(default=None, repr=False)
    api_prefix: str = "/api"
    timeout: float = 30.0
    connect_timeout: float = 10.0
    verify: bool | str = True
    client_cert: ClientCertificate | None = field(default=None, repr=False)
    max_body_bytes: int = 64 * 1024 * 1024
    retry: RetryPolicy | None = None
    check_data: bool = True
    start_timeout: float = 30.0

    def __post_init__(self) -> None:
        prefix = _api_prefix(self.api_prefix)
        changed = {
            "api_prefix": prefix,
            "base_url": _base_url(self.base_url, prefix),
            "headers": _headers(self.headers),
            "verify": _verify(self.verify),
            "client_cert": _client_cert(self.client_cert),
            "basic_auth": _basic_auth(self.basic_auth),
            **{
                name: as_seconds(name, getattr(self, name))
                for name in ("timeout", "connect_timeout", "start_timeout")
            },
        }
        for name, value in changed.items():
            object.__setattr__(self, name, value)
        if isinstance(self.max_body_bytes, bool) or not isinstance(self.max_body_bytes, int):
            raise _wrong_type("max_body_bytes", "an integer (bytes)", self.max_body_bytes)
        require_positive(
            timeout=self.timeout,
            connect_timeout=self.connect_timeout,
            max_body_bytes=self.max_body_bytes,
            start_timeout=self.start_timeout,
        )
        if not isinstance(self.check_data, bool):
            raise _wrong_type("check_data", "True or False", self.check_data)
        if not isinstance(self.retry, RetryPolicy | None):
            raise _wrong_type("retry", "a RetryPolicy", self.retry)
        if not isinstance(self.token, str | None):
            raise _wrong_type("token", "a string", self.token)
        if self.token is not None and not _TOKEN.fullmatch(self.token):
            raise ConfigurationError(
                "The token is empty or contains spaces, line breaks or non-ASCII characters."
            )
        logins = {
            "token": self.token is not None,
            "basic_auth": self.basic_auth is not None,
            "an Authorization header": "authorization" in map(str.lower, self.headers or {}),
        }
        if sum(logins.values()) > 1:
            raise ConfigurationError(
                f"Both {' and '.join(name for name, given in logins.items() if given)} are given, "
                "but a request has one Authorization header. Leave all but one out."
            )
        _secrets.register(self._secrets())

    @classmethod
    def of(cls, base_url: str, **arguments: Unpack[SettingsArguments]) -> Self:
        """Create the settings from the arguments of a client."""
        values: dict[str, Any] = dict(arguments)
        return cls(base_url=base_url, **values)

    @property
    def api_url(self) -> str:
        """The URL that the path of each request is appended to."""
        return self.base_url + self.api_prefix

    def all_headers(self) -> dict[str, str]:
        """Return the headers of every request, including secrets."""
        headers = dict(self.headers or {})
        if "accept" not in map(str.lower, headers):
            headers = {"Accept": "application/json", **headers}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        if self.basic_auth is not None:
            login = base64.b64encode(":".join(self.basic_auth).encode()).decode()
            headers["Authorization"] = f"Basic {login}"
        return headers

    def _secrets(self) -> Iterator[str]:
        """Yield the texts to mask in log lines and errors."""
        if self.basic_auth is not None:
            yield self.basic_auth[1]
        for name, value in self.all_headers().items():
            if _SECRET_HEADER.search(name):
                yield value
                yield value.partition(" ")[2].strip()  # behind a scheme such as "Bearer"
                if "cookie" in name.lower():
                    pairs = (pair.partition("=")[2] for pair in value.split(";"))
                    yield from (pair.strip().strip('"') for pair in pairs)
            elif not _PLAIN_HEADER.match(name) and _LIKE_A_SECRET.fullmatch(value):
                yield value

    def warn_if_exposed(self) -> None:
        """Warn, once for each server, if secrets are sent unencrypted to another host."""
        if not self.base_url.startswith("http:") or self.base_url in _warned_of:
            return
        if any(map(_SECRET_HEADER.search, self.all_headers())) and not _is_loopback(self.base_url):
            _warned_of.add(self.base_url)
            log.warning(
                "The token or secret headers for %s are sent unencrypted, over plain http. Use "
                "https, or a private network.",
                self.base_url,
            )


def _wrong_type(name: str, expected: str, value: object) -> ConfigurationError:
    # Show only the type: the value may be a secret.
    return ConfigurationError(f"{name}: expected {expected}, got {type(value).__name__}.")


def _headers(headers: object) -> dict[str, str] | None:
    if headers is None:
        return None
    if not isinstance(headers, Mapping):
        raise _wrong_type("headers", "a mapping of header names to strings", headers)
    seen: set[str] = set()
    for name, value in headers.items():
        if not isinstance(name, str):
            raise _wrong_type("headers", "strings as names", name)
        if not _HEADER_NAME.fullmatch(name):
            # Show only the beginning: the rest may be a secret, as in "Authorization: Bearer ...".
            begin = _HEADER_NAME.match(name)
            shown = repr(begin[0][:_MOST_SHOWN] + "…") if begin else "a name"
            raise ConfigurationError(f"headers: {shown} is not a valid header name.")
        if not isinstance(value, str):
            raise _wrong_type(f"Header {name!r}", "a string", value)
        if not _HEADER_VALUE.fullmatch(value):
            raise ConfigurationError(
                f"The value of header {name!r} contains a line break, a leading or trailing "
                "space, or a non-ASCII character."
            )
        if name.lower() in RESERVED_HEADERS:
            raise ConfigurationError(
                f"Header {name!r} is set by the client for each request; leave it out."
            )
        if name.lower() in seen:
            raise ConfigurationError(f"Header {name!r} is given twice.")
        seen.add(name.lower())
    return dict(headers)


def _verify(verify: object) -> bool | str:
    if isinstance(verify, bool):
        return verify
    path = _path("verify", verify, "true, false or the path of a CA bundle")
    if not _exists(path):
        raise ConfigurationError(f"verify: the CA bundle {path!r} does not exist.")
    return path


def _client_cert(certificate: object) -> ClientCertificate | None:
    if certificate is None:
        return None
    expected = "a path, (certificate, key) or (certificate, key, password)"
    parts = certificate if isinstance(certificate, tuple | list) else (certificate,)
    if not 1 <= len(parts) <= 3:
        raise _wrong_type("client_cert", expected, certificate)
    paths = [_path("client_cert", part, expected) for part in parts[:2]]
    if missing := [path for path in paths if not _exists(path)]:
        raise ConfigurationError(f"client_cert: the file {missing[0]!r} does not exist.")
    if len(parts) == 1:
        return paths[0]
    if len(parts) == 2:
        return paths[0], paths[1]
    if not isinstance(parts[2], str):
        raise _wrong_type("client_cert's password", "a string", parts[2])
    return paths[0], paths[1], parts[2]


def _path(name: str, value: object, expected: str) -> str:
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if not isinstance(value, str):
        raise _wrong_type(name, expected, value)
    return value


def _exists(path: str) -> bool:
    try:
        return bool(path) and Path(path).exists()
    except (OSError, ValueError):  # too long, or not a path
        return False


def _basic_auth(login: object) -> tuple[str, str] | None:
    if login is None:
        return None
    if not isinstance(login, tuple | list) or len(login) != 2:
        raise _wrong_type("basic_auth", "(user, password)", login)
    user, password = login
    if not isinstance(user, str) or not isinstance(password, str):
        raise ConfigurationError("basic_auth: user and password must be strings.")
    if not user or ":" in user:
        raise ConfigurationError("basic_auth: the user is empty or contains a colon.")
    if _CONTROL.search(user + password) or not _is_utf8(user + password):
        raise ConfigurationError("basic_auth: the user or password contains control characters.")
    return user, password


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _api_prefix(prefix: object) -> str:
    if not isinstance(prefix, str):
        raise _wrong_type("api_prefix", "a path such as /api", prefix)
    path = prefix.strip().strip("/")
    if _CONTROL.search(path) or "?" in path or "#" in path or not _is_utf8(path):
        raise ConfigurationError("api_prefix: expected a path such as /api.")
    return "/" + quote(path, safe=_PATH_CHARACTERS) if path else ""


def _base_url(text: object, prefix: str) -> str:
    # No message quotes the text or a parser's error: it may contain a password.
    if not isinstance(text, str):
        raise _wrong_type("base_url", f"a URL {_EXAMPLE}", text)
    try:
        parts = urlsplit(text.strip())
        hostname = parts.hostname
    except ValueError:
        raise ConfigurationError(
            f"The base URL's host is malformed; give a URL {_EXAMPLE}."
        ) from None
    if parts.scheme not in ("http", "https") or not hostname:
        raise ConfigurationError(
            f"The base URL has no http:// or https:// scheme and host; give a URL {_EXAMPLE}."
        )
    if "@" in parts.netloc:
        raise ConfigurationError(
            "The base URL contains a user or password; use token or basic_auth instead."
        )
    if parts.query or parts.fragment:
        raise ConfigurationError(f"The base URL has a query or fragment; give a URL {_EXAMPLE}.")
    try:
        port = parts.port
    except ValueError:
        raise ConfigurationError(
            f"The base URL's port is not valid; give a URL {_EXAMPLE}."
        ) from None
    if port == 0:
        raise ConfigurationError("The base URL's port is 0, which is not valid.")
    if not _is_utf8(parts.path):
        raise ConfigurationError(
            f"The base URL's path is not valid Unicode; give a URL {_EXAMPLE}."
        )
    path = quote(parts.path, safe=_PATH_CHARACTERS).rstrip("/")
    if prefix and path.endswith(prefix):
        path = path[: -len(prefix)].rstrip("/")  # the URL of the API itself was given
    return f"{parts.scheme}://{_host(hostname)}{f':{port}' if port else ''}{path}"


def _host(hostname: str) -> str:
    if ":" in hostname:
        return f"[{hostname}]"  # an IPv6 address, already parsed
    labels = hostname.removesuffix(".").split(".")
    if not all(map(_HOST_LABEL.fullmatch, labels)):
        raise ConfigurationError(f"The base URL's host name is not valid; give a URL {_EXAMPLE}.")
    if hostname.isascii():
        return hostname
    import idna

    try:
        return idna.encode(hostname, uts46=True).decode()
    except UnicodeError:
        raise ConfigurationError(
            f"The base URL's host name is not valid; give a URL {_EXAMPLE}."
        ) from None


def _is_loopback(base_url: str) -> bool:
    host = urlsplit(base_url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
