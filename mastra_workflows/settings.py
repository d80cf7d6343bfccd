"""Where the server is and how to talk to it: checked once, for every driver."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict
from urllib.parse import urlsplit

from mastra_workflows.errors import ConfigurationError
from mastra_workflows.policy import RetryPolicy, require_positive

LONG_CALL_TIMEOUT = 200.0
"""Seconds for calls that answer when the run is done; servers cut them after 180."""

_TOKEN = re.compile(r"[\x21-\x7e]+")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"([\x21-\x7e]([\t\x20-\x7e]*[\x21-\x7e])?)?")
_HOST_LABEL = re.compile(r"[\w-]{1,63}")


class ClientArguments(TypedDict, total=False):
    """What both clients take beside the base URL, each as a keyword.

    Attributes:
        token: sent as ``Authorization: Bearer``.
        headers: sent with every request; kept out of reprs and messages, like the token.
        api_prefix: the server's API prefix; ``/api`` by default.
        timeout: seconds that the server may be silent in an answer; 30 by default.
        connect_timeout: seconds that a connection may take; 10 by default.
        verify: whether to check TLS certificates, or the path of a CA bundle; True by default.
        max_body_bytes: the limit for a request's body, an answer's, and a record of a stream;
            64 MiB by default.
        retry: how transient failures are retried on calls that are safe to repeat.
        check_data: whether input and resume data are checked against the workflow's own JSON
            Schemas before they are sent; True by default. A missing field, or a list or number
            where an object belongs, is an error. Other mismatches are logged as warnings, since
            ``z.coerce`` and ``z.preprocess`` may convert the value: Mastra 1.x refuses it then,
            0.x takes any value as it is. Set it to False for a ``z.preprocess`` that adds required
            fields. Costs one request a minute and workflow.
        start_timeout: seconds that the server may take to show that a run executes, or goes on
            after a resume; 30 by default.
    """

    token: str | None
    headers: Mapping[str, str] | None
    api_prefix: str
    timeout: float
    connect_timeout: float
    verify: bool | str
    max_body_bytes: int
    retry: RetryPolicy | None
    check_data: bool
    start_timeout: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The address, the secrets, the limits and the patience of a client.

    See `ClientArguments`; ``base_url`` is scheme, host, port and perhaps a path in front of the API
    prefix. The repr holds no secret.

    Raises:
        ConfigurationError: a setting cannot work.
    """

    base_url: str
    token: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] | None = field(default=None, repr=False)
    api_prefix: str = "/api"
    timeout: float = 30.0
    connect_timeout: float = 10.0
    verify: bool | str = True
    max_body_bytes: int = 64 * 1024 * 1024
    retry: RetryPolicy | None = None
    check_data: bool = True
    start_timeout: float = 30.0

    def __post_init__(self) -> None:
        prefix = "/" + self.api_prefix.strip("/") if self.api_prefix.strip("/") else ""
        object.__setattr__(self, "api_prefix", prefix)
        object.__setattr__(self, "base_url", _base_url(self.base_url, prefix))
        require_positive(
            timeout=self.timeout,
            connect_timeout=self.connect_timeout,
            max_body_bytes=self.max_body_bytes,
            start_timeout=self.start_timeout,
        )
        if self.token is not None and not _TOKEN.fullmatch(self.token):
            raise ConfigurationError(
                "The token is empty or has spaces, line ends or non-ASCII characters in it."
            )
        for name, value in (self.headers or {}).items():
            if not _HEADER_NAME.fullmatch(name) or not isinstance(value, str):
                raise ConfigurationError(f"Header {name!r} is no header name with a text value.")
            if not _HEADER_VALUE.fullmatch(value):
                raise ConfigurationError(
                    f"The value of header {name!r} has a line end, a space at its edge or a "
                    "non-ASCII character in it."
                )
        if isinstance(self.verify, str) and not (self.verify and Path(self.verify).exists()):
            raise ConfigurationError(f"verify names a CA bundle that is not there: {self.verify!r}")

    @property
    def api_url(self) -> str:
        """What every request's path is put behind."""
        return self.base_url + self.api_prefix

    def all_headers(self) -> dict[str, str]:
        """The headers of every request, secrets included."""
        headers = {"Accept": "application/json", **(self.headers or {})}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        return headers


def _base_url(text: str, prefix: str) -> str:
    example = "such as http://localhost:4111"
    try:
        parts = urlsplit(text.strip())
    except ValueError:
        raise ConfigurationError(f"The base URL's host is malformed; give one {example}.") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        # The text itself may hold a password; only a harmless part of it is repeated.
        raise ConfigurationError(
            f"The base URL has no http:// or https:// scheme and host; give one {example}."
        )
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError("The base URL holds a user or password; give a token instead.")
    if parts.query or parts.fragment:
        raise ConfigurationError(f"The base URL has a query or fragment; give one {example}.")
    if not _is_host(parts.hostname):
        raise ConfigurationError(f"The base URL's host is no host name; give one {example}.")
    try:
        port = parts.port
    except ValueError as error:
        raise ConfigurationError(f"The base URL's port is no port number: {error}.") from None
    if port == 0:
        raise ConfigurationError("The base URL's port is 0, where no server can be reached.")
    path = parts.path.rstrip("/")
    if prefix and path.endswith(prefix):
        path = path[: -len(prefix)].rstrip("/")  # the address of the API itself was given
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}{path}"


def _is_host(host: str) -> bool:
    if ":" in host:
        return True  # an IPv6 address, which was parsed already
    return all(_HOST_LABEL.fullmatch(label) for label in host.removesuffix(".").split("."))
