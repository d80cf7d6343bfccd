"""A server that stands in for hosts other than Mastra, such as those behind a wrong address.

It responds to each request with the bytes that the test provides. It is not a mock of Mastra, but
simulates login pages, gateways, and servers that crash while they send a response.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

TLS_HANDSHAKE = b"\x16"


def http(status: int, body: bytes = b"", **headers: str) -> bytes:
    """Build a complete HTTP response. An underscore in a header name stands for a hyphen."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    named = {"Content-Type": "application/json", "Content-Length": str(len(body)), **named}
    lines = [f"HTTP/1.1 {status} -", *(f"{name}: {text}" for name, text in named.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def chunked(*chunks: bytes, end: bool = True) -> bytes:
    """Build an HTTP response with chunked encoding, with or without the final chunk."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
    parts = [b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks]
    return head + b"".join(parts) + (b"0\r\n\r\n" if end else b"")


@dataclass(frozen=True)
class Drip:
    """A response that is sent byte by byte, with a pause in seconds after each one."""

    content: bytes
    pause: float


@dataclass(frozen=True)
class Hold:
    """A response that sends bytes and then keeps the connection open without sending more."""

    content: bytes = b""


@dataclass(frozen=True)
class Endless:
    """A response that sends bytes, then repeats others until the client disconnects."""

    content: bytes
    again: bytes
    pause: float = 0.0


RawResponse = bytes | Drip | Hold | Endless


class StandIn:
    """A server on a free port of 127.0.0.1. Use it as a context manager.

    Args:
        response: the response to each request, or a function that maps a request line to it.
    """

    def __init__(self, response: RawResponse | Callable[[str], RawResponse]) -> None:
        self._response = response
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._accept)]
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        """The base URL for clients."""
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def sent(self, *methods: str) -> list[str]:
        """Return the request lines with one of the given methods."""
        return [line for line in self.requests if line.split(" ", 1)[0] in methods]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopping.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._handle, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _handle(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(10)
            line = _read_request(connection)
            self.requests.append(line)
            self._send(
                connection, self._response(line) if callable(self._response) else self._response
            )

    def _send(self, connection: socket.socket, response: RawResponse) -> None:
        match response:
            case Drip(content, pause):
                for byte in content:
                    connection.sendall(bytes([byte]))
                    if self._stopping.wait(pause):
                        return
            case Endless(content, again, pause):
                connection.sendall(content)
                while not self._stopping.wait(pause):
                    connection.sendall(again)
            case Hold(content):
                connection.sendall(content)
                self._stopping.wait(30)
            case _:
                connection.sendall(response)


def _read_request(connection: socket.socket) -> str:
    """Read a complete request and return its request line."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += _receive(connection)
        if received.startswith(TLS_HANDSHAKE):
            return "TLS"
    head, _, body = received.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    while length and len(body) < int(length[1]):
        body += _receive(connection)
    return head.split(b"\r\n", 1)[0].decode()


def _receive(connection: socket.socket) -> bytes:
    chunk = connection.recv(65_536)
    if not chunk:
        raise ConnectionError("the client has gone")
    return chunk
