"""Basic auth and client certificates, asked for by a real nginx, in both clients."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mastra_workflows import MastraClient, RetryPolicy
from mastra_workflows.aio import AsyncMastraClient
from mastra_workflows.errors import AuthenticationError, ConnectionFailedError, MastraError
from scripts.sample_server import SampleServer
from tests.support.nginx import PASSWORD, USER, Nginx
from tests.support.tls import Authority

ONCE = RetryPolicy(seconds=0)
Ask = Callable[..., object]


def ask_sync(url: str, **settings: Any) -> object:
    with MastraClient(url, retry=ONCE, **settings) as client:
        return client.list_workflows()


def ask_async(url: str, **settings: Any) -> object:
    async def ask() -> object:
        async with AsyncMastraClient(url, retry=ONCE, **settings) as client:
            return await client.list_workflows()

    return asyncio.run(ask())


BOTH = pytest.mark.parametrize("ask", [ask_sync, ask_async], ids=["sync", "async"])


@BOTH
def test_basic_auth(ask: Ask, server: SampleServer) -> None:
    with Nginx(server.url, basic_auth=True) as proxy:
        assert ask(proxy.url, basic_auth=(USER, PASSWORD))
        with pytest.raises(AuthenticationError, match="asks for basic auth") as caught:
            ask(proxy.url, basic_auth=(USER, "wr0ng"))
        assert "wr0ng" not in str(caught.value)
        with pytest.raises(AuthenticationError, match="asks for basic auth"):
            ask(proxy.url)


@BOTH
def test_client_certificates(ask: Ask, server: SampleServer, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    served, mine = authority.issue("server"), authority.issue("client")
    both = tmp_path / "both.pem"
    both.write_text(mine[0].read_text() + mine[1].read_text())
    ours = authority.certificate
    with Nginx(server.url, certificate=served, client_authority=ours) as proxy:
        for certificate in (tuple(map(str, mine)), str(both)):
            assert ask(proxy.url, verify=str(ours), client_cert=certificate)
            assert ask(proxy.url, verify=False, client_cert=certificate)
        with pytest.raises(ConnectionFailedError, match="No secure connection") as caught:
            ask(proxy.url, client_cert=str(both))
        assert not caught.value.passing
        with pytest.raises(MastraError):
            ask(proxy.url, verify=str(ours))
        with pytest.raises(MastraError, match="client_cert"):
            ask(proxy.url, verify=str(ours), client_cert=str(mine[0]))
