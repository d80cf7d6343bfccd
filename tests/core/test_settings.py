"""Test base URLs, secrets and limits: invalid settings are rejected before any request is sent."""

from __future__ import annotations

import base64
import contextlib
import copy
import math
import pickle
import traceback
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastra_workflows import AsyncMastraClient, MastraClient
from mastra_workflows._pools import pool_key
from mastra_workflows._settings import Settings
from mastra_workflows.errors import ConfigurationError, MastraError

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
        ("http://example.com/my server", "http://example.com/my%20server/api"),
        ("http://example.com/my%20server", "http://example.com/my%20server/api"),
        ("http://bücher.example", "http://xn--bcher-kva.example/api"),
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
def test_invalid_base_urls_are_rejected(base_url: str, says: str) -> None:
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
        f"http://user:{SECRET}",
        f"https://user:{SECRET}/path",
        f"http://host:80:{SECRET}",
        f"http://user@host:{SECRET}",
        f"http:/user:{SECRET}@host",
        f"http://[{SECRET}]",
        f"http://us er:{SECRET}@host",
        f"http://example.com?token={SECRET}",
    ],
)
def test_password_in_the_base_url_is_rejected_and_not_shown(base_url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Settings(base_url=base_url)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("token", ["", " ", "two words", f"{SECRET}\n", "größe", "a\tb"])
def test_invalid_tokens_are_rejected(token: str) -> None:
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
def test_invalid_headers_are_rejected(headers: Any) -> None:
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


def test_reprs_contain_no_secret() -> None:
    headers = {"X-Api-Key": SECRET}
    settings = Settings(base_url=LOCAL, token=SECRET, headers=headers)
    with MastraClient(LOCAL, token=SECRET, headers=headers) as client:
        run = client.get_workflow("report").get_run("run-1")
        texts = [repr(thing) for thing in (settings, client, run, client.get_workflow("report"))]
    assert SECRET not in " ".join([*texts, str(settings), str(client), str(run)])
    assert LOCAL in repr(client)


@pytest.mark.parametrize(
    "setting", ["timeout", "connect_timeout", "max_body_bytes", "start_timeout"]
)
@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf])
def test_invalid_limits_are_rejected(setting: str, value: float) -> None:
    arguments: Any = {setting: value}
    with pytest.raises(ConfigurationError, match=setting):
        MastraClient(LOCAL, **arguments)


def test_missing_ca_bundle_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="CA bundle"):
        Settings(base_url=LOCAL, verify=str(tmp_path / "missing.pem"))
    bundle = tmp_path / "ca.pem"
    bundle.touch()
    assert Settings(base_url=LOCAL, verify=str(bundle)).verify == str(bundle)


def test_empty_ca_bundle_does_not_disable_verification() -> None:
    # `requests` takes an empty text for False.
    with pytest.raises(ConfigurationError, match="CA bundle"):
        Settings(base_url=LOCAL, verify="")


def test_configuration_error_is_a_value_error() -> None:
    assert issubclass(ConfigurationError, ValueError)
    assert issubclass(ConfigurationError, MastraError)


@pytest.mark.parametrize(
    "name",
    ["Host", "content-length", "TRANSFER-ENCODING", "Connection", "Upgrade", "TE", "Expect"],
)
def test_reserved_headers_are_rejected(name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        Settings(base_url=LOCAL, headers={name: "1"})


def test_duplicate_header_is_rejected() -> None:
    with pytest.raises(ConfigurationError, match="twice"):
        Settings(base_url=LOCAL, headers={"X-Team": "a", "x-team": "b"})
    accept = {"accept": "text/plain"}
    assert Settings(base_url=LOCAL, headers=accept).all_headers() == accept


def test_basic_auth() -> None:
    headers = Settings(base_url=LOCAL, basic_auth=("Änne", "pa:ss wörd")).all_headers()
    kind, _, text = headers["Authorization"].partition(" ")
    assert (kind, base64.b64decode(text).decode()) == ("Basic", "Änne:pa:ss wörd")


@pytest.mark.parametrize(
    "logins",
    [
        {"token": SECRET, "headers": {"authorization": "Basic abc"}},
        {"token": SECRET, "basic_auth": ("user", SECRET)},
        {"basic_auth": ("user", SECRET), "headers": {"Authorization": "Bearer abc"}},
    ],
)
def test_several_credentials_are_rejected(logins: Any) -> None:
    with pytest.raises(ConfigurationError, match="Leave all but one out") as caught:
        Settings(base_url=LOCAL, **logins)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("login", [("a:b", SECRET), ("", SECRET), ("a", f"{SECRET}\n"), (SECRET,)])
def test_invalid_basic_auth_is_rejected(login: Any) -> None:
    with pytest.raises(ConfigurationError, match="basic_auth") as caught:
        Settings(base_url=LOCAL, basic_auth=login)
    assert SECRET not in str(caught.value)


def test_client_certificates(tmp_path: Path) -> None:
    pem = tmp_path / "client.pem"
    pem.touch()
    for value in (str(pem), (str(pem), str(pem)), (str(pem), str(pem), SECRET)):
        settings = Settings(base_url=LOCAL, client_cert=value)
        assert settings.client_cert == value
        assert SECRET not in repr(settings)
    for wrong in (str(tmp_path / "no.pem"), (str(pem), "/no.key"), (), 5, (str(pem), 5)):
        with pytest.raises(ConfigurationError, match="client_cert"):
            Settings(base_url=LOCAL, client_cert=wrong)  # type: ignore[arg-type]


def test_durations() -> None:
    with MastraClient(LOCAL, timeout=timedelta(minutes=1), connect_timeout=3) as client:
        settings = client._transport.settings
    assert (settings.timeout, settings.connect_timeout) == (60.0, 3.0)


def test_client_cannot_be_pickled_or_copied() -> None:
    with MastraClient(LOCAL, token=SECRET) as client:
        workflow = client.get_workflow("report")
        mine = [client, workflow, workflow.get_run("r"), client._transport.settings]
        mastra = AsyncMastraClient(LOCAL, token=SECRET)
        mine += [mastra, mastra.get_workflow("report"), mastra.get_workflow("report").get_run("r")]
        for thing in mine:
            for copied in (pickle.dumps, copy.copy, copy.deepcopy):
                with pytest.raises(TypeError, match="Make a client in each process") as caught:
                    copied(thing)
                assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("secrets", "url", "warns"),
    [
        ({"token": SECRET}, "http://mastra.example", True),
        ({"basic_auth": ("user", SECRET)}, "http://10.0.0.9:4111", True),
        ({"headers": {"X-Api-Key": SECRET}}, "http://mastra2.example", True),
        ({"headers": {"X-Team": "a"}}, "http://mastra3.example", False),
        ({"token": SECRET}, "https://mastra4.example", False),
        ({"token": SECRET}, "http://127.0.0.2:4111", False),
        ({"token": SECRET}, "http://[::1]:4111", False),
        ({"token": SECRET}, "http://localhost:4111", False),
        ({}, "http://mastra5.example", False),
    ],
)
def test_secrets_over_plain_http(
    secrets: Any, url: str, warns: bool, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        MastraClient(url, **secrets).close()
        AsyncMastraClient(url, **secrets)
    assert len(caplog.messages) == warns
    assert all(url in line and SECRET not in line for line in caplog.messages)


WRONG = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.binary(max_size=8),
    st.text(max_size=12),
    st.dates(),
    st.timedeltas(),
    st.lists(st.text(max_size=3), max_size=3),
    st.tuples(st.text(max_size=3), st.integers() | st.text(max_size=3)),
    st.dictionaries(st.text(max_size=3) | st.integers(), st.text(max_size=3) | st.none()),
    st.just(object()),
    st.sampled_from([10**400, "3m", "http://[::1", "http://a:b@c", Path("/no/such/place")]),
)
NAMES = [field.name for field in fields(Settings)]


@given(st.dictionaries(st.sampled_from(NAMES), WRONG, max_size=3))
def test_wrong_types_raise_configuration_errors(settings: dict[str, Any]) -> None:
    with contextlib.suppress(ConfigurationError):
        hash(pool_key(Settings(**{"base_url": LOCAL, **settings})))


@pytest.mark.parametrize("name", NAMES)
def test_an_error_names_the_setting(name: str) -> None:
    arguments: Any = {"base_url": LOCAL, name: object()}
    with pytest.raises(ConfigurationError, match=name):
        Settings(**arguments)
