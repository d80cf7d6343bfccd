"""What work may cost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """CPU time of this thread; ten times and more what is needed, and far below what it was."""
    began = time.thread_time()
    yield
    assert time.thread_time() - began < seconds
