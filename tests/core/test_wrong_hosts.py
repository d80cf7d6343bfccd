"""Test hosts that are not Mastra or that crash: a helpful error of this project."""

from __future__ import annotations

import gzip
from collections.abc import Callable

import pytest

from mastra_workflows import MastraClient, RetryPolicy
from mastra_workflows.errors import (
    AuthenticationError,
    BodyTooLargeError,
    ConnectionFailedError,
    MastraError,
    NotMastraError,
    UnavailableError,
)
from tests.support.stand_in import Drip, Hold, RawResponse, StandIn, chunked, http

HTML = b"<!doctype html><title>Sign in</title>"
SECRET = "s3cret-t0ken"
ONCE = RetryPolicy(seconds=0)

READS: dict[str, Callable[[MastraClient], object]] = {
    "list": lambda client: client.list_workflows(),
    "details": lambda client: client.get_workflow("report").details(),
    "read": lambda client: client.get_workflow("report").get_run("r").read(),
    "wait": lambda client: client.get_workflow("report").get_run("r").wait(outage_timeout=0),
    "watch": lambda client: client.get_workflow("report").get_run("r").watch(),
    "runs": lambda client: next(client.get_workflow("report").runs()),
}
ACTS: dict[str, Callable[[MastraClient], object]] = {
    "start": lambda client: client.get_workflow("report").get_run("r").start(),
    "start_async": lambda client: client.get_workflow("report").get_run("r").start_async(),
    "stream": lambda client: client.get_workflow("report").get_run("r").stream(),
    "resume": lambda client: client.get_workflow("report").get_run("r").resume(),
    "resume_async": lambda client: client.get_workflow("report").get_run("r").resume_async(),
    "resume_stream": lambda client: client.get_workflow("report").get_run("r").resume_stream(),
    "cancel": lambda client: client.get_workflow("report").get_run("r").cancel(),
    "delete": lambda client: client.get_workflow("report").get_run("r").delete(),
    "restart": lambda client: client.get_workflow("report").get_run("r").restart(),
    "time_travel": lambda client: client.get_workflow("report").get_run("r").time_travel(step="a"),
}
EVERY_CALL = pytest.mark.parametrize("call", [*READS, *ACTS])


def connect(url: str) -> MastraClient:
    return MastraClient(url, token=SECRET, timeout=0.5, retry=ONCE, max_body_bytes=100_000)


def error_of(response: RawResponse, call: str = "list") -> MastraError:
    """What a call raises when every request gets this response; nothing was started by it."""
    with StandIn(response) as host, connect(host.url) as client:
        with pytest.raises(MastraError) as caught:
            {**READS, **ACTS}[call](client)
        assert host.sent("POST", "DELETE", "PUT") == []
        assert host.requests
    assert SECRET not in str(caught.value)
    return caught.value


@EVERY_CALL
def test_html_page_instead_of_json(call: str) -> None:
    error = error_of(http(200, HTML, Content_Type="text/html; charset=utf-8"), call)
    assert isinstance(error, NotMastraError)
    assert "an HTML page" in str(error)
    assert "base URL" in str(error)
    assert "login page or gateway" in str(error)


@EVERY_CALL
def test_a_redirect_to_a_login(call: str) -> None:
    target = f"https://login.example.com/start?token={SECRET}"
    error = error_of(http(302, Location=target), call)
    assert isinstance(error, NotMastraError)
    assert "https://login.example.com/start" in str(error)
    assert "Use the final address as the base URL" in str(error)


@EVERY_CALL
@pytest.mark.parametrize("status", [401, 403])
def test_a_gateway_that_asks_for_a_token(call: str, status: int) -> None:
    error = error_of(http(status, HTML, Content_Type="text/html"), call)
    assert isinstance(error, AuthenticationError)
    assert error.status_code == status
    assert "token" in str(error)
    assert "HTML page" in str(error)


@EVERY_CALL
def test_incomplete_json(call: str) -> None:
    error = error_of(http(200, b'{"packages": [{"name": "@mas'), call)
    assert isinstance(error, NotMastraError)
    assert "not a complete JSON document" in str(error)


@EVERY_CALL
def test_cut_response(call: str) -> None:
    error = error_of(http(200, b'{"packages": [', Content_Length="1000"), call)
    lost = error.__cause__ if call == "wait" else error
    assert isinstance(lost, ConnectionFailedError)
    assert lost.request_sent
    assert "broke" in str(error)


@EVERY_CALL
def test_connection_closed_without_a_response(call: str) -> None:
    error = error_of(b"", call)
    lost = error.__cause__ if call == "wait" else error
    assert isinstance(lost, ConnectionFailedError)
    assert lost.request_sent


@pytest.mark.parametrize(
    "response",
    [b"SSH-2.0-OpenSSH_9.2\r\n", b"\0\xff\0\xff", b"HTTP/1.1 abc\r\n\r\n", chunked()[:60]],
)
def test_server_without_http(response: bytes) -> None:
    assert isinstance(error_of(response), ConnectionFailedError | NotMastraError)


@pytest.mark.parametrize("status", [502, 503, 504, 429])
def test_gateway_without_a_backend(status: int) -> None:
    error = error_of(http(status, HTML, Content_Type="text/html"))
    assert isinstance(error, UnavailableError)
    assert error.status_code == status


@pytest.mark.parametrize("call", ["list", "details", "runs"])
def test_host_without_the_mastra_api(call: str) -> None:
    error = error_of(http(404, b"Not Found", Content_Type="text/plain"), call)
    assert "Check that this is a Mastra server and that its API prefix is right." in str(error)


@pytest.mark.parametrize("body", [b"[]", b"7", b'"ok"', b"null", b'{"status": "ok"}'])
def test_other_json_api(body: bytes) -> None:
    assert isinstance(error_of(http(200, body)), NotMastraError)
    assert isinstance(error_of(http(200, body), "wait"), NotMastraError | MastraError)


def test_a_server_that_is_silent() -> None:
    for response in (Hold(), Hold(http(200, b"{}")[:-1]), Drip(http(200, b"{}"), 0.8)):
        error = error_of(response)
        assert isinstance(error, ConnectionFailedError)
        assert "No response from http://127.0.0.1" in str(error)


def test_slow_response_is_accepted() -> None:
    with StandIn(Drip(http(200, b"{}"), 0.005)) as host, connect(host.url) as client:
        assert client.list_workflows() == ()


def test_a_body_over_the_limit() -> None:
    error = error_of(http(200, b'{"a": "' + b"x" * 200_000 + b'"}'))
    assert isinstance(error, BodyTooLargeError)
    assert "100000 bytes (max_body_bytes)" in str(error)


def test_compressed_body_over_the_limit() -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    assert len(bomb) < 100_000
    assert isinstance(error_of(http(200, bomb, Content_Encoding="gzip")), BodyTooLargeError)


def test_endless_body() -> None:
    response = chunked(*[b" " * 10_000] * 50, end=False)
    assert isinstance(error_of(response), BodyTooLargeError)


def test_body_with_a_wrong_content_encoding() -> None:
    error = error_of(http(200, b"not gzip", Content_Encoding="gzip"))
    assert isinstance(error, ConnectionFailedError | NotMastraError)


def test_a_wrong_port() -> None:
    with StandIn(b"") as host:
        url = host.url
    with connect(url) as client, pytest.raises(ConnectionFailedError) as caught:
        client.list_workflows()
    assert not caught.value.request_sent
    assert f"No connection to {url}: Connection refused" in str(caught.value)
    assert "host and port" in str(caught.value)


def test_an_unknown_host() -> None:
    url = "http://mastra.invalid:4111"
    with connect(url) as client, pytest.raises(ConnectionFailedError) as caught:
        client.list_workflows()
    assert not caught.value.request_sent
    assert url in str(caught.value)


def test_https_to_a_plain_http_server() -> None:
    with StandIn(http(200, b"{}")) as host:
        secure = MastraClient(host.url.replace("http:", "https:"), timeout=1)
        with secure, pytest.raises(ConnectionFailedError, match="No secure connection") as caught:
            secure.list_workflows()
    assert not caught.value.transient  # a retry would not help
    assert not caught.value.request_sent


def test_environment_does_not_override_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    # `requests` would take this in place of a session's `verify`, False or a bundle of one's own.
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem")
    with StandIn(http(200, b"{}")) as host:
        insecure = MastraClient(host.url.replace("http:", "https:"), verify=False, timeout=1)
        with insecure, pytest.raises(ConnectionFailedError, match="No secure connection") as caught:
            insecure.list_workflows()
    assert "/nowhere" not in str(caught.value)
