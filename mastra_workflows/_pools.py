"""What clients of the same server share in one process: connections, and what they know of it.

A thousand triggers wait in one triggerer, each with a client of its own. They are not to be a
thousand connection pools, nor to ask a thousand times which generation the server is of.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

from mastra_workflows.procedures import Known
from mastra_workflows.settings import Settings

P = TypeVar("P")


def pool_key(settings: Settings) -> tuple[Hashable, ...]:
    """What clients must have in common to share; never logged, since it holds the secrets.

    A forked process has its own connections.
    """
    headers = tuple(sorted(settings.all_headers().items()))
    return os.getpid(), settings.api_url, headers, settings.verify


class Pools(Generic[P]):
    """Connection pools by key; each lives from its first user's coming to its last one's going."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._used: dict[Hashable, tuple[P, int]] = {}

    def take(self, key: Hashable, make: Callable[[], P]) -> P:
        """The pool of this key, made if there is none; each taking ends with a `give_back`."""
        with self._lock:
            pool, users = self._used.get(key, (None, 0))
            if pool is None:
                pool = make()
            self._used[key] = (pool, users + 1)
            return pool

    def give_back(self, key: Hashable) -> P | None:
        """The pool for the last user to close; None while it has other users."""
        with self._lock:
            pool, users = self._used.pop(key)
            if users == 1:
                return pool
            self._used[key] = (pool, users - 1)
            return None


_known: WeakValueDictionary[Hashable, Known] = WeakValueDictionary()


def known_of(settings: Settings) -> Known:
    """What has been learnt of a server by the clients that there are of it now."""
    return _known.setdefault(pool_key(settings), Known())
