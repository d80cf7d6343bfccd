"""Base URLs, secrets and limits: what cannot work is refused before anything is sent."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from mastra_workflows import MastraClient
from mastra_workflows.errors import ConfigurationError, MastraError
from mastra_workflows.settings import Settings

SECRET = "s3cret-t0ken"
LOCAL = "http://localhost:4111"


@pytest.mark.parametrize(
    ("base_url", "api_url"),
    [
        (LOCAL, f"{LOCAL}/api"),
        (f"{LOCAL}/", f"{LOCAL}/api"),
        (f"{LOCAL}//", f"{LOCAL}/api"),
        (f"  {LOCAL}\n", f"{LOCAL}/api"),
        (f"{LOCAL}/api", f"{LOCAL}/api"),
        (f"{LOCAL}/api/", f"{LOCAL}/api"),
        (f"{LOCAL}/mastra", f"{LOCAL}/mastra/api"),
        (f"{LOCAL}/mastra/", f"{LOCAL}/mastra/api"),
        (f"{LOCAL}/mastra/api", f"{LOCAL}/mastra/api"),
        (f"{LOCAL}/my-api", f"{LOCAL}/my-api/api"),
        ("HTTPS://Example.COM", "https://example.com/api"),
        ("http://[::1]:4111", "http://[::1]:4111/api"),
        ("http://[::1]", "http://[::1]/api"),
        ("http://127.0.0.1:80", "http://127.0.0.1:80/api"),
    ],
)
def test_base_urls(base_url: str, api_url: str) -> None:
    assert Settings(base_url=base_url).api_url == api_url


@pytest.mark.parametrize(
    ("base_url", "prefix", "api_url"),
    [
        (LOCAL, "/v2/api", f"{LOCAL}/v2/api"),
        (LOCAL, "v2/", f"{LOCAL}/v2"),
        (LOCAL, "", LOCAL),
        (LOCAL, "/", LOCAL),
        (f"{LOCAL}/v2", "/v2", f"{LOCAL}/v2"),
        (f"{LOCAL}/api", "", f"{LOCAL}/api"),
    ],
)
def test_api_prefixes(base_url: str, prefix: str, api_url: str) -> None:
    assert Settings(base_url=base_url, api_prefix=prefix).api_url == api_url


@pytest.mark.parametrize(
    ("base_url", "says"),
    [
        ("localhost:4111", "scheme"),
        ("example.com", "scheme"),
        ("//example.com", "scheme"),
        ("/api", "scheme"),
        ("", "scheme"),
        ("http://", "host"),
        ("http://:4111", "host"),
        ("ftp://example.com", "scheme"),
        ("http://example.com:port", "port"),
        ("http://example.com:99999", "port"),
        ("http://example.com:0", "port"),
        ("http://[::1", "host"),
        ("http://two words", "host"),
        ("http://a..b", "host"),
        ("http://" + "a" * 70, "host"),
        ("http://example.com?x=1", "query"),
        ("http://example.com#x", "fragment"),
    ],
)
def test_base_urls_that_cannot_work(base_url: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        Settings(base_url=base_url)


@pytest.mark.parametrize(
    "base_url",
    [
        f"http://user:{SECRET}@example.com",
        f"http://:{SECRET}@example.com",
        f"http://{SECRET}@example.com",
        f"user:{SECRET}@example.com",
        f"ftp://user:{SECRET}@example.com",
        f"http://user:{SECRET}@example.com:port",
        f"http://user:{SECRET}@[::1",
        f"http://example.com?token={SECRET}",
    ],
)
def test_a_password_in_the_address_is_refused_and_not_repeated(base_url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Settings(base_url=base_url)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("token", ["", " ", "two words", f"{SECRET}\n", "größe", "a\tb"])
def test_tokens_that_cannot_work(token: str) -> None:
    with pytest.raises(ConfigurationError, match="token") as caught:
        Settings(base_url=LOCAL, token=token)
    assert not token.strip() or token.strip() not in str(caught.value)


@pytest.mark.parametrize(
    "headers",
    [
        {"X Team": "a"},
        {"": "a"},
        {"X-Team:": "a"},
        {"größe": "a"},
        {"X-Team": f"{SECRET}\r\nX-Other: b"},
        {"X-Team": f"{SECRET}\0"},
        {"X-Team": f" {SECRET}"},
        {"X-Team": f"{SECRET} 日本"},
        {"X-Team": 7},
        {"X-Team": None},
    ],
)
def test_headers_that_cannot_work(headers: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"[Hh]eader") as caught:
        Settings(base_url=LOCAL, headers=headers)
    assert SECRET not in str(caught.value)


def test_the_headers_of_every_request() -> None:
    settings = Settings(base_url=LOCAL, token=SECRET, headers={"X-Team": "a b"})
    assert settings.all_headers() == {
        "Accept": "application/json",
        "X-Team": "a b",
        "Authorization": f"Bearer {SECRET}",
    }
    assert "Authorization" not in Settings(base_url=LOCAL).all_headers()


def test_no_secret_in_any_text_of_a_client() -> None:
    headers = {"X-Api-Key": SECRET}
    settings = Settings(base_url=LOCAL, token=SECRET, headers=headers)
    with MastraClient(LOCAL, token=SECRET, headers=headers) as client:
        run = client.get_workflow("report").run("run-1")
        texts = [repr(thing) for thing in (settings, client, run, client.get_workflow("report"))]
    assert SECRET not in " ".join([*texts, str(settings), str(client), str(run)])
    assert LOCAL in repr(client)


@pytest.mark.parametrize(
    "setting", ["timeout", "connect_timeout", "max_body_bytes", "start_timeout"]
)
@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf])
def test_limits_that_cannot_work(setting: str, value: float) -> None:
    arguments: Any = {setting: value}
    with pytest.raises(ConfigurationError, match=setting):
        MastraClient(LOCAL, **arguments)


def test_a_ca_bundle_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="CA bundle"):
        Settings(base_url=LOCAL, verify=str(tmp_path / "missing.pem"))
    bundle = tmp_path / "ca.pem"
    bundle.touch()
    assert Settings(base_url=LOCAL, verify=str(bundle)).verify == str(bundle)


def test_an_empty_ca_bundle_does_not_turn_the_check_off() -> None:
    # `requests` takes an empty text for False.
    with pytest.raises(ConfigurationError, match="CA bundle"):
        Settings(base_url=LOCAL, verify="")


def test_an_error_of_a_setting_is_a_value_error_and_ours() -> None:
    assert issubclass(ConfigurationError, ValueError)
    assert issubclass(ConfigurationError, MastraError)
