"""Test MastraHook against real servers."""

from __future__ import annotations

import socket
import time
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import redact

from airflow_provider_mastra.hooks.mastra import MastraHook
from mastra_workflows import MastraClient
from mastra_workflows.errors import ConfigurationError
from testkit.sample_server import SampleServer
from tests.airflow.harness import TOKEN, Connect

NAMES = {"0": "0.x", "1": "1.x"}


def test_client_is_cached_until_closed(connected: SampleServer) -> None:
    with MastraHook() as hook:
        client = hook.get_conn()
        assert hook.get_conn() is client
        assert "orderReport" in [workflow.key for workflow in client.list_workflows()]
    with pytest.raises(ConfigurationError, match="closed"):
        client.list_workflows()
    with hook:
        assert hook.get_conn() is not client
        assert hook.get_conn().list_workflows()


def test_a_runs_page_in_studio(connected: SampleServer, connect: Connect) -> None:
    url = "http://studio.example/workflows/odd%20key%2F50%25/graph/r%2F1"
    assert MastraHook().run_url("odd key/50%", "r/1") == url
    connect(connected.url)
    assert MastraHook().run_url("odd key/50%", "r/1") is None


@pytest.mark.version_specific
def test_connection_test_reports_the_server(connected: SampleServer, client: MastraClient) -> None:
    ok, message = MastraHook().test_connection()
    assert ok
    assert message == (
        f"Connected to a Mastra {NAMES[connected.generation]} server. "
        f"Workflows: {len(client.list_workflows())}."
    )


def test_airflow_finds_the_hook_by_the_connections_type(
    connected: SampleServer, airflow_database: None
) -> None:
    from airflow.models.connection import Connection

    # As the API server does for the button of the connection form.
    row = Connection(conn_id="mastra_default", conn_type="mastra", host=connected.url)
    ok, message = row.test_connection()  # type: ignore[no-untyped-call]
    assert (ok, message[:9]) == (True, "Connected")


def test_a_server_with_authentication(guarded: SampleServer, connect: Connect) -> None:
    connect(guarded.url, password=TOKEN)
    assert MastraHook().test_connection()[0]
    connect(guarded.url, secret_headers={"Authorization": f"Bearer {TOKEN}"})
    assert MastraHook().test_connection()[0]


@pytest.mark.parametrize("password", ["", "wrong-token-of-nobody"])
def test_wrong_token_is_reported(guarded: SampleServer, connect: Connect, password: str) -> None:
    connect(guarded.url, password=password)
    ok, message = MastraHook().test_connection()
    assert not ok
    assert "Set a valid token." in message
    assert "of-nobody" not in message


def test_unreachable_server_is_reported_at_once(connect: Connect) -> None:
    with socket.socket() as bound:  # bound, but nobody listens: nobody else takes the port
        bound.bind(("127.0.0.1", 0))
        connect("127.0.0.1", port=bound.getsockname()[1])
        began = time.monotonic()
        ok, message = MastraHook().test_connection()
        assert time.monotonic() - began < 5
    assert not ok
    assert "No connection to http://127.0.0.1:" in message


@pytest.mark.parametrize(
    ("host", "extra", "message"),
    [("", {}, "has no host"), ("localhost", {"timeout": "soon"}, "'timeout' must be a number")],
)
def test_invalid_connection_is_reported(
    connect: Connect, host: str, extra: dict[str, Any], message: str
) -> None:
    connect(host, **extra)
    ok, said = MastraHook().test_connection()
    assert not ok
    assert message in said


def test_secrets_are_masked(connect: Connect) -> None:
    secrets = {"X-Key": "key-of-hook-test", "X-Login": "Basic basic-of-hook-test"}
    connect("http://127.0.0.1:1", password="token-of-hook-test", secret_headers=secrets)
    with MastraHook() as hook:
        client = hook.get_conn()
    for secret in ("token-of-hook-test", "key-of-hook-test", "basic-of-hook-test"):
        assert redact(f"it is {secret}!") == "it is ***!"
        assert secret not in repr(hook) + repr(client) + repr(vars(client))


def test_airflow_masks_secret_headers_in_its_ui() -> None:
    extra = {"secret_headers": {"X-Key": "k"}, "api_prefix": "/mastra"}
    assert redact(extra) == {"secret_headers": {"X-Key": "***"}, "api_prefix": "/mastra"}
