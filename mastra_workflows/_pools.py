"""Connections and cached server state that clients of the same server share in one process.

A triggerer may hold a thousand triggers, each with its own client. They share one connection pool,
and detect the server's version once.

A forked process has its own pools. The pools of its parent stay referenced but untouched there: two
processes that read from one socket would take each other's responses, and the locks of a pool may
have been held during the fork.
"""

from __future__ import annotations

import os
import threading
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

from mastra_workflows._procedures import ServerState
from mastra_workflows._settings import Settings

P = TypeVar("P")


def pool_key(settings: Settings) -> tuple[Hashable, ...]:
    """Return the settings that clients of one pool have in common. It contains secrets."""
    headers = tuple(sorted(settings.all_headers().items()))
    return settings.api_url, headers, settings.verify, settings.client_cert


class Pools(Generic[P]):
    """Connection pools by key, with reference counts.

    Args:
        close: closes a pool whose last user was collected without returning it.
    """

    def __init__(self, close: Callable[[P], object]) -> None:
        self._close = close
        self._lock = threading.Lock()
        self._used: dict[Hashable, tuple[P, int]] = {}
        self._dropped: deque[Hashable] = deque()
        self._inherited: list[dict[Hashable, tuple[P, int]]] = []
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)

    def __len__(self) -> int:
        return len(self._used)

    def take(self, key: Hashable, make: Callable[[], P]) -> P:
        """Return the pool of a key, created if there is none; each call needs a `give_back`."""
        with self._lock:
            pool, users = self._used.get(key, (None, 0))
            if pool is None:
                pool = make()
            self._used[key] = (pool, users + 1)
        self._reap()
        return pool

    def give_back(self, key: Hashable) -> P | None:
        """Release a pool; return it to the last user to close, None while it has other users."""
        with self._lock:
            last = self._release(key)
        self._reap()
        return last

    def drop(self, key: Hashable) -> None:
        """Release a pool from a finalizer, which may run in the middle of any other method."""
        self._dropped.append(key)
        self._reap()

    def _reap(self) -> None:
        # If the lock is held, its holder reaps afterwards.
        while self._dropped and self._lock.acquire(blocking=False):
            try:
                last = self._release(self._dropped.popleft()) if self._dropped else None
            finally:
                self._lock.release()
            if last is not None:
                self._close(last)

    def _release(self, key: Hashable) -> P | None:
        pool, users = self._used.pop(key)
        if users == 1:
            return pool
        self._used[key] = (pool, users - 1)
        return None

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._inherited.append(self._used)  # collecting its connections would touch them
        self._used = {}
        self._dropped.clear()


class Lease(Generic[P]):
    """One client's reference to a pool.

    Args:
        pools: the pools.
        key: the key of the pool.
        make: creates the pool if there is none.
        where: the server's URL, for the warning about an unclosed client.
    """

    def __init__(self, pools: Pools[P], key: Hashable, make: Callable[[], P], where: str) -> None:
        self._pools = pools
        self._key = key
        self.pool = pools.take(key, make)
        self._finalizer = weakref.finalize(self, _dropped, pools, key, where, os.getpid())
        self._finalizer.atexit = False

    def give_back(self) -> P | None:
        """Release the pool; return it to the last user to close, None while it has other users."""
        return None if self._finalizer.detach() is None else self._pools.give_back(self._key)


def _dropped(pools: Pools[P], key: Hashable, where: str, pid: int) -> None:
    if pid != os.getpid():
        return
    try:
        warnings.warn(f"Unclosed Mastra client of {where}", ResourceWarning, stacklevel=2)
    finally:
        pools.drop(key)


class Leases(Generic[P]):
    """One client's references to pools: one for each process and event loop that uses the client.

    Args:
        pools: the pools.
        settings: the client's settings.
    """

    def __init__(self, pools: Pools[P], settings: Settings) -> None:
        self._pools = pools
        self._where = settings.base_url
        self._key = pool_key(settings)
        self._leases: dict[tuple[int, Hashable], Lease[P]] = {}

    def get(self, make: Callable[[], P], loop: Hashable = None) -> P:
        """Return the pool of this process and event loop; created by ``make`` if there is none."""
        place = (os.getpid(), loop)
        lease = self._leases.get(place)
        if lease is None:
            new = Lease(self._pools, (*place, *self._key), make, self._where)
            lease = self._leases.setdefault(place, new)
            if lease is not new:
                new.give_back()  # another thread was faster, so this is not the last reference
        return lease.pool

    def give_back(self, *, keep: Callable[[Hashable], bool] = lambda _: False) -> list[P]:
        """Release this client's pools; return those to close, whose last user it was.

        Args:
            keep: called with an event loop; returns whether to keep its pool.
        """
        mine = [place for place in list(self._leases) if place[0] == os.getpid()]
        leases = [self._leases.pop(place, None) for place in mine if not keep(place[1])]
        pools = [lease.give_back() for lease in leases if lease is not None]
        return [pool for pool in pools if pool is not None]


_known: WeakValueDictionary[Hashable, ServerState] = WeakValueDictionary()


def known_of(settings: Settings) -> ServerState:
    """Return the cached state of a server, shared by all its current clients."""
    return _known.setdefault(pool_key(settings), ServerState())
