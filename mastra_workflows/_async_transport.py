"""The asyncio driver: requests as `aiohttp` sends them, events as they arrive."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import time
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp
from requests.utils import DEFAULT_CA_BUNDLE_PATH, get_environ_proxies, select_proxy
from yarl import URL

from mastra_workflows import _failures
from mastra_workflows._sockets import KEEPALIVE_OPTIONS
from mastra_workflows.api import Request, Response, check, is_success
from mastra_workflows.errors import BodyTooLargeError, ConfigurationError, ConnectionFailedError
from mastra_workflows.models import Event
from mastra_workflows.procedures import Heard, Listen, Procedure, Send, Sleep
from mastra_workflows.settings import LONG_CALL_TIMEOUT, Settings
from mastra_workflows.stream import Decoder, Once

T = TypeVar("T")


class AsyncTransport:
    """One connection pool to one server, of the event loop that it is first used in."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._closed = False
        self._session: aiohttp.ClientSession | None = None
        # `requests` rules of which proxy to take, so that both clients take the same one; and
        # aiohttp's own look-up reads .netrc for every request, to replace our header by it.
        self._proxy = select_proxy(
            settings.api_url, get_environ_proxies(settings.api_url, no_proxy=None)
        )

    async def close(self) -> None:
        """Close every connection."""
        self._closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def run(self, procedure: Procedure[T]) -> T:
        """Carry out a procedure to its end."""
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

    async def _perform(self, effect: Send | Sleep | Listen) -> Response | Heard | None:
        match effect:
            case Send(request):
                return await self._send(request)
            case Sleep(seconds):
                await asyncio.sleep(seconds)
                return None
            case Listen():
                return await self._listen(effect)

    async def _send(self, request: Request) -> Response:
        timeout = LONG_CALL_TIMEOUT if request.waits else self.settings.timeout
        answer = await self._open(request, timeout)
        with contextlib.closing(answer):
            return await self._read(answer)

    async def _listen(self, effect: Listen) -> Heard:
        deadline = time.monotonic() + effect.seconds
        answer = await self._open(effect.request, effect.seconds)
        with contextlib.closing(answer):
            if not _is_success(answer):
                return Heard(await self._read(answer), None, ended=True)
            head = Response(answer.status, _lower(answer.headers), b"")
            last = None
            try:
                async with contextlib.aclosing(self._events(answer)) as events:
                    async for last in events:
                        if effect.enough(last) or time.monotonic() >= deadline:
                            return Heard(head, last, ended=False)
            except _failures.ReadTimeoutError:
                return Heard(head, last, ended=False)
            return Heard(head, last, ended=True)

    async def stream(self, request: Request) -> AsyncEventStream:
        """Open a stream for a caller who iterates it himself.

        Raises:
            MastraError: the server refused; see `api.check`.
        """
        answer = await self._open(request, None)
        try:
            if not _is_success(answer):
                check(await self._read(answer))
        except BaseException:
            answer.close()
            raise
        return AsyncEventStream(self._iterate(answer), answer.close)

    async def _iterate(self, answer: aiohttp.ClientResponse) -> AsyncGenerator[Event]:
        once = Once()
        with contextlib.closing(answer):
            async with contextlib.aclosing(self._events(answer)) as events:
                async for event in events:
                    if once.is_new(event):
                        yield event

    async def _open(self, request: Request, read_timeout: float | None) -> aiohttp.ClientResponse:
        body = request.encode(max_bytes=self.settings.max_body_bytes)
        url = URL(self.settings.api_url + request.target, encoded=True)
        try:
            return await self._connected().request(
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
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._failure(error) from None

    def _connected(self) -> aiohttp.ClientSession:
        if self._closed:
            raise ConfigurationError("This client is closed.")
        if self._session is None:
            # Made here, since it belongs to the running event loop. No limit: a stream holds its
            # connection for as long as a run takes, and a wait in line would be a run not seen.
            connector = aiohttp.TCPConnector(
                limit=0, ssl=_tls(self.settings), socket_factory=_socket
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                headers=self.settings.all_headers(),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
            )
        return self._session

    async def _read(self, answer: aiohttp.ClientResponse) -> Response:
        content = bytearray()
        async for chunk in self._chunks(answer):
            content += chunk
            if len(content) > self.settings.max_body_bytes:
                raise BodyTooLargeError(
                    f"The answer is over the limit of {self.settings.max_body_bytes} bytes "
                    "(max_body_bytes)."
                )
        return Response(answer.status, _lower(answer.headers), bytes(content))

    async def _events(self, answer: aiohttp.ClientResponse) -> AsyncGenerator[Event]:
        decoder = Decoder(max_record_bytes=self.settings.max_body_bytes)
        async with contextlib.aclosing(self._chunks(answer)) as chunks:
            async for chunk in chunks:
                for event in decoder.feed(chunk):
                    yield event
        if decoder.is_cut:
            raise _failures.cut(self.settings.base_url)

    async def _chunks(self, answer: aiohttp.ClientResponse) -> AsyncGenerator[bytes]:
        try:
            async for chunk in answer.content.iter_any():
                yield chunk
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
        return _failures.broken(where, error)


class AsyncEventStream:
    """Events as they arrive. Leaving it early closes the connection; the run goes on.

    Use it in an ``async with`` statement, call `aclose`, or iterate to the end.
    """

    def __init__(self, events: AsyncGenerator[Event], hang_up: Callable[[], None]) -> None:
        self._events = events
        self._hang_up = hang_up

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        return await anext(self._events)

    async def aclose(self) -> None:
        """Stop listening."""
        await self._events.aclose()
        self._hang_up()  # a generator that was never begun has closed nothing

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()


def _tls(settings: Settings) -> ssl.SSLContext | bool:
    if settings.verify is False or settings.base_url.startswith("http:"):
        return False
    bundle = settings.verify if isinstance(settings.verify, str) else _default_bundle()
    if Path(bundle).is_dir():
        return ssl.create_default_context(capath=bundle)
    return ssl.create_default_context(cafile=bundle)


def _default_bundle() -> str:
    """The authorities that `requests` trusts, so that both clients trust the same ones."""
    named = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    return named or DEFAULT_CA_BUNDLE_PATH


def _socket(address: aiohttp.AddrInfoType) -> socket.socket:
    family, kind, protocol, *_ = address
    made = socket.socket(family=family, type=kind, proto=protocol)
    for level, option, value in KEEPALIVE_OPTIONS:
        made.setsockopt(level, option, value)
    return made


def _is_success(answer: aiohttp.ClientResponse) -> bool:
    return is_success(answer.status, _lower(answer.headers))


def _lower(headers: Any) -> dict[str, str]:
    return {str(name).lower(): str(value) for name, value in headers.items()}
