"""Test basic auth and client certificates with a real nginx, in both clients."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mastra_workflows import AsyncMastraClient, MastraClient, RetryPolicy
from mastra_workflows.errors import (
    ApiError,
    AuthenticationError,
    BodyTooLargeError,
    ConfigurationError,
    ConnectionFailedError,
    MastraError,
)
from testkit.sample_server import SampleServer
from tests.support.nginx import PASSWORD, USER, Nginx
from tests.support.tls import Authority

# What urllib3 says of `verify=False`, and rightly so.
pytestmark = pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")

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
        with pytest.raises(AuthenticationError, match="requires basic auth") as caught:
            ask(proxy.url, basic_auth=(USER, "wr0ng"))
        assert "wr0ng" not in str(caught.value)
        with pytest.raises(AuthenticationError, match="requires basic auth"):
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
        assert not caught.value.transient
        with pytest.raises(ApiError, match="No required SSL certificate was sent") as missing:
            ask(proxy.url, verify=str(ours))
        assert missing.value.status_code == 400
        with pytest.raises(MastraError, match="client_cert"):
            ask(proxy.url, verify=str(ours), client_cert=str(mine[0]))


@BOTH
@pytest.mark.parametrize(
    ("issued", "reason"),
    [
        ({"days": -1}, "expired"),
        ({"names": "DNS:elsewhere.example"}, "not valid for '127.0.0.1'|mismatch"),
    ],
    ids=["expired", "other_name"],
)
def test_untrusted_client_certificate_is_refused(
    ask: Ask, issued: dict[str, Any], reason: str, server: SampleServer, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    with Nginx(server.url, certificate=authority.issue("server", **issued)) as proxy:
        with pytest.raises(ConnectionFailedError, match=reason) as caught:
            ask(proxy.url, verify=str(authority.certificate))
        assert not caught.value.transient
        assert not caught.value.request_sent
        assert ask(proxy.url, verify=False)


@BOTH
def test_a_ca_bundle_of_the_environment(
    ask: Ask, server: SampleServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path)
    served = authority.issue("server")
    with Nginx(server.url, certificate=served) as proxy:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.certificate))
        assert ask(proxy.url)
        for unusable in ("/nowhere/ca.pem", str(served[1])):
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", unusable)
            with pytest.raises(ConfigurationError, match="cannot be read"):
                ask(proxy.url)
            assert ask(proxy.url, verify=False)


def files_removed(authority: Authority, folder: Path) -> tuple[dict[str, Any], list[Path]]:
    """Settings that name copies of an authority's files, and these copies."""
    sources = [authority.certificate, *authority.issue("client")]
    copies = [folder / f"copy-{source.name}" for source in sources]
    for source, copy in zip(sources, copies, strict=True):
        shutil.copy(source, copy)
    bundle, *certificate = map(str, copies)
    return {"verify": bundle, "client_cert": tuple(certificate)}, copies


@pytest.mark.parametrize("number", [0, 1, 2], ids=["bundle", "certificate", "key"])
async def test_tls_files_that_are_removed(
    server: SampleServer, tmp_path: Path, number: int
) -> None:
    """The first connection reads them; after that neither client needs them."""
    authority = Authority(tmp_path)
    with Nginx(
        server.url,
        settings="keepalive_timeout 0;",  # so that each request connects
        certificate=authority.issue("server"),
        client_authority=authority.certificate,
    ) as proxy:
        settings, files = files_removed(authority, tmp_path)
        with MastraClient(proxy.url, retry=ONCE, **settings) as client:
            async with AsyncMastraClient(proxy.url, retry=ONCE, **settings) as other:
                assert client.list_workflows()
                assert await other.list_workflows()
                files[number].unlink()
                assert client.list_workflows()
                assert await other.list_workflows()
        settings, files = files_removed(authority, tmp_path)
        with MastraClient(proxy.url, retry=ONCE, **settings) as client:
            async with AsyncMastraClient(proxy.url, retry=ONCE, **settings) as other:
                files[number].unlink()
                with pytest.raises(ConfigurationError, match=re.escape(str(files[number]))):
                    client.list_workflows()
                with pytest.raises(ConfigurationError, match=re.escape(str(files[number]))):
                    await other.list_workflows()


def start_sync(url: str, **input_data: Any) -> object:
    with MastraClient(url, retry=ONCE) as client:
        return (
            client.get_workflow("orderReport")
            .get_run("too-large")
            .start_async(input_data=input_data)
        )


def start_async(url: str, **input_data: Any) -> object:
    async def start() -> object:
        async with AsyncMastraClient(url, retry=ONCE) as client:
            return (
                await client.get_workflow("orderReport")
                .get_run("too-large")
                .start_async(input_data=input_data)
            )

    return asyncio.run(start())


@pytest.mark.parametrize("start", [start_sync, start_async])
def test_an_input_over_the_limit_of_nginx(start: Ask, server: SampleServer) -> None:
    with (
        Nginx(server.url, settings="client_max_body_size 10k;") as proxy,
        pytest.raises(BodyTooLargeError, match="client_max_body_size"),
    ):
        start(proxy.url, city="a" * 20_000)
