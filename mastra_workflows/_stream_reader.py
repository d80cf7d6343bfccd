"""Read a stream in a separate thread, so that the waiting thread can be stopped.

A signal interrupts a thread that is blocked in a socket only if it is the main one. An orchestrator
that runs a task in another thread stops it by an exception that Python raises between two
instructions. A read that blocks for the duration of a run would delay that exception.
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
"""The interval at which the waiting thread wakes up."""

CLOSE_SECONDS = 1.0
"""How long to wait for a reader thread that cannot be interrupted."""

MOST_PIECES = 16
"""The maximum number of pieces to read ahead, each of at most `PIECE_BYTES`."""


class StreamReader:
    """Reads a response in another thread; a context manager.

    Args:
        response: a response whose body has not been read.
    """

    def __init__(self, response: requests.Response) -> None:
        self._response = response
        # Queues in C: the exception that stops a task could leave a Python queue locked.
        self._pieces: queue.SimpleQueue[bytes | Exception | None] = queue.SimpleQueue()
        self._room: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _ in range(MOST_PIECES):
            self._room.put(None)
        self._is_over = False
        self._thread = threading.Thread(target=self._read, name="mastra-stream", daemon=True)

    def pieces(self, first_within: float, within: float, silent_within: float) -> Iterator[bytes]:
        """Yield the pieces as they arrive.

        Args:
            first_within: seconds until the first piece.
            within: the maximum total seconds from now on.
            silent_within: the maximum seconds between two pieces.

        Raises:
            TimeoutError: no piece arrived in time, or the total time is over.
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
            for piece in pieces(self._response):
                self._room.get()
                if self._is_over:
                    return
                self._pieces.put(piece)
        except Exception as error:  # also if the connection is closed meanwhile
            self._pieces.put(error)
        else:
            self._pieces.put(None)

    def __enter__(self) -> Self:
        if (connected := connected_socket(self._response)) is not None:
            connected.settimeout(None)  # the timeouts are enforced here
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
        connected = connected_socket(self._response)
        if connected is not None:
            with contextlib.suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)  # closing it would wait for the reader
        # Without a socket the stream has ended, and the reader is about to close it.
        self._thread.join(None if connected is not None else CLOSE_SECONDS)
