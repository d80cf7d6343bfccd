"""An HTTP proxy that injects network faults in front of a real server.

It forwards everything unchanged, except for the requests that a rule matches::

    with FaultProxy(server.url) as proxy, MastraClient(proxy.url) as client:
        proxy.on("POST", r"/stream$", LoseResponse(), nth=1)
        ...
        assert proxy.count("POST", r"/stream$") == 1

Each connection carries one request: the proxy sends the server ``Connection: close``.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from mastra_workflows._api._features import NO_WORKFLOW
from tests.support.faults import CutResponse, Delay, DropRequest, Fault, Hold, LoseResponse, Respond

CHUNK = 65_536
HEAD_END = b"\r\n\r\n"


@dataclass(frozen=True)
class Seen:
    """A request that reached the proxy.

    Attributes:
        method: the HTTP method.
        path: the path as it was sent, percent-encoded, without the query.
        query: the query as it was sent.
        body: the request body.
        fault: the injected fault; None if the request was forwarded unchanged.
    """

    method: str
    path: str
    query: str
    body: bytes
    fault: Fault | None

    @property
    def is_stream(self) -> bool:
        """Whether the request subscribes to the events of a run."""
        return self.path.endswith(("/observe", "/watch"))


@dataclass
class _Rule:
    method: str
    path: re.Pattern[str]
    fault: Fault
    nth: int | None
    when: Callable[[], bool]
    matches: int = 0

    @property
    def is_general(self) -> bool:
        """Whether the rule matches every path."""
        return not self.path.pattern

    def applies(self, method: str, path: str) -> bool:
        if self.method not in ("", method) or not self.path.search(path) or not self.when():
            return False
        self.matches += 1
        return self.nth in (None, self.matches)


@dataclass(frozen=True)
class _Request:
    head: bytes
    body: bytes

    @property
    def method(self) -> str:
        return self.head.split(b" ", 1)[0].decode()

    @property
    def target(self) -> str:
        return self.head.split(b" ", 2)[1].decode()

    def forwarded(self) -> bytes:
        """Return the request for the server, with ``Connection: close``."""
        first, *headers = self.head.removesuffix(HEAD_END).split(b"\r\n")
        kept = [header for header in headers if not header.lower().startswith(b"connection:")]
        return b"\r\n".join([first, *kept, b"Connection: close"]) + HEAD_END + self.body


class FaultProxy:
    """A fault-injecting HTTP proxy on a free port of 127.0.0.1. Use it as a context manager.

    Args:
        target: the base URL of the server behind the proxy.
    """

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        assert parts.hostname is not None
        assert parts.port is not None
        self._target = (parts.hostname, parts.port)
        self._lock = threading.RLock()  # a rule's `when` may read `seen`
        self._rules: list[_Rule] = []
        self._seen: list[Seen] = []
        self._detections: list[Seen] = []
        self._port = 0
        self._socket: socket.socket | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._listening = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    @property
    def url(self) -> str:
        """The base URL for clients."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def seen(self) -> tuple[Seen, ...]:
        """All requests so far, except for `detections`."""
        with self._lock:
            return tuple(self._seen)

    @property
    def detections(self) -> tuple[Seen, ...]:
        """The client's feature detection requests. Only rules for every path match them."""
        with self._lock:
            return tuple(self._detections)

    def on(
        self,
        method: str,
        path: str,
        fault: Fault,
        *,
        nth: int | None = None,
        when: Callable[[], bool] = lambda: True,
    ) -> None:
        """Add a rule. If several rules match a request, the one that was added first applies.

        Args:
            method: the HTTP method; empty for any.
            path: a regular expression, searched for in the percent-encoded path.
            fault: the fault to inject.
            nth: the only matching request to affect, counted from 1; None for every one.
            when: called for each request with this method and path, which matches only if it
                returns True. It must be fast, since it blocks the proxy.
        """
        with self._lock:
            self._rules.append(_Rule(method, re.compile(path), fault, nth, when))

    def refuse(self, seconds: float) -> None:
        """Refuse new connections for a number of seconds, and close the open ones."""
        assert self._loop is not None
        asyncio.run_coroutine_threadsafe(self._refuse(seconds), self._loop).result()

    async def _refuse(self, seconds: float) -> None:
        await self._stop_listening()
        await asyncio.sleep(seconds)
        self._listen()

    def clear(self) -> None:
        """Remove all rules and recorded requests."""
        with self._lock:
            self._rules.clear()
            self._seen.clear()

    def count(self, method: str = "", path: str = "") -> int:
        """Return the number of requests with a method and a path pattern."""
        return sum(
            method in ("", seen.method) and bool(re.search(path, seen.path)) for seen in self.seen
        )

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._listening.wait(10), "the proxy did not start"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._loop is not None
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        assert not self._thread.is_alive(), "the proxy did not stop"

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._listen()
        self._listening.set()
        await self._stop.wait()
        await self._stop_listening()

    def _listen(self) -> None:
        # asyncio.Server loses connections that it accepts while it is closing.
        self._socket = socket.create_server(("127.0.0.1", self._port))
        self._socket.setblocking(False)
        self._port = self._socket.getsockname()[1]
        asyncio.get_running_loop().add_reader(self._socket, self._accept, self._socket)

    def _accept(self, listening: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionError):
            task = asyncio.create_task(self._handle(listening.accept()[0]))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _stop_listening(self) -> None:
        assert self._socket is not None
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()
        await asyncio.sleep(0)  # a task cancelled before its first step leaves its connection open
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _handle(self, connection: socket.socket) -> None:
        # Either side may disconnect at any time: the tests provoke that.
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection(sock=connection)
            async with _closing(writer):
                request = await _read_request(reader)
                await self._pass(request, self._note(request), reader, writer)

    def _note(self, request: _Request) -> Fault | None:
        path, _, query = request.target.partition("?")
        detects = NO_WORKFLOW in path
        with self._lock:
            rules = (
                rule
                for rule in self._rules
                if (rule.is_general or not detects) and rule.applies(request.method, path)
            )
            rule = next(rules, None)
            fault = None if rule is None else rule.fault
            seen = self._detections if detects else self._seen
            seen.append(Seen(request.method, path, query, request.body, fault))
        return fault

    async def _pass(
        self,
        request: _Request,
        fault: Fault | None,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        match fault:
            case DropRequest():
                return
            case Respond(forwarded=False):
                await _respond(writer, fault)
                return
            case Delay(seconds):
                await asyncio.sleep(seconds)
            case Hold(at="request") if not await fault.stop():
                return
        response, server = await asyncio.open_connection(*self._target)
        async with _closing(server):
            server.write(request.forwarded())
            await server.drain()
            match fault:
                case LoseResponse(wait):
                    if wait:
                        await response.read(CHUNK)
                    await _swallow(response, writer)
                case Respond():
                    await response.read(CHUNK)
                    await _respond(writer, fault)
                case CutResponse(after):
                    await _relay_some(response, writer, after)
                case Hold():
                    first = await response.read(CHUNK)
                    if fault.at == "response" and not await fault.stop():
                        await _swallow(response, writer)
                        return
                    writer.write(first)
                    await _relay(response, reader, writer)
                case _:
                    await _relay(response, reader, writer)


async def _read_request(reader: asyncio.StreamReader) -> _Request:
    head = await reader.readuntil(HEAD_END)
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    body = await reader.readexactly(int(length[1])) if length else b""
    return _Request(head, body)


async def _relay(
    response: asyncio.StreamReader, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Forward the response until either side closes the connection."""

    async def copy() -> None:
        while chunk := await response.read(CHUNK):
            writer.write(chunk)
            await writer.drain()

    ends = [asyncio.create_task(copy()), asyncio.create_task(reader.read(1))]
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for end in ends:
            end.cancel()
        await asyncio.gather(*ends, return_exceptions=True)


async def _swallow(response: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Close the client's connection, and read the server's response to its end."""
    writer.close()
    while await response.read(CHUNK):
        pass


async def _relay_some(
    response: asyncio.StreamReader, writer: asyncio.StreamWriter, after: int
) -> None:
    writer.write(await response.readuntil(HEAD_END))
    while after > 0 and (chunk := await response.read(min(CHUNK, after))):
        writer.write(chunk)
        after -= len(chunk)
    await writer.drain()


async def _respond(writer: asyncio.StreamWriter, fault: Respond) -> None:
    headers = {"Content-Length": str(len(fault.body)), "Connection": "close", **fault.headers}
    lines = [f"HTTP/1.1 {fault.status} -", *(f"{name}: {text}" for name, text in headers.items())]
    writer.write("\r\n".join(lines).encode() + HEAD_END + fault.body)
    await writer.drain()


@contextlib.asynccontextmanager
async def _closing(writer: asyncio.StreamWriter) -> AsyncIterator[None]:
    try:
        yield
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
