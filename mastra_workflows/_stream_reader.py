"""Reading a stream in a thread of its own, so that whoever waits for it can be stopped.

A signal reaches a thread that is blocked in a socket only if it is the main one. An orchestrator
that runs a task in another thread stops it by an exception that Python raises there between two of
its instructions: a read that blocks for as long as a run takes would keep it from coming.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import requests

from mastra_workflows._limits import connected_socket, pieces

WAKE_SECONDS = 0.2
"""How often the one who waits is awake for a moment."""

CLOSE_SECONDS = 1.0
"""How long to wait for a reader that cannot be told to end."""

MOST_PIECES = 16
"""How many pieces are read ahead, each of at most `PIECE_BYTES`."""


class StreamReader:
    """The pieces of an answer, read in another thread; enter it as a context manager.

    Args:
        answer: an answer whose body is not read yet.
    """

    def __init__(self, answer: requests.Response) -> None:
        self._answer = answer
        # Queues in C, since the exception that stops a task could leave Python's own one locked.
        self._pieces: queue.SimpleQueue[bytes | Exception | None] = queue.SimpleQueue()
        self._room: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _ in range(MOST_PIECES):
            self._room.put(None)
        self._is_over = False
        self._thread = threading.Thread(target=self._read, name="mastra-stream", daemon=True)

    def pieces(self, first_within: float, within: float, silent_within: float) -> Iterator[bytes]:
        """The pieces as they come.

        Args:
            first_within: for how many seconds to wait for the first one.
            within: for how many seconds, from now on, to wait at all.
            silent_within: for how many seconds to wait for each further one.

        Raises:
            TimeoutError: none came in time, or they do not end within it.
            requests.RequestException: the connection broke.
        """
        began = time.monotonic()
        limit = min(first_within, within)
        while True:
            try:
                left = began + limit - time.monotonic()
                piece = self._pieces.get(timeout=max(0.0, min(WAKE_SECONDS, left)))
            except queue.Empty:
                if left <= 0:
                    raise TimeoutError from None
                continue
            if piece is None:
                return
            if isinstance(piece, Exception):
                raise piece
            self._room.put(None)
            limit = min(within, time.monotonic() - began + silent_within)
            yield piece
            if time.monotonic() - began >= within:
                raise TimeoutError

    def _read(self) -> None:
        try:
            for piece in pieces(self._answer):
                self._room.get()
                if self._is_over:
                    return
                self._pieces.put(piece)
        except Exception as error:  # also of a connection that is closed under it
            self._pieces.put(error)
        else:
            self._pieces.put(None)

    def __enter__(self) -> Self:
        if (connected := connected_socket(self._answer)) is not None:
            connected.settimeout(None)  # the time to wait is kept here
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_over = True
        self._room.put(None)
        connected = connected_socket(self._answer)
        if connected is not None:
            with contextlib.suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)  # to close it would wait for the reader
        # Without a socket the stream has ended, and the reader is about to close it.
        self._thread.join(None if connected is not None else CLOSE_SECONDS)
