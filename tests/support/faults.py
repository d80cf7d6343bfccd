"""What can go wrong between a client and its server; `fault_proxy` makes it happen."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class DropRequest:
    """Close the client's connection; the server never hears of the request."""


@dataclass(frozen=True)
class LoseAnswer:
    """Pass the request on, and close the client's connection when the server begins to answer.

    The server's own connection is kept until it has answered: what it does, it does undisturbed.

    Attributes:
        wait: False closes the client's connection as soon as the request is with the server.
    """

    wait: bool = True


@dataclass(frozen=True)
class CutAnswer:
    """Pass the answer's head on and so many bytes of its body; then close both connections."""

    after: int


@dataclass(frozen=True)
class Delay:
    """Wait for so many seconds before the request is passed on."""

    seconds: float


@dataclass(frozen=True)
class Respond:
    """Answer in the server's place, as a gateway does.

    Attributes:
        status: the HTTP status.
        headers: more headers, such as ``Retry-After``.
        body: the body.
        forwarded: whether the server gets the request all the same, and its answer is lost.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    forwarded: bool = False


class Hold:
    """Stop one request, tell the test that it is held, and wait for what the test decides.

    Use one for one request (``nth=1``): what is decided first, counts.

    Args:
        at: ``"request"`` stops before the server hears of it, ``"answer"`` when the server has
            begun to answer.

    Attributes:
        held: set as soon as the request is held.
    """

    def __init__(self, at: Literal["request", "answer"] = "request") -> None:
        self.at = at
        self.held = threading.Event()
        self._goes_on: Future[bool] = Future()

    def let_go(self) -> None:
        """Pass on what is held. The server gets the request even if its client has gone."""
        self._decide(True)

    def drop(self) -> None:
        """Close the client's connection; what the server does already, it does undisturbed."""
        self._decide(False)

    def _decide(self, goes_on: bool) -> None:
        if not self._goes_on.done():
            self._goes_on.set_result(goes_on)

    async def stop(self) -> bool:
        """For the proxy: hold here. Returns whether to go on."""
        self.held.set()
        return await asyncio.wrap_future(self._goes_on)


Fault = DropRequest | LoseAnswer | CutAnswer | Delay | Respond | Hold
