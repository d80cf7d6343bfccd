"""The asyncio driver, based on `aiohttp`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass
from math import inf
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp
from requests.utils import get_environ_proxies, select_proxy
from yarl import URL

from mastra_workflows import _failures
from mastra_workflows._api import Request, Response, check, is_success
from mastra_workflows._models import Event
from mastra_workflows._pools import Leases, Pools
from mastra_workflows._procedures import (
    Effect,
    Follower,
    Listen,
    Open,
    Parse,
    Procedure,
    Send,
    Sleep,
    StreamResult,
)
from mastra_workflows._settings import LONG_CALL_TIMEOUT, WHOLE_RESPONSE, OfOneProcess, Settings
from mastra_workflows._sockets import KEEPALIVE_OPTIONS
from mastra_workflows._stream import Decoder
from mastra_workflows._text import LARGE
from mastra_workflows._tls import tls_context
from mastra_workflows.errors import BodyTooLargeError, ConfigurationError, ConnectionFailedError

T = TypeVar("T")

IDLE_SECONDS = 4.0
"""How long an idle connection is kept. Node closes it after slightly more than 5 seconds. A POST
sent at that moment is lost, and a start that may be lost costs a poll."""

PIECE_BYTES = 32 * 1024
"""How much of a response is handled before the event loop serves other tasks."""


@dataclass(frozen=True, slots=True)
class _Pool:
    """A session, and the only event loop that may use its connections."""

    loop: asyncio.AbstractEventLoop
    session: aiohttp.ClientSession

    async def close(self) -> None:
        if self.loop is asyncio.get_running_loop() or self.loop.is_closed():
            await self.session.close()
        else:
            asyncio.run_coroutine_threadsafe(self.session.close(), self.loop)


def _leave_to_aiohttp(_pool: _Pool) -> None:
    """Do nothing: an unclosed session closes its connections on collection, with a warning."""


_pools: Pools[_Pool] = Pools(_leave_to_aiohttp)


class AsyncTransport(OfOneProcess):
    """The HTTP transport of one client.

    In each event loop, it shares a connection pool with the other clients of the same server.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._closed = False
        self._leases = Leases(_pools, settings)
        settings.warn_if_exposed()
        # Use the proxy rules of `requests`, so that both clients use the same proxy. aiohttp's own
        # lookup would read .netrc for every request and override our header.
        self._proxy = select_proxy(
            settings.api_url, get_environ_proxies(settings.api_url, no_proxy=None)
        )

    async def close(self) -> None:
        """Release the connections; the last client of a server closes them."""
        self._closed = True
        for last in self._leases.give_back():
            await last.close()

    async def run(self, procedure: Procedure[T]) -> T:
        """Run a procedure to its end."""
        with contextlib.closing(procedure):
            step = procedure.send
            value: Any = None
            while True:
                try:
                    effect = step(value)
                except StopIteration as stop:
                    result: T = stop.value
                    return result
                try:
                    value = await self._perform(effect)
                    step = procedure.send
                except Exception as error:
                    value = error
                    step = procedure.throw

    async def _perform(self, effect: Effect) -> Any:
        match effect:
            case Send(request, within):
                return await self._send(request, within)
            case Sleep(seconds):
                await asyncio.sleep(seconds)
                return None
            case Listen():
                return await self._listen(effect)
            case Open(request):
                return await self._open_stream(request)
            case Parse(response, parse) if len(response.content) >= LARGE:
                return await asyncio.to_thread(parse, response)
            case Parse(response, parse):
                return parse(response)

    async def _send(self, request: Request, within: float) -> Response:
        timeout = LONG_CALL_TIMEOUT if request.waits else self.settings.timeout
        try:
            async with asyncio.timeout(_patience(min(within, timeout * WHOLE_RESPONSE))):
                response = await self._begin(request, timeout)
                with contextlib.closing(response):
                    return await self._read(response)
        except TimeoutError:
            raise _failures.silent(self.settings.base_url) from None

    async def _begin(self, request: Request, timeout: float) -> aiohttp.ClientResponse:
        """Open a response whose headers have to arrive in time, including the connection time."""
        limit = timeout + self.settings.connect_timeout
        try:
            async with asyncio.timeout(limit):
                return await self._open(request, timeout)
        except TimeoutError:
            raise _failures.silent(self.settings.base_url) from None

    async def _listen(self, effect: Listen) -> StreamResult:
        head: Response | None = None
        last: Event | None = None
        try:
            async with asyncio.timeout(_patience(effect.seconds)) as limit:
                with (
                    _Silence(effect, limit) as silence,
                    contextlib.closing(await self._open(effect.request, None)) as response,
                ):
                    if not _is_success(response):
                        return StreamResult(await self._read(response), None, ended=True)
                    head = Response(response.status, _lower(response.headers), b"")
                    decoder = self._decoder(effect.request.run_id, effect.passes_over)
                    async for chunk in self._chunks(response):
                        silence.begins_anew()
                        if not effect.affords(len(chunk)):
                            return StreamResult(head, last, ended=False)
                        for last in await _decoded(decoder, chunk):
                            if effect.enough(last):
                                return StreamResult(head, last, ended=False)
                    if decoder.is_cut:
                        raise _failures.cut(self.settings.base_url)
                    return StreamResult(head, last, ended=True)
        except TimeoutError:
            if head is None:
                raise _failures.silent(self.settings.base_url) from None
            return StreamResult(head, last, ended=False)

    async def _open_stream(self, request: Request) -> aiohttp.ClientResponse:
        try:
            async with asyncio.timeout(self.settings.timeout * WHOLE_RESPONSE):
                response = await self._open(request, None)
            try:
                if not _is_success(response):
                    async with asyncio.timeout(self.settings.timeout):
                        check(await self._read(response))
            except BaseException:
                response.close()
                raise
        except TimeoutError:
            raise _failures.silent(self.settings.base_url) from None
        return response

    async def stream(self, follower: Follower) -> AsyncEventStream:
        """Open a stream for a caller who iterates over it.

        Raises:
            MastraError: the server refused; see `api.check`.
        """
        return AsyncEventStream(self, follower, await self.run(follower.open()))

    async def _open(self, request: Request, read_timeout: float | None) -> aiohttp.ClientResponse:
        session = await self._session()
        body = request.encode(max_bytes=self.settings.max_body_bytes)
        url = URL(self.settings.api_url + request.target, encoded=True)
        try:
            return await session.request(
                request.method,
                url,
                data=body,
                headers=None if body is None else {"Content-Type": "application/json"},
                timeout=aiohttp.ClientTimeout(
                    sock_connect=self.settings.connect_timeout, sock_read=read_timeout
                ),
                allow_redirects=False,
                proxy=self._proxy,
            )
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise self._failure(error) from None

    async def _session(self) -> aiohttp.ClientSession:
        if self._closed:
            raise ConfigurationError("This client is closed. Make a new one.")
        loop = asyncio.get_running_loop()
        pool = self._leases.get(lambda: _Pool(loop, self._new_session()), loop)
        for last in self._leases.give_back(keep=_is_open):  # of closed event loops
            await last.close()
        return pool.session

    def _new_session(self) -> aiohttp.ClientSession:
        # No limit: a stream holds its connection for as long as a run executes, and a queued
        # request would leave a run unobserved.
        connector = aiohttp.TCPConnector(
            limit=0,
            keepalive_timeout=IDLE_SECONDS,
            ssl=_tls(self.settings),
            socket_factory=_socket,
        )
        return aiohttp.ClientSession(
            connector=connector,
            headers=self.settings.all_headers(),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )

    async def _read(self, response: aiohttp.ClientResponse) -> Response:
        content = bytearray()
        async for chunk in self._chunks(response):
            content += chunk
            if len(content) > self.settings.max_body_bytes:
                raise BodyTooLargeError(
                    f"The response is over the limit of {self.settings.max_body_bytes} bytes "
                    "(max_body_bytes)."
                )
        return Response(response.status, _lower(response.headers), bytes(content))

    def _decoder(self, run_id: str | None, passes_over: frozenset[str] = frozenset()) -> Decoder:
        return Decoder(
            max_record_bytes=self.settings.max_body_bytes, passes_over=passes_over, run_id=run_id
        )

    async def events(self, response: aiohttp.ClientResponse, run_id: str) -> AsyncGenerator[Event]:
        """Yield the events of a run's open stream as they arrive."""
        decoder = self._decoder(run_id)
        async with contextlib.aclosing(self._chunks(response)) as chunks:
            async for chunk in chunks:
                for event in await _decoded(decoder, chunk):
                    yield event
        if decoder.is_cut:
            raise _failures.cut(self.settings.base_url)

    async def _chunks(self, response: aiohttp.ClientResponse) -> AsyncGenerator[bytes]:
        try:
            async for chunk in response.content.iter_any():
                for start in range(0, len(chunk), PIECE_BYTES):
                    yield chunk[start : start + PIECE_BYTES]
                    # A server that sends without a pause would keep the event loop to itself.
                    await asyncio.sleep(0)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._failure(error) from None

    def _failure(self, error: Exception) -> ConnectionFailedError:
        where = self.settings.base_url
        match error:
            case aiohttp.ClientSSLError():
                return _failures.insecure(where, error)
            case aiohttp.ConnectionTimeoutError():
                return _failures.no_connection_in_time(where, self.settings.connect_timeout)
            case aiohttp.ClientProxyConnectionError() | aiohttp.ClientHttpProxyError():
                return _failures.no_proxy(where)
            case aiohttp.ClientConnectorError():
                return _failures.refused(where, error)
            case TimeoutError():
                return _failures.silent(where)
            case ValueError():  # only the proxy's URL was not validated before
                return _failures.no_proxy(where)
        return _failures.broken(where, error)


class AsyncEventStream:
    """Events of a run as they arrive; reopens a cut stream without gaps or duplicates.

    Leaving the iteration early closes the connection; the run continues. Use the stream in an
    ``async with`` statement, call `aclose`, or iterate to the end.
    """

    def __init__(
        self, transport: AsyncTransport, follower: Follower, response: aiohttp.ClientResponse
    ) -> None:
        self._transport = transport
        self._follower = follower
        self._response = response
        self._events = self._iterate()
        self._pid = os.getpid()

    async def _iterate(self) -> AsyncGenerator[Event]:
        while True:
            cut = None
            try:
                with contextlib.closing(self._response):
                    async with contextlib.aclosing(
                        self._transport.events(self._response, self._follower.run_id)
                    ) as events:
                        async for event in events:
                            for new in self._follower.feed(event):
                                yield new
            except ConnectionFailedError as error:
                cut = error
            response = await self._transport.run(self._follower.reopen(cut))
            if response is None:
                return
            self._response = response

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        if self._pid != os.getpid():
            raise _failures.inherited()
        return await anext(self._events)

    async def aclose(self) -> None:
        """Close the stream."""
        if self._pid != os.getpid():
            return  # closing it here would hide it from the parent's event loop
        await self._events.aclose()
        self._response.close()  # a generator that never started has closed nothing

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()


class _Silence:
    """Makes a stream that is silent for too long time out."""

    def __init__(self, effect: Listen, limit: asyncio.Timeout) -> None:
        self._first_within = effect.seconds if effect.first_within is None else effect.first_within
        self._more = effect.more_for_first
        self._between = effect.silent_within
        self._limit = limit
        self._latest = limit.when()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        if (patience := _patience(self._first_within)) is not None:
            self._timer = self._loop.call_later(patience, self._lasts)
        return self

    def _lasts(self) -> None:
        if self._limit.expired():
            return
        if (more := self._more()) > 0:
            self._timer = self._loop.call_later(more, self._lasts)
        else:
            self._limit.reschedule(self._loop.time())

    def begins_anew(self) -> None:
        """Restart the silence timeout after data has arrived."""
        self._stop_timer()
        if self._between < inf:
            until = self._loop.time() + self._between
            self._limit.reschedule(until if self._latest is None else min(until, self._latest))

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop_timer()


def _patience(seconds: float) -> float | None:
    """Return a wait as an asyncio timeout."""
    return None if seconds == inf else max(seconds, 0.0)


async def _decoded(decoder: Decoder, chunk: bytes) -> Iterable[Event]:
    """Return the events that a chunk completes; a large one is parsed in another thread."""
    if decoder.buffered + len(chunk) < LARGE:
        return decoder.feed(chunk)
    return await asyncio.to_thread(lambda: list(decoder.feed(chunk)))


def _is_open(loop: object) -> bool:
    return not (isinstance(loop, asyncio.AbstractEventLoop) and loop.is_closed())


def _tls(settings: Settings) -> ssl.SSLContext | bool:
    return tls_context(settings) or False


def _socket(address: aiohttp.AddrInfoType) -> socket.socket:
    family, kind, protocol, *_ = address
    made = socket.socket(family=family, type=kind, proto=protocol)
    for level, option, value in KEEPALIVE_OPTIONS:
        made.setsockopt(level, option, value)
    return made


def _is_success(response: aiohttp.ClientResponse) -> bool:
    return is_success(response.status, _lower(response.headers))


def _lower(headers: Any) -> dict[str, str]:
    return {str(name).lower(): str(value) for name, value in headers.items()}
