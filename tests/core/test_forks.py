"""Test forked clients: a child reads its own responses and keeps the parent's sockets open."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import traceback
import warnings
from collections.abc import Callable

import pytest

from mastra_workflows import AsyncMastraClient, MastraClient
from mastra_workflows.errors import ConfigurationError
from testkit.sample_server import SampleServer
from tests.core.samples import REPORT

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")

CHILDREN = 4
READS = 150


def fork(work: Callable[[], None]) -> int:
    """Do some work in a forked process; its exit code says whether an exception came out of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a fork beside other threads
        pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        work()
        code = 0
    except BaseException:
        traceback.print_exc(file=sys.__stderr__)
    finally:
        os._exit(code)


def succeeded(pid: int) -> bool:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def finished_run(client: MastraClient, run_id: str) -> None:
    client.get_workflow("orderReport").get_run(run_id).start_async(
        input_data={"city": run_id, "limit": 1}
    )


def read(client: MastraClient, run_id: str) -> None:
    record = client.get_workflow("orderReport").get_run(run_id).read()
    assert record.payload["city"] == run_id
    assert record.run_id == run_id


def test_five_processes_read_their_own_runs(
    client: MastraClient, server: SampleServer, key: str
) -> None:
    names = [f"{key}-{number}" for number in range(CHILDREN + 1)]
    for name in names:
        finished_run(client, name)

    def reads(name: str) -> Callable[[], None]:
        def work() -> None:
            for _ in range(READS):
                read(client, name)

        return work

    children = [fork(reads(name)) for name in names[1:]]
    reads(names[0])()
    assert [succeeded(child) for child in children] == [True] * CHILDREN
    read(client, names[0])


def test_a_child_closes_its_own_connections_only(client: MastraClient, key: str) -> None:
    finished_run(client, key)
    stream = client.get_workflow("orderReport").get_run(f"{key}-2").stream(input_data=REPORT)
    next(stream)

    def work() -> None:
        read(client, key)
        with pytest.raises(ConfigurationError, match="opened in another process"):
            next(stream)
        stream.close()
        client.close()

    assert succeeded(fork(work))
    assert [event for event in stream if event.is_end]
    read(client, key)


def test_fork_while_a_thread_holds_the_pool_lock(client: MastraClient, key: str) -> None:
    finished_run(client, key)
    ends = threading.Event()

    def open_and_close() -> None:
        while not ends.is_set():
            with MastraClient(client.base_url):
                pass

    threads = [threading.Thread(target=open_and_close) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(30):

            def work() -> None:
                read(client, key)
                with MastraClient(client.base_url) as another:
                    read(another, key)

            assert succeeded(fork(work))
    finally:
        ends.set()
        for thread in threads:
            thread.join()


async def test_asyncio_client_after_a_fork(
    server: SampleServer, client: MastraClient, key: str
) -> None:
    names = [f"{key}-{number}" for number in range(CHILDREN + 1)]
    for name in names:
        finished_run(client, name)
    async with AsyncMastraClient(server.url) as mastra:

        async def reads(name: str) -> None:
            for _ in range(READS):
                record = await mastra.get_workflow("orderReport").get_run(name).read()
                assert record.payload["city"] == name

        await mastra.list_workflows()  # opens the connection that the children inherit

        def in_another_thread(name: str) -> None:
            # This thread's event loop counts as running, and belongs to the parent.
            errors: list[BaseException] = []

            def run() -> None:
                try:
                    asyncio.run(reads(name))
                except BaseException as error:
                    errors.append(error)

            thread = threading.Thread(target=run)
            thread.start()
            thread.join()
            if errors:
                raise errors[0]

        children = [fork(lambda name=name: in_another_thread(name)) for name in names[1:]]  # type: ignore[misc]
        await reads(names[0])
        ended = await asyncio.to_thread(lambda: [succeeded(child) for child in children])
        assert ended == [True] * CHILDREN
        await reads(names[0])
