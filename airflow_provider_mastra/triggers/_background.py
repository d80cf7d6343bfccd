"""Work that must outlive the cancellation of its trigger."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine

_running: set[asyncio.Task[None]] = set()
"""Strong references to the tasks: the event loop keeps only weak ones."""


async def finish(work: Coroutine[Any, Any, None]) -> None:
    """Await work that continues even if the awaiting trigger is cancelled.

    Airflow's triggerer cancels a trigger every second until it has finished, even during its
    ``on_kill``, for up to 30 seconds in total.

    Args:
        work: the coroutine to run; it must handle its own errors.
    """
    task = asyncio.create_task(work)
    _running.add(task)
    task.add_done_callback(_running.discard)
    await asyncio.shield(task)
