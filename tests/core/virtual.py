"""Run procedures in virtual time: scripted responses, and a clock that sleeping advances."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any, TypeVar

from mastra_workflows._api import Request, Response
from mastra_workflows._api._features import NO_WORKFLOW
from mastra_workflows._policy import RetryPolicy
from mastra_workflows._procedures import Listen, Parse, Procedure, Send, Server, Sleep, StreamResult
from mastra_workflows._stream import Decoder
from mastra_workflows.errors import ConnectionFailedError
from tests.core import recorded

T = TypeVar("T")

NOTHING = Response(200, {}, b"")

REFUSED = ConnectionFailedError("No connection: Connection refused.", request_sent=False)
LOST = ConnectionFailedError("The connection broke.", request_sent=True)


@dataclass(frozen=True)
class Slow:
    """A response, or a failure, that takes a while."""

    response: Response | BaseException
    seconds: float


@dataclass(frozen=True)
class Silent:
    """A stream that stays open after its records, and says no more."""

    response: Response


@dataclass(frozen=True)
class Late:
    """A stream that begins to speak after a while, as of a server that is busy."""

    response: Response
    seconds: float


Scripted = Response | BaseException | Slow | Silent | Late


@dataclass
class Route:
    """What a request gets: the responses one after the other, the last one again and again."""

    method: str
    path: re.Pattern[str]
    responses: list[Scripted]
    count: int = 0

    def next(self) -> Scripted:
        scripted = self.responses[min(self.count, len(self.responses) - 1)]
        self.count += 1
        return scripted


def all_features(request: Request) -> Response:
    """The response of a server with every feature to the detection of one."""
    if request.path.endswith("/resume-stream"):
        return Response(200, {}, b"")
    name = "offset" if "offset" in request.query else "forEachIndex"
    return Response(400, {}, json.dumps({"issues": [{"field": name}]}).encode())


def no_features(request: Request) -> Response:
    """The response of a server with none of them."""
    return Response(404, {"content-type": "application/json"}, b'{"error": "Workflow not found"}')


@dataclass
class World:
    """A server of one generation, and the time."""

    generation: recorded.Recorded = "v1"
    start_timeout: float = 30.0
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    check_data: bool = True
    now: float = 1000.0
    sleeps: list[float] = field(default_factory=list)
    features: Callable[[Request], Scripted] = all_features
    requests: list[Request] = field(default_factory=list)
    most_effects: float = inf

    def __post_init__(self) -> None:
        self._routes: list[Route] = []
        self.server = Server(
            retry=self.retry,
            check_data=self.check_data,
            start_timeout=self.start_timeout,
            clock=lambda: self.now,
        )
        self.on("GET", "/system/packages$", "packages")
        # Unless a test says otherwise, there is nothing to hear of a run.
        self.on("POST", "/observe$", Response(404, {}, b'{"error": "Not Found"}'))
        self.on("GET", "/watch$", Response(404, {}, b'{"error": "Not Found"}'))

    def on(self, method: str, path: str, *responses: str | Scripted) -> Route:
        """Say what a request gets; a text names a recorded response. Later sayings come first."""
        scripted = [
            recorded.response(self.generation, response) if isinstance(response, str) else response
            for response in responses
        ]
        route = Route(method, re.compile(path), scripted)
        self._routes.insert(0, route)
        return route

    def on_run(self, *responses: str | Scripted) -> Route:
        """What reading the run gets."""
        return self.on("GET", "/runs/[^/]+(/execution-result)?$", *responses)

    def recorded(self, name: str) -> Response:
        return recorded.response(self.generation, name)

    def run(self, procedure: Procedure[T]) -> T:
        """Carry a procedure out, as a driver does."""
        with contextlib.closing(procedure):
            step: Callable[[Any], Any] = procedure.send
            value: Any = None
            while True:
                try:
                    effect = step(value)
                except StopIteration as stop:
                    result: T = stop.value
                    return result
                try:
                    value, step = self._perform(effect), procedure.send
                except Exception as error:
                    value, step = error, procedure.throw

    def sent(self, method: str = "", path: str = "") -> list[Request]:
        """The requests that were sent, of a kind."""
        return [
            request
            for request in self.requests
            if method in ("", request.method) and re.search(path, request.path)
        ]

    def _perform(self, effect: Any) -> Any:
        self.most_effects -= 1
        assert self.most_effects >= 0, "This has no end."
        match effect:
            case Sleep(seconds):
                assert seconds >= 0
                self.sleeps.append(seconds)
                self.now += max(seconds, 1e-6)  # a clock moves with the shortest sleep
                return None
            case Send(request, within) if NO_WORKFLOW in request.path:
                return self._outcome(self.features(request), within)
            case Send(request, within):
                return self._response(request, within)
            case Listen():
                return self._listen(effect)
            case Parse(response, parse):
                return parse(response)
        raise AssertionError(effect)

    def _response(self, request: Request, within: float = inf) -> Any:
        self.requests.append(request)
        scripted = self._outcome(self._script(request), within)
        run = re.fullmatch("/workflows/([^/]+)/runs/([^/]+)(/execution-result)?", request.path)
        if run and isinstance(scripted, Response):
            return recorded.about(scripted, run[1], run[2])
        return scripted if request.run_id is None else _of_run(scripted, request.run_id)

    def _outcome(self, scripted: Scripted, within: float) -> Scripted:
        if isinstance(scripted, Slow):
            self.now += min(scripted.seconds, within)
            scripted = scripted.response if scripted.seconds <= within else LOST
        if isinstance(scripted, BaseException):
            raise scripted
        return scripted

    def _script(self, request: Request) -> Scripted:
        for route in self._routes:
            if route.method == request.method and route.path.search(request.path):
                return route.next()
        raise AssertionError(f"Nothing is said of {request.method} {request.path}")

    def _listen(self, effect: Listen) -> StreamResult:
        scripted = self._response(effect.request)
        if isinstance(scripted, Late):
            if not self._waits_for(scripted, effect):
                return StreamResult(NOTHING, None, ended=False)
            scripted = scripted.response
        response = scripted.response if isinstance(scripted, Silent) else scripted
        if response.status_code != 200:
            return StreamResult(response, None, ended=True)
        last = None
        if response.content and not effect.affords(len(response.content)):
            return StreamResult(response, None, ended=False)
        for last in _events(response, effect):
            if effect.enough(last):
                return StreamResult(response, last, ended=False)
        if isinstance(scripted, Silent):
            is_mute = not response.content
            if not is_mute or effect.first_within is None:
                self.now += min(effect.seconds, effect.silent_within)
            else:
                self._waits_for(Late(response, inf), effect)
        return StreamResult(response, last, ended=not isinstance(scripted, Silent))

    def _waits_for(self, stream: Late, effect: Listen) -> bool:
        """Whether the stream is waited for until it speaks."""
        began = self.now
        more = effect.seconds if effect.first_within is None else effect.first_within
        while more > 0 and self.now + more < began + stream.seconds:
            self.now += more
            more = effect.more_for_first()
        if more > 0:
            self.now = began + stream.seconds
        return more > 0


def _of_run(scripted: Any, run_id: str) -> Any:
    """A scripted stream with its events those of the run that was asked for."""
    if isinstance(scripted, Silent | Late):
        return replace(scripted, response=_of_run(scripted.response, run_id))
    content = re.sub(rb'(runId\\*": ?\\*")[^"\\]*', rb"\g<1>" + run_id.encode(), scripted.content)
    return replace(scripted, content=content)


def _events(response: Response, effect: Listen) -> Iterator[Any]:
    decoder = Decoder(
        max_record_bytes=1_000_000, passes_over=effect.passes_over, run_id=effect.request.run_id
    )
    return decoder.feed(response.content)


def records(response: Response, count: int) -> Response:
    """The first records of a stream."""
    parts = response.content.split(b"\x1e")[:count]
    content = b"".join(part + b"\x1e" for part in parts)
    return Response(response.status_code, response.headers, content)
