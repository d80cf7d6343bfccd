"""The synchronous driver, based on `requests`."""

from __future__ import annotations

import contextlib
import os
import ssl
import time
from collections.abc import Generator, Iterator, Mapping
from http.cookiejar import DefaultCookiePolicy
from math import inf
from types import TracebackType
from typing import Any, Self, TypeVar

import requests
from requests.adapters import DEFAULT_POOLBLOCK, HTTPAdapter
from requests.auth import AuthBase
from urllib3.exceptions import NewConnectionError

from mastra_workflows import _failures
from mastra_workflows._api import Request, Response, check, is_success
from mastra_workflows._limits import POOLS_BY_SCHEME, Limits, limited, pieces
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
from mastra_workflows._stream_reader import StreamReader
from mastra_workflows._tls import tls_context
from mastra_workflows.errors import BodyTooLargeError, ConfigurationError, ConnectionFailedError

T = TypeVar("T")

POOL_SIZE = 32
LONGEST_PATIENCE = 1_000_000.0
JSON_BODY = {"Content-Type": "application/json"}


class _Adapter(HTTPAdapter):
    def __init__(self, tls: ssl.SSLContext | None) -> None:
        self._options: dict[str, Any] = {"socket_options": KEEPALIVE_OPTIONS}
        self._tls = tls
        if tls is not None:
            self._options["ssl_context"] = tls
        super().__init__(pool_maxsize=POOL_SIZE)

    def init_poolmanager(
        self, connections: int, maxsize: int, block: bool = DEFAULT_POOLBLOCK, **kwargs: Any
    ) -> None:
        super().init_poolmanager(connections, maxsize, block, **kwargs, **self._options)
        self.poolmanager.pool_classes_by_scheme = POOLS_BY_SCHEME

    def proxy_manager_for(self, proxy: str, **proxy_kwargs: Any) -> Any:
        options = {**proxy_kwargs, **self._options, "proxy_ssl_context": self._tls}
        manager = super().proxy_manager_for(proxy, **options)
        manager.pool_classes_by_scheme = POOLS_BY_SCHEME
        return manager

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Leave verification to the TLS context, which holds the CA bundle.

        `requests` would read the bundle again for every connection, which fails once its file is
        gone.
        """
        conn.cert_reqs = "CERT_REQUIRED" if verify else "CERT_NONE"

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: Any, cert: Any = None
    ) -> Any:
        return super().build_connection_pool_key_attributes(request, bool(verify), cert)

    def close(self) -> None:
        # urllib3 leaves this to a finalizer, which swallows the exception of a signal handler: the
        # task to be stopped would continue.
        pools = self.poolmanager.pools
        for key in pools.keys():  # noqa: SIM118 - it cannot be iterated
            pool = pools.get(key)
            if pool is not None:
                pool.close()
        super().close()


class _OwnHeaders(AuthBase):
    """Keeps `requests` from replacing our Authorization header by a .netrc password."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


_pools: Pools[requests.Session] = Pools(requests.Session.close)


def _new_session(settings: Settings) -> requests.Session:
    session = requests.Session()
    session.headers.update(settings.all_headers())
    session.auth = _OwnHeaders()
    # The cookie jar is the only part of a session that is not thread-safe here.
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    adapter = _Adapter(tls_context(settings))
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


class Transport(OfOneProcess):
    """The HTTP transport of one client, with a connection pool that clients of a server share.

    It is thread-safe, and works in a forked process.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._closed = False
        self._leases = Leases(_pools, settings)
        settings.warn_if_exposed()

    def close(self) -> None:
        """Release the connections; the last client of a server closes them."""
        self._closed = True
        for last in self._leases.give_back():
            last.close()

    def _session(self) -> requests.Session:
        if self._closed:
            raise ConfigurationError("This client is closed. Make a new one.")
        return self._leases.get(lambda: _new_session(self.settings))

    def run(self, procedure: Procedure[T]) -> T:
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
                    value = self._perform(effect)
                    step = procedure.send
                except Exception as error:
                    value = error
                    step = procedure.throw

    def _perform(self, effect: Effect) -> Any:
        match effect:
            case Send(request, within):
                return self._send(request, within)
            case Sleep(seconds):
                time.sleep(min(seconds, LONGEST_PATIENCE))
                return None
            case Listen():
                return self._listen(effect)
            case Open(request):
                return self._open_stream(request)
            case Parse(response, parse):
                return parse(response)

    def _send(self, request: Request, within: float) -> Response:
        timeout = LONG_CALL_TIMEOUT if request.waits else self.settings.timeout
        until = time.monotonic() + min(within, timeout * WHOLE_RESPONSE)
        head = self.settings.connect_timeout + timeout
        with limited(Limits(timeout, until), head) as limits:
            response = self._open(request, timeout)
            with response:
                limits.until = until
                return self._read(response)

    def _listen(self, effect: Listen) -> StreamResult:
        first_within = effect.seconds if effect.first_within is None else effect.first_within
        began = time.monotonic()
        # Use a separate connection: it is aborted at the first sufficient event, and must not have
        # been reused for another request by then.
        alone = {"Connection": "close"}
        silence = _patience(first_within)
        with (
            limited(Limits(self.settings.timeout), first_within) as limits,
            self._open(effect.request, silence, alone) as response,
        ):
            if not _is_success(response):
                limits.until = time.monotonic() + self.settings.timeout
                return StreamResult(self._read(response), None, ended=True)
            limits.end()
            head = Response(response.status_code, _lower(response.headers), b"")
            decoder = self._decoder(effect.request.run_id, effect.passes_over)
            last = None
            spent = time.monotonic() - began
            try:
                with StreamReader(response) as reader:
                    for chunk in reader.pieces(
                        first_within - spent, effect.seconds - spent, effect.silent_within
                    ):
                        if not effect.affords(len(chunk)):
                            return StreamResult(head, last, ended=False)
                        for last in decoder.feed(chunk):
                            if effect.enough(last):
                                return StreamResult(head, last, ended=False)
            except TimeoutError:
                return StreamResult(head, last, ended=False)
            except requests.RequestException as error:
                raise self._failure(error) from None
            if decoder.is_cut:
                raise _failures.cut(self.settings.base_url)
            return StreamResult(head, last, ended=True)

    def _open_stream(self, request: Request) -> requests.Response:
        with limited(Limits(inf), self.settings.timeout * WHOLE_RESPONSE) as limits:
            response = self._open(request, None)
            try:
                if _is_success(response):
                    limits.end()
                else:
                    limits.silence = self.settings.timeout
                    limits.until = time.monotonic() + self.settings.timeout
                    check(self._read(response))
            except BaseException:
                response.close()
                raise
            return response

    def stream(self, follower: Follower) -> EventStream:
        """Open a stream for a caller who iterates over it.

        Raises:
            MastraError: the server refused; see `api.check`.
        """
        return EventStream(self, follower, self.run(follower.open()))

    def _open(
        self,
        request: Request,
        read_timeout: float | None,
        headers: Mapping[str, str] | None = None,
    ) -> requests.Response:
        session = self._session()
        body = request.encode(max_bytes=self.settings.max_body_bytes)
        try:
            return session.request(
                request.method,
                self.settings.api_url + request.target,
                data=body,
                headers={**(headers or {}), **({} if body is None else JSON_BODY)},
                timeout=(
                    _patience(self.settings.connect_timeout),
                    None if read_timeout is None else _patience(read_timeout),
                ),
                stream=True,
                allow_redirects=False,
                # Set again, since REQUESTS_CA_BUNDLE would override the session's value.
                verify=self.settings.verify,
            )
        except requests.RequestException as error:
            raise self._failure(error) from None

    def _read(self, response: requests.Response) -> Response:
        content = bytearray()
        for chunk in self._chunks(response):
            content += chunk
            if len(content) > self.settings.max_body_bytes:
                raise BodyTooLargeError(
                    f"The response is over the limit of {self.settings.max_body_bytes} bytes "
                    "(max_body_bytes)."
                )
        return Response(response.status_code, _lower(response.headers), bytes(content))

    def _decoder(self, run_id: str | None, passes_over: frozenset[str] = frozenset()) -> Decoder:
        return Decoder(
            max_record_bytes=self.settings.max_body_bytes, passes_over=passes_over, run_id=run_id
        )

    def events(self, response: requests.Response, run_id: str) -> Iterator[Event]:
        """Yield the events of a run's open stream as they arrive."""
        decoder = self._decoder(run_id)
        for chunk in self._chunks(response):
            yield from decoder.feed(chunk)
        if decoder.is_cut:
            raise _failures.cut(self.settings.base_url)

    def _chunks(self, response: requests.Response) -> Iterator[bytes]:
        try:
            yield from pieces(response)
        except requests.RequestException as error:
            raise self._failure(error) from None

    def _failure(self, error: requests.RequestException) -> ConnectionFailedError:
        where = self.settings.base_url
        match error:
            case requests.exceptions.SSLError():
                return _failures.insecure(where, error)
            case requests.ConnectTimeout():
                return _failures.no_connection_in_time(where, self.settings.connect_timeout)
            case requests.ReadTimeout():
                return _failures.silent(where)
            case requests.exceptions.ProxyError() | requests.exceptions.InvalidURL():
                return _failures.no_proxy(where)
            case requests.ConnectionError() if "Read timed out" in str(error):
                return _failures.silent(where)
            case requests.ConnectionError() if _never_connected(error):
                return _failures.refused(where, error)
        return _failures.broken(where, error)


class EventStream(Iterator[Event]):
    """Events of a run as they arrive; reopens a cut stream without gaps or duplicates.

    Leaving the iteration early closes the connection; the run continues. Use the stream in a
    ``with`` statement, call `close`, or iterate to the end.
    """

    def __init__(
        self, transport: Transport, follower: Follower, response: requests.Response
    ) -> None:
        self._transport = transport
        self._follower = follower
        self._response = response
        self._events = self._iterate()
        self._pid = os.getpid()

    def _iterate(self) -> Generator[Event]:
        while True:
            cut = None
            try:
                with self._response:
                    for event in self._transport.events(self._response, self._follower.run_id):
                        yield from self._follower.feed(event)
            except ConnectionFailedError as error:
                cut = error
            response = self._transport.run(self._follower.reopen(cut))
            if response is None:
                return
            self._response = response

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        if self._pid != os.getpid():
            raise _failures.inherited()
        return next(self._events)

    def close(self) -> None:
        """Close the stream."""
        self._events.close()
        self._response.close()  # a generator that never started has closed nothing

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _patience(seconds: float) -> float | None:
    """Return a wait as a socket timeout; some systems do not support longer ones."""
    return None if seconds > LONGEST_PATIENCE else max(seconds, 0.001)


def _is_success(response: requests.Response) -> bool:
    return is_success(response.status_code, _lower(response.headers))


def _lower(headers: Any) -> dict[str, str]:
    return {str(name).lower(): str(value) for name, value in headers.items()}


def _never_connected(error: requests.ConnectionError) -> bool:
    cause = error.args[0] if error.args else None
    return isinstance(getattr(cause, "reason", cause), NewConnectionError)
