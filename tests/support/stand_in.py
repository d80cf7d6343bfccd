"""A stand-in for hosts that are not Mastra: what answers when an address is wrong.

Each request gets the bytes that the test gave, as they are. It is no mock of Mastra: it is for
login pages, gateways, and servers that fall over in the middle of an answer.
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
    """A whole HTTP answer; an underscore in a header's name stands for a hyphen."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    named = {"Content-Type": "application/json", "Content-Length": str(len(body)), **named}
    lines = [f"HTTP/1.1 {status} -", *(f"{name}: {text}" for name, text in named.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def chunked(*chunks: bytes, end: bool = True) -> bytes:
    """A streamed HTTP answer in these chunks, with or without its end."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
    parts = [b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks]
    return head + b"".join(parts) + (b"0\r\n\r\n" if end else b"")


@dataclass(frozen=True)
class Drip:
    """Sends bytes one at a time, so many seconds apart."""

    content: bytes
    pause: float


@dataclass(frozen=True)
class Hold:
    """Sends bytes and keeps the connection open, silent."""

    content: bytes = b""


@dataclass(frozen=True)
class Endless:
    """Sends bytes, and then others again and again, until the client goes away."""

    content: bytes
    again: bytes
    pause: float = 0.0


Answer = bytes | Drip | Hold | Endless


class StandIn:
    """A server on a free port of 127.0.0.1; enter it as a context manager.

    Args:
        answer: what each request gets, or a function of the request's first line.
    """

    def __init__(self, answer: Answer | Callable[[str], Answer]) -> None:
        self._answer = answer
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._accept)]
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        """The base URL to give to a client."""
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def sent(self, *methods: str) -> list[str]:
        """The first lines of the requests of some methods."""
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
            self._send(connection, self._answer(line) if callable(self._answer) else self._answer)

    def _send(self, connection: socket.socket, answer: Answer) -> None:
        match answer:
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
                connection.sendall(answer)


def _read_request(connection: socket.socket) -> str:
    """Read a whole request; returns its first line."""
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
