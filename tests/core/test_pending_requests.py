"""Test the requests of suspended runs as values and as safe Markdown, and responses by code."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from mastra_workflows import MastraClient, Suspension, WorkflowRun
from mastra_workflows._text import printable
from mastra_workflows.errors import ConfigurationError
from mastra_workflows.hitl._markdown import MAX_BODY, MAX_TEXT
from mastra_workflows.hitl._pending_requests import (
    ASK,
    AskOptions,
    PendingRequest,
    pending_requests,
)
from testkit.sample_server import SampleServer
from tests.core.samples import REFUND, suspended_refund
from tests.core.strategies import JSON_VALUES

PAGE = MarkdownIt("commonmark", {"html": True}).enable("table").enable("strikethrough")
"""A reader that lets everything through that Markdown can do."""

OURS = {
    *("paragraph", "inline", "text", "softbreak", "hardbreak", "strong", "blockquote", "fence"),
    *("table", "thead", "tbody", "tr", "th", "td", "bullet_list", "list_item", "code_inline"),
}
"""What the body of a request is made of, where there is no link to Studio."""


def asking(payload: Any, **more: Any) -> PendingRequest:
    return PendingRequest("orders", "run-1", Suspension(("approve",), payload, **more))


def tokens(markdown: str) -> list[Token]:
    found = []
    for token in PAGE.parse(markdown):
        found.append(token)
        found += token.children or []
    return found


def kinds(markdown: str) -> set[str]:
    return {token.type.removesuffix("_open").removesuffix("_close") for token in tokens(markdown)}


def text_of(markdown: str) -> str:
    """All that a reader sees."""
    return " ".join(token.content for token in tokens(markdown) if not token.children)


# -- on real servers ------------------------------------------------------------------------------


def test_pending_requests_of_a_run(client: MastraClient, key: str) -> None:
    record = suspended_refund(client, key).read()
    [pending_request] = pending_requests(record, "http://studio/run")
    assert pending_request.subject == "refundApproval: approve"
    assert "Waits for a decision on the refund" in pending_request.body
    assert "| **amount** | 2500 |" in pending_request.body
    assert "[See the run in Mastra Studio](http://studio/run)" in pending_request.body
    assert [field.key for field in pending_request.form.fields] == ["approved", "note"]
    assert (
        PendingRequest.from_dict(json.loads(json.dumps(pending_request.to_dict())))
        == pending_request
    )


def test_running_run_has_no_requests(client: MastraClient, key: str) -> None:
    run = suspended_refund(client, key)
    run.resume(resume_data={"approved": True})
    assert pending_requests(run.wait(timeout=30)) == ()


def test_each_round_is_a_new_request(client: MastraClient, key: str) -> None:
    run = client.get_workflow("reviseLoop").get_run(key)
    run.start(input_data={"topic": "forms"})
    asked = []
    for _ in range(2):
        [pending_request] = pending_requests(run.wait(timeout=30))
        asked.append(pending_request)
        run.respond(pending_request, {"verdict": "revise"})
    assert asked[0].key != asked[1].key
    assert asked[0].key == PendingRequest.from_dict(asked[0].to_dict()).key


def test_hostile_payload_is_rendered_as_text(client: MastraClient, key: str) -> None:
    run = client.get_workflow("hostileRequest").get_run(key)
    run.start(input_data={"kilobytes": 1000})
    [pending_request] = pending_requests(run.wait(timeout=30))
    assert kinds(pending_request.body) <= OURS
    assert "<script>window.hostile = 1</script>" in text_of(pending_request.body).replace("\n", "")
    assert "{{ 7 * 7 }}" in text_of(pending_request.body)
    assert len(pending_request.body) < 2 * MAX_TEXT
    assert "of 1,024,002 characters" in pending_request.body
    assert pending_request.key.startswith("respond-b-me-b-")


# -- any payload ----------------------------------------------------------------------------------


@given(JSON_VALUES, st.text(max_size=40))
def test_any_payload_is_rendered_as_text(payload: Any, description: str) -> None:
    pending_request = asking(payload, description=description)
    assert kinds(pending_request.body) <= OURS
    assert pending_request.body == printable(pending_request.body)
    assert "\n" not in pending_request.subject


@given(st.text(st.sampled_from("<>&`*_[]()#|~!-+=.:1 \n\\\t{}%$ab"), max_size=60))
def test_plain_text_is_unchanged(text: str) -> None:
    seen = text_of(asking(text).body)
    for word in text.split():
        assert word in seen


@pytest.mark.parametrize("payload", [None, {}, [], ""])
def test_step_without_a_payload(payload: Any) -> None:
    assert asking(payload).body == "Step `approve` of workflow `orders`, run `run-1`."


def test_flat_objects_are_tables() -> None:
    body = asking([{"draft": "a|b", "words": 3}, {"draft": "c", "good": True}]).body
    assert body.splitlines()[:4] == [
        "| draft | words | good |",
        "| --- | --- | --- |",
        r"| a\|b | 3 |  |",
        "| c |  | true |",
    ]


def test_lists_strings_and_deep_values() -> None:
    body = asking({"drafts": ["one", "two"], "mail": "Dear\n  Ada", "deep": {"a": [{}]}}).body
    assert "- one\n- two" in body
    assert "> Dear  \n> \u00a0\u00a0Ada" in body
    assert '```json\n{\n  "a": [\n    {}\n  ]\n}\n```' in body


@pytest.mark.parametrize(
    "payload",
    ["x" * 1_000_000, ["x" * 9_000] * 900, {f"k{n}": "x" * 5_000 for n in range(900)}, "`" * 9_000],
)
def test_a_large_payload_does_not_make_a_large_page(payload: Any) -> None:
    assert len(asking(payload).body) < 5 * MAX_BODY


def test_large_payload_is_shown_up_to_the_limit() -> None:
    drafts = [f"Draft {number}. " + "word " * 780 for number in range(6)]
    body = asking(drafts).body
    assert all(f"- Draft {number}. word" in body for number in range(6))

    names = ("order", "customer", "reason", "city", "note")
    rows = [{name: f"{name} {number} " + "x" * 60 for name in names} for number in range(99)]
    body = asking(rows).body
    assert "| order 0 " in body
    assert "| order 40 " in body
    assert "There is more than is shown here." in body

    deep = {f"part {number}": [[f"{number}" * 900] * 4] for number in range(9)}
    blocks = asking(deep).body.split("\n\n")
    fenced = [block for block in blocks if block.startswith("```")]
    assert len(fenced) > 4
    assert all(block.endswith("\n```") for block in fenced)


def test_invisible_characters_are_escaped() -> None:
    assert printable("a\x00b\x1b\u202e\ud800\u2028") == "a␀b␛(U+202E)(U+D800)(U+2028)"
    assert printable("👩\u200d🚀 é\n", keep="\n") == "👩\u200d🚀 é\n"


def test_keys_are_short_and_unique() -> None:
    long = PendingRequest("w", "r", Suspension(("Ünlich " * 30,)))
    assert len(long.key) <= 60
    items = [PendingRequest("w", "r", Suspension(("review",), for_each_index=n)) for n in range(3)]
    assert len({pending_request.key for pending_request in items}) == 3


# -- responses by code ----------------------------------------------------------------------------


def test_responses_by_the_name_of_the_step() -> None:
    options = AskOptions(
        responses={"approve": {"ok": 1}, "inner.approve": lambda asked: asked.run_id}
    )
    assert options.by_code(asking(None)) == {"ok": 1}
    inner = PendingRequest("w", "run-2", Suspension(("inner", "approve")))
    assert options.by_code(inner) == "run-2"
    assert options.by_code(PendingRequest("w", "r", Suspension(("other",)))) is ASK


def test_responses_for_items() -> None:
    options = AskOptions(responses={"review[1]": "second", "review": "others"})
    items = [PendingRequest("w", "r", Suspension(("review",), for_each_index=n)) for n in range(3)]
    assert [options.by_code(item) for item in items] == ["others", "second", "others"]


def test_a_callable_for_all_steps() -> None:
    options = AskOptions(responses=lambda asked: ASK if asked.suspension.payload else "no")
    assert options.by_code(asking("x")) is ASK
    assert options.by_code(asking(None)) == "no"
    assert AskOptions().by_code(asking(None)) is ASK


@pytest.mark.parametrize(
    "options",
    [
        {"response_timeout": 0},
        {"on_response_timeout": "explode"},
        {"on_response_timeout": "respond", "response_timeout": 5},
        {"on_response_timeout": "respond", "default_response": 1},
        {"default_response": 1},
    ],
)
def test_invalid_options_are_rejected(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        AskOptions(**options)


# -- responding -----------------------------------------------------------------------------------


def parallel(
    client: MastraClient, key: str, seconds: float
) -> tuple[WorkflowRun, list[PendingRequest]]:
    run = client.get_workflow("slowReview").get_run(key)
    run.start(input_data={"seconds": seconds})
    record = run.wait(timeout=30)
    return record, list(pending_requests(record))


def test_response_waits_for_a_running_branch(client: MastraClient, key: str) -> None:
    _, [first, second] = parallel(client, key, 1.0)
    run = client.get_workflow("slowReview").get_run(key)
    assert run.respond(first, {"approved": True}).is_active
    run.respond(second, {"approved": False})
    result = run.wait(timeout=30).raise_for_status().result
    assert result == {"first": {"approved": True}, "second": {"approved": False}}


def test_responder_is_stored_with_the_run(
    client: MastraClient, server: SampleServer, key: str
) -> None:
    run = client.get_workflow("twoRequests").get_run(key)
    run.start(input_data={"campaign": "x"}, request_context={"tenant": "acme"})
    for response, who in (({"budget": 5}, "ada"), ({"deadline": "2026-01-31"}, "bo")):
        [pending_request] = pending_requests(run.wait(timeout=30))
        run.respond(pending_request, response, responded_by=who)
    assert run.wait(timeout=30).is_success
    rows = requests.get(f"{server.url}/api/workflows/twoRequests/runs", timeout=30).json()["runs"]
    [kept] = [row["snapshot"] for row in rows if row["runId"] == key]
    kept = json.loads(kept) if isinstance(kept, str) else kept
    assert (kept.get("requestContext") or kept.get("runtimeContext")) == {
        "tenant": "acme",
        "respondedBy.ask-budget": "ada",
        "respondedBy.ask-deadline": "bo",
    }


def test_repeated_response_is_idempotent(client: MastraClient, key: str) -> None:
    run = suspended_refund(client, key)
    [pending_request] = pending_requests(run.read())
    run.respond(pending_request, {"approved": True})
    assert run.respond(pending_request, {"approved": True}, is_retry=True).is_success
    assert run.wait(timeout=30).result["refunded"] == REFUND["amount"]


def test_request_is_pending_until_a_response(client: MastraClient, key: str) -> None:
    record, [first, second] = parallel(client, key, 1.0)
    assert first.is_open(record)
    run = client.get_workflow("slowReview").get_run(key)
    at_work = run.respond(first, {"approved": True})
    assert at_work.is_active
    assert second.is_open(at_work)  # though the record names nothing that waits
    rests = run.wait(timeout=30)
    assert not first.is_open(rests)
    assert second.is_open(rests)
    run.respond(second, {"approved": True})
    assert not second.is_open(run.wait(timeout=30))
