"""Time and size limits of responses that `requests` reads.

The timeout of `requests` applies to one `recv`, so a server that sends a byte now and then never
times out. Here all reads of a response go through a file object with a deadline: interim responses,
headers, the body with its framing, and trailers.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import socket
import time
from collections.abc import Iterator
from contextvars import ContextVar
from math import inf
from typing import Any

import requests
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

PIECE_BYTES = 65_536

FRAMING_BYTES = 1024 * 1024
"""The maximum number of bytes to read without receiving content, such as trailers."""

LONGEST_TIMEOUT = 1_000_000.0


class Limits:
    """The limits of one response; they can change while it is read.

    Attributes:
        silence: the timeout of each read in seconds.
        until: the monotonic time of the deadline.
        is_on: False leaves the socket's own timeout unchanged.
        bytes_left: how many more bytes may be read before the next piece of content.
    """

    def __init__(self, silence: float, until: float = inf) -> None:
        self.silence = silence
        self.until = until
        self.is_on = True
        self.bytes_left = FRAMING_BYTES

    def apply(self, connected: socket.socket) -> None:
        """Set the timeout of a socket to the remaining time.

        Raises:
            TimeoutError: no time is left.
        """
        if not self.is_on:
            return
        left = min(self.silence, self.until - time.monotonic())
        if left <= 0:
            raise TimeoutError("timed out")
        connected.settimeout(None if left > LONGEST_TIMEOUT else left)

    def end(self) -> None:
        """Stop limiting; the reader enforces its own timeouts from now on."""
        self.is_on = False


_limits: ContextVar[Limits | None] = ContextVar("limits", default=None)


@contextlib.contextmanager
def limited(limits: Limits, head_within: float) -> Iterator[Limits]:
    """Limit the response that is opened in this block.

    Args:
        limits: the limits.
        head_within: seconds until the headers have to be complete; afterwards, the block sets
            `Limits.until`.
    """
    limits.until = min(limits.until, time.monotonic() + head_within)
    token = _limits.set(limits)
    try:
        yield limits
    finally:
        _limits.reset(token)


class _Timed(io.RawIOBase):
    """A raw stream of a socket with limits."""

    def __init__(self, raw: Any, connected: socket.socket, limits: Limits) -> None:
        self._raw = raw
        self._connected = connected
        self._limits = limits

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._limits.apply(self._connected)
        size: int = self._raw.readinto(buffer)
        self._limits.bytes_left -= size
        if self._limits.bytes_left < 0:
            raise OSError("far too much framing without content")
        return size

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


class _LimitedResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.connected = sock
        self.limits = _limits.get()
        if self.limits is not None:
            timed = _Timed(self.fp.detach(), sock, self.limits)
            self.fp = io.BufferedReader(timed)

    def _read_status(self) -> tuple[str, int, str]:
        """Skip every interim response; the standard library skips only 100.

        It would take a 103 for the response, and the response for that of the next request.
        """
        version, status, reason = super()._read_status()  # type: ignore[misc]
        is_interim = 100 < status < 200 and status != http.HTTPStatus.SWITCHING_PROTOCOLS
        return version, http.HTTPStatus.CONTINUE if is_interim else status, reason


class _Connection(HTTPConnection):
    response_class = _LimitedResponse


class _SecureConnection(HTTPSConnection):
    response_class = _LimitedResponse


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


POOLS_BY_SCHEME = {"http": _Pool, "https": _SecurePool}


def connected_socket(response: requests.Response) -> socket.socket | None:
    """Return the socket that a response is read from; None once it is read."""
    opened = getattr(response.raw, "_fp", None)
    if isinstance(opened, _LimitedResponse) and opened.fp is not None:
        return opened.connected
    return None


def pieces(response: requests.Response) -> Iterator[bytes]:
    """Yield the content of a response as it arrives, in pieces of bounded size.

    Raises:
        requests.RequestException: the connection broke, or the response is malformed.
    """
    limits = getattr(getattr(response.raw, "_fp", None), "limits", None)
    while True:
        if limits is not None:
            limits.bytes_left = FRAMING_BYTES
        try:
            piece = response.raw.read1(PIECE_BYTES, decode_content=True)
        except urllib3.exceptions.ReadTimeoutError as error:
            raise requests.ReadTimeout(error) from None
        except (urllib3.exceptions.HTTPError, http.client.HTTPException) as error:
            raise requests.ConnectionError(error) from None
        except (OSError, ValueError, OverflowError, MemoryError, AttributeError) as error:
            raise requests.ConnectionError(error) from None
        if not piece:
            return
        yield piece
