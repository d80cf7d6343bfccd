"""Work of a trigger that must not end with the trigger."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine

_running: set[asyncio.Task[None]] = set()
"""A strong reference to each: the event loop itself keeps weak ones."""


async def finish(work: Coroutine[Any, Any, None]) -> None:
    """Await work that continues when whoever awaits it is cancelled.

    Airflow's triggerer cancels a trigger again each second until it has finished, also in the
    middle of its ``on_kill``, and gives that 30 seconds in all.

    Args:
        work: what to do; it reports its own failures.
    """
    task = asyncio.create_task(work)
    _running.add(task)
    task.add_done_callback(_running.discard)
    await asyncio.shield(task)
