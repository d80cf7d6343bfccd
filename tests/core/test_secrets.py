"""Test that no log and no error contains the client's secrets, even if a server echoes them."""

from __future__ import annotations

import asyncio
import base64
import html
import json
import logging
import pickle
import re
import traceback
import urllib.parse
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mastra_workflows import AsyncMastraClient, MastraClient, RetryPolicy, _secrets
from mastra_workflows import _api as api
from mastra_workflows._api import Response
from mastra_workflows._settings import Settings, SettingsArguments
from mastra_workflows._stream import Decoder
from mastra_workflows._text import safe_text
from mastra_workflows.errors import ConfigurationError, MastraError
from tests.support.stand_in import StandIn, http

SECRET = "tok3n-\"S/E+C'R&ET"
TOKEN = "tok3n.SECRET/+"
LOCAL = "http://127.0.0.1:1"


@pytest.fixture(autouse=True)
def no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_secrets, "_secrets", {})
    monkeypatch.setattr(_secrets, "_forms", ())


FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "json": json.dumps,
    "json_of_javascript": lambda text: json.dumps(text, ensure_ascii=False),
    "repr": repr,
    "html": html.escape,
    "url": lambda text: urllib.parse.quote(text, safe=""),
    "url_small": lambda text: re.sub("%..", lambda e: e[0].lower(), urllib.parse.quote(text, "")),
    "path": urllib.parse.quote,
    "form": lambda text: urllib.parse.urlencode({"a": text}),
    "javascript": lambda text: urllib.parse.quote(text, safe="!'()*"),
    "html_of_go": lambda text: (
        html.escape(text).replace("&quot;", "&#34;").replace("&#x27;", "&#39;")
    ),
    "json_of_php": lambda text: json.dumps(text).replace("/", "\\/"),
    "json_of_go": lambda text: (
        json.dumps(text).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    ),
    "json_in_json": lambda text: json.dumps(json.dumps(text)),
    "url_twice": lambda text: urllib.parse.quote(urllib.parse.quote(text, safe=""), safe=""),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64url": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
}


@pytest.mark.parametrize(
    "echo",
    ["sec\u200bret tok\u00aden", "\ufeffsecret\u2060 token", "secret\n token", "secret   token"],
)
def test_shortened_lines_reveal_no_secret(echo: str) -> None:
    _secrets.register(["secret token"])
    assert safe_text(f"You sent {echo}.") == "You sent ***."


def test_escapes_of_a_secret_that_is_not_ascii() -> None:
    _secrets.register(["sëcrét-tökén"])
    for escaped in (json.dumps("sëcrét-tökén"), "s\\u00EBcr\\u00E9t-t\\u00F6k\\u00E9n"):
        assert safe_text(escaped).strip('"') == "***"


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer   s3cret-t0ken"},
        {"Cookie": "a=1;session=s3cret-t0ken"},
        {"Cookie": 'session="s3cret-t0ken"; b=2'},
    ],
)
def test_secret_inside_a_header_is_masked(headers: dict[str, str]) -> None:
    Settings.of(LOCAL, headers=headers)
    assert safe_text("It was s3cret-t0ken.") == "It was ***."


@pytest.mark.parametrize("form", FORMS.values(), ids=list(FORMS))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(secret=st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S"]), min_size=8))
def test_every_encoding_of_a_secret_is_masked(form: Callable[[str], str], secret: str) -> None:
    secret = secret.replace("*", "+")
    _secrets.register([secret])
    shown = form(secret)
    assert shown.rstrip("=")[-8:] not in safe_text(f"you sent {shown}, sorry")
    assert "you sent" in safe_text(f"you sent {shown}, sorry")


@pytest.mark.parametrize("limit", [40, 100])
@pytest.mark.parametrize("times", [1, 20])
def test_cut_text_contains_no_part_of_a_secret(limit: int, times: int) -> None:
    _secrets.register([SECRET])
    for before in range(limit + 1):
        line = safe_text("x" * before + SECRET * times + "y" * 300, limit)
        assert len(line) <= limit
        assert "tok3n" not in line
        assert "C'R" not in line


def test_short_or_invalid_secrets_are_not_registered() -> None:
    _secrets.register(["", "abc", "****"])
    assert safe_text("abcd ****") == "abcd ****"


def test_least_recently_used_secrets_are_evicted() -> None:
    _secrets.register(["first-one", "second-one"])
    for number in range(_secrets.MOST - 1):
        _secrets.register([f"secret-{number:04}-", "first-one"])
    assert safe_text("first-one second-one secret-0000-") == "*** second-one ***"


def test_values_treated_as_secrets() -> None:
    headers = {
        "X-Api-Key": "abcd",
        "Cookie": "kind=v; session=s3ss10n",
        "X-Team": "analytics",
        "X-Sealed": "sea1ed-value",
        "User-Agent": "pipeline/1.0",
    }
    Settings(base_url=LOCAL, basic_auth=("user", "pa55"), headers=headers)
    Settings(base_url=LOCAL, token="t0ken")
    login = base64.b64encode(b"user:pa55").decode()
    said = f"abcd|s3ss10n|analytics|sea1ed-value|pipeline/1.0|user|pa55|{login}|Bearer t0ken|kind"
    assert safe_text(said) == "***|***|analytics|***|pipeline/1.0|user|***|***|***|kind"


LOGINS: dict[str, SettingsArguments] = {
    "token": {"token": TOKEN},
    "basic": {"basic_auth": ("user", TOKEN)},
    "header": {"headers": {"X-Api-Key": TOKEN}},
    "login_header": {"headers": {"Authorization": f"Bearer {TOKEN}"}},
}
ECHO = f"you sent {{'authorization': 'Bearer {TOKEN}', 'basic': '%s'}}" % (
    base64.b64encode(f"user:{TOKEN}".encode()).decode()
)
RESPONSES = {
    **{
        str(status): http(status, json.dumps({"error": ECHO}).encode())
        for status in (401, 407, 500)
    },
    "text": http(500, ECHO.encode()),
    "issues": http(400, json.dumps({"issues": [{"field": ECHO, "message": ECHO}]}).encode()),
    "title": http(502, f"<title>{ECHO}</title>".encode(), Content_Type="text/html"),
    "redirect": http(302, b"", Location=f"/login/{TOKEN}"),
    "kind": http(200, b"", Content_Type=TOKEN),
}


def ask_sync(url: str, arguments: SettingsArguments) -> MastraError:
    with MastraClient(url, **arguments) as client, pytest.raises(MastraError) as caught:
        client.get_workflow("w").get_run("r").wait(timeout=0.1, is_known=True, outage_timeout=0.1)
    return caught.value


def ask_async(url: str, arguments: SettingsArguments) -> MastraError:
    async def ask() -> MastraError:
        async with AsyncMastraClient(url, **arguments) as client:
            run = client.get_workflow("w").get_run("r")
            with pytest.raises(MastraError) as caught:
                await run.wait(timeout=0.1, is_known=True, outage_timeout=0.1)
        return caught.value

    return asyncio.run(ask())


@pytest.mark.parametrize("ask", [ask_sync, ask_async], ids=["sync", "async"])
@pytest.mark.parametrize("login", LOGINS.values(), ids=list(LOGINS))
@pytest.mark.parametrize("response", RESPONSES.values(), ids=list(RESPONSES))
def test_an_echo_is_masked(
    response: bytes,
    login: SettingsArguments,
    ask: Callable[[str, SettingsArguments], MastraError],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    retry = RetryPolicy(seconds=0)
    with StandIn(response) as host:
        error = ask(host.url, {**login, "retry": retry})
    assert "***" in str(error)
    said = getattr(error, "server_message", "")
    whole = "".join(traceback.format_exception(error)) + repr(error) + said + caplog.text
    copy = pickle.loads(pickle.dumps(error))
    for secret in secrets_of(login):
        assert secret not in whole + str(copy)


def secrets_of(login: SettingsArguments) -> Iterator[str]:
    yield TOKEN
    if "basic_auth" in login:
        yield base64.b64encode(f"user:{TOKEN}".encode()).decode()


def test_run_error_is_masked_in_text_but_not_in_data() -> None:
    Settings(base_url=LOCAL, token=TOKEN)
    record = {"status": "failed", "error": {"message": ECHO}, "result": ECHO, "steps": {}}
    run = api.parse_run("w", "r", Response(200, {}, json.dumps(record).encode()))
    with pytest.raises(MastraError) as caught:
        run.raise_for_status()
    assert TOKEN not in f"{caught.value} {caught.value!r} {run} {run.error}"
    assert run.error is not None
    assert run.error.message == ECHO


def test_a_record_of_a_stream_is_masked() -> None:
    Settings(base_url=LOCAL, token=TOKEN)
    for padding in range(100):
        with pytest.raises(MastraError) as caught:
            list(Decoder(max_record_bytes=10**6).feed(b"x" * padding + ECHO.encode() + b"\x1e"))
        assert TOKEN[:6] not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("X hdrSECRET", "'X…'"),
        ("Authorization: Bearer hdrSECRET", "'Authorization…'"),
        (" hdrSECRET", "a name"),
        ("x" * 500 + " hdrSECRET", "x" * 40 + "…"),
    ],
)
def test_invalid_header_name_is_shown_up_to_the_error(name: str, shown: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Settings(base_url=LOCAL, headers={name: "a"})
    assert shown in str(caught.value)
    assert "hdrSECRET" not in str(caught.value)
    assert len(str(caught.value)) < 100
