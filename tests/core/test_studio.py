"""Test links to Mastra Studio: which URLs are accepted, and how Markdown renders them."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from mastra_workflows._models import Suspension
from mastra_workflows._studio import check_studio_url, run_url
from mastra_workflows.errors import ConfigurationError
from mastra_workflows.hitl._markdown import link
from mastra_workflows.hitl._pending_requests import PendingRequest

WRONG = [
    "javascript:alert(1)",
    "javascript://studio.example/%0aalert(1)",
    "data:text/html,<script>alert(1)</script>",
    "file:///etc/passwd",
    "ftp://studio.example",
    "//studio.example",
    "studio.example",
    "https://",
    "http://[",
    "http://studio.example:port",
    "",
    None,
    5,
    b"https://studio.example",
    ["https://studio.example"],
]


@pytest.mark.parametrize("value", WRONG)
def test_invalid_url_is_rejected(value: object) -> None:
    with pytest.raises(ConfigurationError, match=r"^studio_url: "):
        check_studio_url(value)


def test_credentials_are_rejected_and_not_shown() -> None:
    with pytest.raises(ConfigurationError, match="user or password") as refused:
        check_studio_url("https://ada:pa55word@studio.example")
    assert "pa55word" not in str(refused.value)


def test_valid_url_is_unchanged() -> None:
    for url in ("https://studio.example", "http://127.0.0.1:4111/studio/?tab=a%20b#x"):
        assert check_studio_url(f" {url} ") == url


@given(st.text() | st.none() | st.integers() | st.binary() | st.lists(st.text()))
def test_any_value_is_accepted_or_rejected(value: object) -> None:
    try:
        url = check_studio_url(value)
    except ConfigurationError:
        return
    assert urlsplit(url).scheme in ("http", "https")


@given(st.text(), st.text(), st.text())
def test_any_run_has_a_unique_url(path: str, workflow_id: str, run_id: str) -> None:
    url = run_url(check_studio_url(f"https://studio.example/{path}"), workflow_id, run_id)
    html = MarkdownIt("commonmark").render(link("See the run", url))
    assert html.count("<a ") == 1
    assert html.startswith('<p><a href="https://studio.example/')
    assert html.endswith('">See the run</a></p>\n')


@pytest.mark.parametrize("url", [*WRONG[:5], "javascript:alert(1)//https://x"])
def test_request_omits_an_unsafe_link(url: str) -> None:
    pending_request = PendingRequest(
        "refundApproval", "r1", Suspension(step=("approve",), payload={}), url=url
    )
    assert "](" not in pending_request.body
