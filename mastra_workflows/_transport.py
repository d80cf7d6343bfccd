"""The synchronous driver: requests as `requests` sends them, events as they arrive."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Iterator
from http.cookiejar import DefaultCookiePolicy
from types import TracebackType
from typing import Any, Self, TypeVar

import requests
from requests.adapters import DEFAULT_POOLBLOCK, HTTPAdapter
from requests.auth import AuthBase
from urllib3.exceptions import NewConnectionError

from mastra_workflows import _failures
from mastra_workflows._sockets import KEEPALIVE_OPTIONS
from mastra_workflows.api import Request, Response, check, is_success
from mastra_workflows.errors import BodyTooLargeError, ConfigurationError, ConnectionFailedError
from mastra_workflows.models import Event
from mastra_workflows.procedures import Heard, Listen, Procedure, Send, Sleep
from mastra_workflows.settings import LONG_CALL_TIMEOUT, Settings
from mastra_workflows.stream import Decoder, Once

T = TypeVar("T")

POOL_SIZE = 32


class _Adapter(HTTPAdapter):
    def init_poolmanager(
        self, connections: int, maxsize: int, block: bool = DEFAULT_POOLBLOCK, **kwargs: Any
    ) -> None:
        kwargs["socket_options"] = KEEPALIVE_OPTIONS
        super().init_poolmanager(connections, maxsize, block, **kwargs)

    def close(self) -> None:
        # urllib3 leaves this to a finalizer, in which the exception of a signal handler is lost:
        # the task that it should have stopped would go on.
        pools = self.poolmanager.pools
        for key in pools.keys():  # noqa: SIM118 - it cannot be iterated
            pool = pools.get(key)
            if pool is not None:
                pool.close()
        super().close()


class _OwnHeaders(AuthBase):
    """Keeps `requests` from putting a .netrc password in place of our Authorization header."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


class Transport:
    """One connection pool to one server; safe to share between threads."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._closed = False
        self._session = requests.Session()
        self._session.headers.update(settings.all_headers())
        self._session.auth = _OwnHeaders()
        # A cookie jar is the one part of a session that threads would change under each other.
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        adapter = _Adapter(pool_maxsize=POOL_SIZE)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)

    def close(self) -> None:
        """Close every connection."""
        self._closed = True
        self._session.close()

    def run(self, procedure: Procedure[T]) -> T:
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
                    value = self._perform(effect)
                    step = procedure.send
                except Exception as error:
                    value = error
                    step = procedure.throw

    def _perform(self, effect: Send | Sleep | Listen) -> Response | Heard | None:
        match effect:
            case Send(request):
                return self._send(request)
            case Sleep(seconds):
                time.sleep(seconds)
                return None
            case Listen():
                return self._listen(effect)

    def _send(self, request: Request) -> Response:
        timeout = LONG_CALL_TIMEOUT if request.waits else self.settings.timeout
        with self._open(request, timeout) as answer:
            return self._read(answer)

    def _listen(self, effect: Listen) -> Heard:
        deadline = time.monotonic() + effect.seconds
        with self._open(effect.request, effect.seconds) as answer:
            if not _is_success(answer):
                return Heard(self._read(answer), None, ended=True)
            head = Response(answer.status_code, _lower(answer.headers), b"")
            last = None
            try:
                for last in self._events(answer):
                    if effect.enough(last) or time.monotonic() >= deadline:
                        return Heard(head, last, ended=False)
            except _failures.ReadTimeoutError:
                return Heard(head, last, ended=False)
            return Heard(head, last, ended=True)

    def stream(self, request: Request) -> EventStream:
        """Open a stream for a caller who iterates it himself.

        Raises:
            MastraError: the server refused; see `api.check`.
        """
        answer = self._open(request, None)
        try:
            if not _is_success(answer):
                check(self._read(answer))
        except BaseException:
            answer.close()
            raise
        return EventStream(self._iterate(answer), answer.close)

    def _iterate(self, answer: requests.Response) -> Generator[Event]:
        once = Once()
        with answer:
            yield from filter(once.is_new, self._events(answer))

    def _open(self, request: Request, read_timeout: float | None) -> requests.Response:
        if self._closed:
            raise ConfigurationError("This client is closed.")
        body = request.encode(max_bytes=self.settings.max_body_bytes)
        try:
            return self._session.request(
                request.method,
                self.settings.api_url + request.target,
                data=body,
                headers=None if body is None else {"Content-Type": "application/json"},
                timeout=(self.settings.connect_timeout, read_timeout),
                stream=True,
                allow_redirects=False,
                # Said again, since REQUESTS_CA_BUNDLE would take the place of the session's own.
                verify=self.settings.verify,
            )
        except requests.RequestException as error:
            raise self._failure(error) from None
        except OSError as error:  # REQUESTS_CA_BUNDLE names a file that is not there
            raise _failures.insecure(self.settings.base_url, error) from None

    def _read(self, answer: requests.Response) -> Response:
        content = bytearray()
        for chunk in self._chunks(answer, 65_536):
            content += chunk
            if len(content) > self.settings.max_body_bytes:
                raise BodyTooLargeError(
                    f"The answer is over the limit of {self.settings.max_body_bytes} bytes "
                    "(max_body_bytes)."
                )
        return Response(answer.status_code, _lower(answer.headers), bytes(content))

    def _events(self, answer: requests.Response) -> Iterator[Event]:
        decoder = Decoder(max_record_bytes=self.settings.max_body_bytes)
        for chunk in self._chunks(answer, None):
            yield from decoder.feed(chunk)
        if decoder.is_cut:
            raise _failures.cut(self.settings.base_url)

    def _chunks(self, answer: requests.Response, size: int | None) -> Iterator[bytes]:
        try:
            yield from answer.iter_content(size)
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
            case requests.exceptions.ProxyError():
                return _failures.no_proxy(where)
            case requests.ConnectionError() if "Read timed out" in str(error):
                return _failures.silent(where)
            case requests.ConnectionError() if _never_connected(error):
                return _failures.refused(where, error)
        return _failures.broken(where, error)


class EventStream(Iterator[Event]):
    """Events as they arrive. Leaving it early closes the connection; the run goes on.

    Use it in a ``with`` statement, call `close`, or iterate to the end.
    """

    def __init__(self, events: Generator[Event], hang_up: Callable[[], None]) -> None:
        self._events = events
        self._hang_up = hang_up

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        return next(self._events)

    def close(self) -> None:
        """Stop listening."""
        self._events.close()
        self._hang_up()  # a generator that was never begun has closed nothing

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _is_success(answer: requests.Response) -> bool:
    return is_success(answer.status_code, _lower(answer.headers))


def _lower(headers: Any) -> dict[str, str]:
    return {str(name).lower(): str(value) for name, value in headers.items()}


def _never_connected(error: requests.ConnectionError) -> bool:
    cause = error.args[0] if error.args else None
    return isinstance(getattr(cause, "reason", cause), NewConnectionError)
