"""Limit the CPU time of a block."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Assert that the block takes at most this much CPU time in this thread.

    Choose a limit of at least ten times the time needed, but far below that of the defect.
    """
    began = time.thread_time()
    yield
    assert time.thread_time() - began < seconds
