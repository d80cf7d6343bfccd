"""What can go wrong between a client and its server; `fault_proxy` makes it happen."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field


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


@dataclass(frozen=True, eq=False)
class Hold:
    """Keep a request back until the test lets go of it, and pass it on then.

    A client that goes away meanwhile takes its request with it.

    Attributes:
        reached: set when a request is held.
        let_go: to be set by the test.
    """

    reached: threading.Event = field(default_factory=threading.Event)
    let_go: threading.Event = field(default_factory=threading.Event)


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


Fault = DropRequest | LoseAnswer | CutAnswer | Delay | Hold | Respond
