"""Define the network faults that `fault_proxy` can inject between a client and its server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class DropRequest:
    """Close the client's connection without forwarding the request."""


@dataclass(frozen=True)
class LoseResponse:
    """Forward the request, and close the client's connection when the response begins.

    The connection to the server stays open until the response is complete, so that the server
    handles the request normally.

    Attributes:
        wait: False closes the client's connection as soon as the request has been forwarded.
    """

    wait: bool = True


@dataclass(frozen=True)
class CutResponse:
    """Forward the response headers and a number of body bytes, then close both connections."""

    after: int


@dataclass(frozen=True)
class Delay:
    """Wait a number of seconds before forwarding the request."""

    seconds: float


@dataclass(frozen=True)
class Respond:
    """Respond in place of the server, as a gateway does.

    Attributes:
        status: the HTTP status.
        headers: additional headers, such as ``Retry-After``.
        body: the response body.
        forwarded: whether to forward the request anyway and discard the server's response.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    forwarded: bool = False


class Hold:
    """Hold one request until the test releases or drops it.

    Use an instance for one request only (``nth=1``): the first decision is final.

    Args:
        at: ``"request"`` holds the request before it is forwarded, ``"response"`` when the response
            has begun.

    Attributes:
        held: set as soon as the request is held.
    """

    def __init__(self, at: Literal["request", "response"] = "request") -> None:
        self.at = at
        self.held = threading.Event()
        self._is_released: Future[bool] = Future()

    def release(self) -> None:
        """Forward the held request or response, even if the client has disconnected."""
        self._decide(True)

    def drop(self) -> None:
        """Close the client's connection. The server completes a request that it already has."""
        self._decide(False)

    def _decide(self, is_released: bool) -> None:
        if not self._is_released.done():
            self._is_released.set_result(is_released)

    async def stop(self) -> bool:
        """Wait for the test's decision and return whether to forward. Called by the proxy."""
        self.held.set()
        return await asyncio.wrap_future(self._is_released)


Fault = DropRequest | LoseResponse | CutResponse | Delay | Respond | Hold
