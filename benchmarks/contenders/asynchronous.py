"""Implement the contenders in one event loop: our client, and plain aiohttp."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import aiohttp

from benchmarks.contenders.meter import Meter
from benchmarks.work import WARM_UPS, Job, Outcome, Work, last_end_ms
from mastra_workflows import AsyncMastraClient

WARM_UP_RUNS = 20
RECORD_END = b"\x1e"
RUN_END = b'"workflow-finish"'


class Contender(Protocol):
    async def start(self, work: Work) -> None: ...

    async def wait(self, work: Work) -> float:
        """Wait for the record, and return the last step's end as a Unix time in milliseconds."""
        ...


class Ours:
    """`AsyncMastraClient` with its default options, subscribed to events or polling."""

    def __init__(self, client: AsyncMastraClient, *, observe: bool) -> None:
        self._client = client
        self._observe = observe

    async def start(self, work: Work) -> None:
        run = self._client.get_workflow(work.workflow).get_run(work.run_id)
        await run.start(input_data=work.input)

    async def wait(self, work: Work) -> float:
        run = self._client.get_workflow(work.workflow).get_run(work.run_id)
        record = (await run.wait(observe=self._observe)).raise_for_status()
        ends = [step.ended_at for step in record.steps if step.ended_at is not None]
        return max(ends).timestamp() * 1000


class Bare:
    """The lower bound: the plain requests, without validation, retries or fallback.

    Args:
        looks_first: whether to read the run's record before starting it, as our client does.
    """

    def __init__(self, session: aiohttp.ClientSession, *, looks_first: bool) -> None:
        self._session = session
        self._looks_first = looks_first

    async def start(self, work: Work) -> None:
        if self._looks_first:
            async with self._session.get(self._record(work)) as response:
                await response.read()
        where = f"/api/workflows/{work.workflow}/stream?runId={work.run_id}"
        # Leaving the response before its end closes the connection.
        async with self._session.post(where, json={"inputData": work.input}) as response:
            records = 0
            async for chunk in response.content.iter_any():
                records += chunk.count(RECORD_END)
                if records >= 2:
                    response.close()
                    return

    async def wait(self, work: Work) -> float:
        where = f"/api/workflows/{work.workflow}/observe?runId={work.run_id}&offset=1000000000"
        async with self._session.post(where, json={}) as response:
            async for chunk in response.content.iter_any():
                if RUN_END in chunk:
                    response.close()
                    break
        async with self._session.get(self._record(work)) as response:
            record = await response.json()
        if record["status"] != "success":
            raise RuntimeError(f"Run {work.run_id} is {record['status']}")
        return last_end_ms(record)

    def _record(self, work: Work) -> str:
        return f"/api/workflows/{work.workflow}/runs/{work.run_id}"


@contextlib.asynccontextmanager
async def _ours(url: str, observe: bool) -> AsyncIterator[Contender]:
    async with AsyncMastraClient(url) as client:
        yield Ours(client, observe=observe)


@contextlib.asynccontextmanager
async def _bare(url: str, looks_first: bool) -> AsyncIterator[Contender]:
    # Node closes connections that are idle for a little over 5 s. With aiohttp's default of 15 s,
    # some requests would use a closing connection and fail, and this contender does not retry.
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=4)
    timeout = aiohttp.ClientTimeout()
    async with aiohttp.ClientSession(url, connector=connector, timeout=timeout) as session:
        yield Bare(session, looks_first=looks_first)


CONTENDERS: dict[str, Callable[[str], AbstractAsyncContextManager[Contender]]] = {
    "ours, events": lambda url: _ours(url, True),
    "ours, polling": lambda url: _ours(url, False),
    "bare aiohttp": lambda url: _bare(url, False),
    "bare aiohttp, looks first": lambda url: _bare(url, True),
}


def race(job: Job) -> Outcome:
    """Run one round."""
    return asyncio.run(_race(job))


async def _race(job: Job) -> Outcome:
    async with CONTENDERS[job.contender](job.url) as contender:
        await _warm_up(contender, job.works[0].workflow)
        meter = Meter(job)
        with _counted(meter):
            await _all(contender, job, meter)
        return meter.outcome()


async def _all(contender: Contender, job: Job, meter: Meter) -> None:
    gate = asyncio.Semaphore(job.starts_at_once)
    all_started = asyncio.Event()
    to_start = len(job.works)

    async def one(work: Work) -> None:
        nonlocal to_start
        async with gate:
            await contender.start(work)
        to_start -= 1
        if to_start == 0:
            meter.all_started()
            all_started.set()
        if job.together:
            await all_started.wait()
        if job.waits:
            waited_from = time.time()
            meter.known(waited_from, await contender.wait(work))

    watching = asyncio.create_task(_watch_memory(meter))
    async with asyncio.TaskGroup() as group:
        for work in job.works:
            group.create_task(one(work))
    watching.cancel()


async def _watch_memory(meter: Meter) -> None:
    while True:
        meter.look_at_memory()
        await asyncio.sleep(0.25)


async def _warm_up(contender: Contender, workflow: str) -> None:
    async def one() -> None:
        work = Work(workflow, str(uuid.uuid4()), WARM_UPS[workflow])
        await contender.start(work)
        await contender.wait(work)

    await asyncio.gather(*(one() for _ in range(WARM_UP_RUNS)))


@contextlib.contextmanager
def _counted(meter: Meter) -> Any:
    """Count all requests of this process, including those of our client."""
    request = aiohttp.ClientSession._request

    async def counting(*arguments: Any, **keywords: Any) -> aiohttp.ClientResponse:
        meter.requests += 1
        return await request(*arguments, **keywords)

    aiohttp.ClientSession._request = counting  # type: ignore[method-assign]
    try:
        yield
    finally:
        aiohttp.ClientSession._request = request  # type: ignore[method-assign]
