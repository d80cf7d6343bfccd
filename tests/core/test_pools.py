"""Test that the clients of a server share a connection pool, which lives as long as they do."""

from __future__ import annotations

import asyncio
import gc

import pytest

from mastra_workflows import AsyncMastraClient, MastraClient, _async_transport
from mastra_workflows._api import ServerGeneration
from mastra_workflows._pools import Pools
from testkit.sample_server import SampleServer
from tests.core.test_sockets import open_sockets, opened_since


def test_pool_exists_while_clients_use_it() -> None:
    pools: Pools[object] = Pools(lambda _: None)
    first = pools.take("a", object)
    assert pools.take("a", object) is first
    assert pools.take("b", object) is not first
    assert pools.give_back("a") is None
    assert pools.give_back("a") is first
    assert pools.take("a", object) is not first


@pytest.mark.parametrize(
    ("other", "connections"), [({}, 1), ({"headers": {"x-tenant": "other"}}, 2)]
)
def test_equal_clients_share_connections(
    server: SampleServer, other: dict[str, dict[str, str]], connections: int
) -> None:
    before = open_sockets()
    with (
        MastraClient(server.url) as one,
        MastraClient(server.url, headers=other.get("headers")) as two,
    ):
        one.list_workflows()
        two.list_workflows()
        assert len(opened_since(before)) == connections
        two.close()
        one.list_workflows()  # its connection is still there
    assert opened_since(before) == {}


async def test_async_client_does_the_same(server: SampleServer) -> None:
    before = open_sockets()
    async with AsyncMastraClient(server.url) as one, AsyncMastraClient(server.url) as two:
        await one.list_workflows()
        await two.list_workflows()
        assert len(opened_since(before)) == 1
        await two.close()
        await one.list_workflows()


def test_server_upgraded_under_running_clients(key: str) -> None:
    """In a triggerer there is always a client of it: what is known of it is never forgotten."""
    with SampleServer("0") as before:
        port = int(before.url.rpartition(":")[2])
        with MastraClient(before.url) as first:
            generations = [first.server_generation()]
            before.stop()
            with SampleServer("1", port=port) as after, MastraClient(after.url) as second:
                run = second.get_workflow("orderReport").get_run(key)
                run.start(input_data={"city": "Oslo"})
                assert run.wait().is_success
                generations.append(first.server_generation())
    assert generations == [ServerGeneration.V0, ServerGeneration.V1]


def test_pool_of_unclosed_clients_is_released() -> None:
    closed: list[object] = []
    pools: Pools[object] = Pools(closed.append)
    pool = pools.take("a", object)
    pools.take("a", object)
    pools.drop("a")
    assert closed == []
    with pools._lock:  # as a finalizer does that interrupts another method
        pools.drop("a")
        assert closed == []
    pools.take("b", object)
    assert closed == [pool]
    assert len(pools) == 1


def test_unclosed_client_leaves_no_connection_open(server: SampleServer) -> None:
    before = open_sockets()
    for _ in range(20):
        client = MastraClient(server.url)
        client.list_workflows()
        dropped = [client]
        del client
        with pytest.warns(ResourceWarning, match=f"Unclosed Mastra client of {server.url}"):
            dropped.clear()
    assert opened_since(before) == {}


LEFT_TO_THE_COLLECTOR = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
"""The connections of an event loop that has ended, which nothing but the collector can close."""


@LEFT_TO_THE_COLLECTOR
def test_unclosed_clients_of_a_hundred_event_loops(server: SampleServer) -> None:
    before = open_sockets()

    async def use() -> None:
        client = AsyncMastraClient(server.url)
        await client.server_generation()

    for _ in range(100):
        asyncio.run(use())
    gc.collect()
    assert len(_async_transport._pools) == 0
    assert opened_since(before) == {}


@LEFT_TO_THE_COLLECTOR
def test_one_client_in_several_event_loops(server: SampleServer) -> None:
    client = AsyncMastraClient(server.url)
    before = open_sockets()
    for _ in range(3):
        assert asyncio.run(client.list_workflows())
        assert len(_async_transport._pools) == 1
    asyncio.run(client.close())
    gc.collect()
    assert len(_async_transport._pools) == 0
    assert opened_since(before) == {}


@LEFT_TO_THE_COLLECTOR
async def test_one_client_in_two_event_loops_at_once(server: SampleServer) -> None:
    async with AsyncMastraClient(server.url) as client:
        assert await client.list_workflows()

        async def elsewhere() -> None:
            for _ in range(3):
                assert await client.list_workflows()

        for _ in range(2):
            await asyncio.to_thread(lambda: asyncio.run(elsewhere()))
            assert await client.list_workflows()
        assert len(_async_transport._pools) == 1
    assert len(_async_transport._pools) == 0
    gc.collect()
