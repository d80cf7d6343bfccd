"""Test how the fields of an Airflow connection configure the client."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.sdk import Connection

from airflow_provider_mastra.hooks._connection import client_arguments, secrets, studio_url
from mastra_workflows import MastraClient
from mastra_workflows.errors import ConfigurationError

pytestmark = pytest.mark.smoke

URL = "http://mastra.example"


def connection(**fields: Any) -> Connection:
    """A connection of the task SDK, its extra given as a value."""
    extra = fields.pop("extra", None)
    text = extra if isinstance(extra, str | None) else json.dumps(extra)
    return Connection(conn_id="mastra_here", conn_type="mastra", extra=text, **fields)


@pytest.mark.parametrize(
    ("fields", "base_url"),
    [
        ({"host": "localhost", "port": 4111}, "http://localhost:4111"),
        ({"host": "localhost", "port": 4111, "schema": "https"}, "https://localhost:4111"),
        ({"host": "mastra.example"}, "http://mastra.example"),
        ({"host": "mastra.example:4111"}, "http://mastra.example:4111"),
        ({"host": "::1", "port": 4111}, "http://[::1]:4111"),
        ({"host": "[::1]", "port": 4111}, "http://[::1]:4111"),
        ({"host": "https://mastra.example"}, "https://mastra.example"),
        ({"host": "https://mastra.example/"}, "https://mastra.example"),
        ({"host": "https://mastra.example/api"}, "https://mastra.example"),
        ({"host": "https://mastra.example/eu/", "schema": "http"}, "https://mastra.example/eu"),
        ({"host": "https://mastra.example/eu", "port": 8443}, "https://mastra.example:8443/eu"),
        ({"host": "http://mastra.example:4111", "port": 4111}, "http://mastra.example:4111"),
        ({"host": " http://mastra.example:4111 "}, "http://mastra.example:4111"),
    ],
)
def test_host_port_and_schema_or_a_whole_url(fields: dict[str, Any], base_url: str) -> None:
    with MastraClient(**client_arguments(connection(**fields))) as client:
        assert client.base_url == base_url


@pytest.mark.parametrize(
    ("uri", "base_url"),
    [
        ("mastra://localhost:4111", "http://localhost:4111"),
        ("mastra://:secret-token@localhost:4111/https", "https://localhost:4111"),
        ("mastra://https://mastra.example:4111", "https://mastra.example:4111"),
        ("mastra://https%3A%2F%2Fmastra.example%2Feu", "https://mastra.example/eu"),
    ],
)
def test_a_connection_given_as_a_uri(uri: str, base_url: str) -> None:
    arguments = client_arguments(Connection.from_uri(uri, conn_id="mastra_here"))
    with MastraClient(**arguments) as client:
        assert client.base_url == base_url
    assert arguments["token"] == ("secret-token" if "secret" in uri else None)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "Connection 'mastra_here' has no host"),
        ({"host": " "}, "Connection 'mastra_here' has no host"),
        ({"host": f"{URL}:4111", "port": 4112}, "has port 4112, but port 4111 in its host"),
        ({"host": f"{URL}:port", "port": 4111}, "port is not valid"),
        ({"host": "ftp://mastra.example"}, "no http:// or https:// scheme"),
        ({"host": "http://user:hush@mastra.example"}, "contains a user or password"),
        ({"host": URL, "password": "hush hush"}, "The token is empty or contains spaces"),
        (
            {"host": URL, "extra": "{'timeout': hush}"},
            "The extra of connection .* is not valid JSON",
        ),
        ({"host": URL, "extra": '["hush"]'}, "must be a JSON object"),
        (
            {"host": URL, "extra": {"headers": ["hush"]}},
            "'headers' must be a JSON object of strings",
        ),
        (
            {"host": URL, "extra": {"headers": {"X-Key": 1}}},
            "'headers' must be a JSON object of strings",
        ),
        (
            {"host": URL, "extra": {"secret_headers": "hush"}},
            "extra 'secret_headers' is not valid JSON",
        ),
        ({"host": URL, "extra": {"headers": {"X-Key": "hush\n"}}}, "'X-Key' contains a line break"),
        ({"host": URL, "extra": {"headers": {"X Key": "hush"}}}, "'X…' is not a valid header name"),
        (
            {"host": URL, "extra": {"timeout": "soon"}},
            "extra 'timeout' must be a number of seconds",
        ),
        ({"host": URL, "extra": {"timeout": True}}, "extra 'timeout' must be a number of seconds"),
        ({"host": URL, "extra": {"connect_timeout": 0}}, "connect_timeout is 0"),
        ({"host": URL, "extra": {"api_prefix": 1}}, "extra 'api_prefix' must be a string"),
        ({"host": URL, "extra": {"verify": 1}}, "Connection extra 'verify' must be"),
        (
            {"host": URL, "extra": {"verify": "/no/bundle.pem"}},
            "the CA bundle '/no/bundle.pem' does not exist",
        ),
    ],
)
def test_invalid_connection_raises_a_configuration_error(
    fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        MastraClient(**client_arguments(connection(**fields)))
    assert "hush" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_extras_as_json() -> None:
    extra = {
        "headers": {"X-Team": "blue"},
        "secret_headers": {"X-Key": "k"},
        "api_prefix": "/mastra",
        "verify": False,
        "timeout": 2.5,
        "connect_timeout": 1,
        "studio_url": "https://studio.example/",
    }
    given = connection(host=URL, password="t", extra=extra)
    assert client_arguments(given) == {
        "base_url": URL,
        "token": "t",
        "headers": {"X-Team": "blue", "X-Key": "k"},
        "api_prefix": "/mastra",
        "verify": False,
        "timeout": 2.5,
        "connect_timeout": 1.0,
    }
    assert studio_url(given) == "https://studio.example/"


def test_extras_as_submitted_by_the_form() -> None:
    extra = {
        "headers": '{"X-Team": "blue"}',
        "secret_headers": "",
        "api_prefix": None,
        "verify": "False",
        "timeout": "20",
        "connect_timeout": None,
        "studio_url": "",
    }
    given = connection(host=URL, password="", extra=extra)
    assert client_arguments(given) == {
        "base_url": URL,
        "token": None,
        "headers": {"X-Team": "blue"},
        "verify": False,
        "timeout": 20.0,
    }
    assert studio_url(given) is None


@pytest.mark.parametrize("url", ["studio.example", "javascript:alert(1)//x", 5])
def test_a_studio_url_is_an_http_address(url: object) -> None:
    with pytest.raises(ConfigurationError, match="studio_url: "):
        studio_url(connection(host=URL, extra={"studio_url": url}))


def test_unknown_extras_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    client_arguments(connection(host=URL, extra={"time_out": 7, "timeout": 5}))
    (record,) = caplog.records
    assert "unknown fields: time_out. Known fields: headers, " in record.getMessage()


def test_every_value_of_a_header_is_a_secret() -> None:
    extra = {"headers": {"Authorization": "Bearer abc"}, "secret_headers": {"X-Key": "k"}}
    arguments = client_arguments(connection(host=URL, password="t", extra=extra))
    assert secrets(arguments) == {"t", "Bearer abc", "abc", "k"}


def test_a_login_is_basic_auth_and_a_password_alone_a_token() -> None:
    url = {"host": "https://mastra.example"}
    arguments = client_arguments(connection(**url, login="ada", password="se:cret"))
    assert (arguments["basic_auth"], arguments["token"]) == (("ada", "se:cret"), None)
    assert "se:cret" in secrets(arguments)
    arguments = client_arguments(connection(**url, password="se:cret"))
    assert (arguments.get("basic_auth"), arguments["token"]) == (None, "se:cret")


def test_client_certificates() -> None:
    url = "https://mastra.example"
    both = {"client_cert": "/a.pem", "client_key": "/a.key"}
    assert client_arguments(connection(host=url, extra=both))["client_cert"] == ("/a.pem", "/a.key")
    one = {"client_cert": "/a.pem", "client_key": ""}
    assert client_arguments(connection(host=url, extra=one))["client_cert"] == "/a.pem"
    with pytest.raises(ConfigurationError, match="needs 'client_cert'"):
        client_arguments(connection(host=url, extra={"client_key": "/a.key"}))
