"""Test that Prefect evaluates no text of a Mastra server, and that none forges a log line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from markdown_it import MarkdownIt
from prefect import State, flow
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import VariableCreate
from prefect.exceptions import ObjectNotFound

from mastra_workflows.errors import RunFailedError, RunSuspendedError
from prefect_mastra import (
    MastraServer,
    _started_runs,
    cancel_mastra_runs,
    run_workflow,
    start_workflow,
    wait_for_workflow_run,
)
from testkit.sample_server import SampleServer
from tests.prefect.person import Person

LogsOf = Callable[[State[Any]], str]
Packaged = Callable[..., Callable[..., Any]]

REFUND = {"order": "A-1", "amount": 100, "reason": "broken"}
SECRET = "the value of the variable"
RENDERED = str(7 * 19_100_191)
"""What `{{ 7 * 19100191 }}` renders to; no time, port or id holds it by chance."""

UNSEEN = {"\x1b", "\x00", "\u202e", "\x07", "\ud83d"}


@pytest.fixture
def odd(odd_server: SampleServer) -> MastraServer:
    return MastraServer(base_url=odd_server.url)


@pytest.fixture(autouse=True)
def variable(api: SyncPrefectClient) -> Iterator[None]:
    """A variable of the workspace that a form or a template may try to read."""
    try:
        api.read_variable_by_name("prod_api_key")
        api.delete_variable_by_name("prod_api_key")
    except ObjectNotFound:
        pass
    api.create_variable(VariableCreate(name="prod_api_key", value=SECRET))
    yield
    api.delete_variable_by_name("prod_api_key")


def check_text(text: str) -> None:
    """Check that a text did nothing: it was not rendered, and all of it can be seen."""
    assert SECRET not in text
    assert RENDERED not in text
    assert not UNSEEN & set(text)


def check_log(text: str) -> None:
    """Check that a log, or a message, holds no line that somebody has forged."""
    check_text(text)
    assert "\n[2026-01-01]" not in text
    assert " ::group::" not in text


def check_markdown(text: str) -> None:
    """Check that Markdown shows nothing but text: no HTML, no image, no link."""
    check_text(text)
    kinds = {
        token.type
        for block in MarkdownIt("commonmark").enable("table").parse(text)
        for token in (block, *(block.children or []))
    }
    assert not kinds & {"html_inline", "html_block", "image", "link_open"}, text


def test_request_with_hostile_text(
    odd: MastraServer, person: Person, logs_of: LogsOf, packaged: Packaged
) -> None:
    """Its form comes back as the page sends it, with every default."""
    ask = packaged(flow_run_name=person.name)
    running = person.watch(lambda: ask(odd, "hostile", {}, on_suspend="ask", return_state=True))
    check_markdown(person.read())
    assert "click" in person.description
    check_text(person.schema["title"])
    fields = person.schema["properties"]
    assert not any(name.startswith("_") for name in fields)
    for field in fields.values():
        check_text(field["title"])
        check_text(field.get("description", ""))
    entered = {name: field["default"] for name, field in fields.items() if "default" in field}
    assert len(entered) == 10
    assert person.enter(**entered) == ""
    state = running.result()
    outcome = state.result()
    (given,) = outcome["responses"]
    sent = json.dumps([outcome["result"], given["resume_data"]])
    assert SECRET not in sent
    assert RENDERED not in sent
    assert given["resume_data"]["__prefect_kind"] == "workspace_variable"
    check_log(logs_of(state))


@pytest.mark.parametrize("how", ["return", "throw", "suspend"])
def test_logs_states_and_names(
    odd: MastraServer, api: SyncPrefectClient, logs_of: LogsOf, how: str
) -> None:
    """Also what Prefect makes events of, and the artifacts that the hook reads."""

    @flow(on_crashed=[cancel_mastra_runs])
    def around() -> None:
        run = start_workflow(odd, "hostile", {"how": how})
        wait_for_workflow_run(odd, run)

    state = around(return_state=True)
    assert state.is_completed() == (how == "return")
    if how != "return":
        with pytest.raises(RunFailedError if how == "throw" else RunSuspendedError) as caught:
            state.result()
        check_log(str(caught.value))
    flow_run_id = state.state_details.flow_run_id
    assert flow_run_id is not None
    flow_run = api.read_flow_run(flow_run_id)
    assert flow_run.state is not None
    check_log(str(flow_run.state.message))
    check_log(flow_run.name)
    check_log(logs_of(state))
    (note,) = _started_runs.recorded_runs(flow_run_id)
    check_log(json.dumps(note))


def test_a_result_that_is_the_next_input(odd: MastraServer, api: SyncPrefectClient) -> None:
    """Prefect evaluates the parameters of deployments; those of subflows it only stores."""

    @flow
    def chained() -> Any:
        first = run_workflow(odd, "oddEnd", {"kind": "reserved", "how": "return"})
        directive = {"__prefect_kind": "workspace_variable", "variable_name": "prod_api_key"}
        given = {"kind": "half-emoji", "how": "return", "seen": [first["result"], directive]}
        second = run_workflow(odd, "oddEnd", given, return_state=True)
        return second.state_details.flow_run_id, second.result()

    called: Any = chained
    flow_run_id, outcome = called()
    assert SECRET not in str(outcome)
    assert SECRET not in str(api.read_flow_run(flow_run_id).parameters)


def test_hostile_text_is_shown_and_does_nothing(
    mastra_1: MastraServer, person: Person, packaged: Packaged
) -> None:
    ask = packaged(flow_run_name=person.name)
    running = person.watch(
        lambda: ask(mastra_1, "hostileRequest", {"kilobytes": 1024}, on_suspend="ask")
    )
    assert "<script>" not in person.read()
    assert len(person.description) < 50_000
    person.enter(response="{{ 7 * 7 }} <b>")
    assert running.result()["result"] == {"response": "{{ 7 * 7 }} <b>"}


def test_defaults_of_a_schema_are_not_evaluated_by_prefect(
    odd: MastraServer, person: Person, packaged: Packaged
) -> None:
    """They come back from the form as they are, and Prefect puts in its variables."""
    ask = packaged(flow_run_name=person.name)
    running = person.watch(lambda: ask(odd, "hydrated", {}, on_suspend="ask"))
    person.read()
    fields = person.schema["properties"]
    assert "__prefect_kind" not in str(person.schema)
    defaults = {name: field["default"] for name, field in fields.items() if "default" in field}
    assert person.enter(**defaults, approved=True) == ""
    outcome = running.result()
    (given,) = outcome["responses"]
    # Not in the whole outcome: its times and its run id may hold any digits.
    sent = str([outcome["result"], given["resume_data"]])
    assert SECRET not in sent
    assert RENDERED not in sent


def test_responses_are_not_logged(
    mastra_1: MastraServer,
    person: Person,
    logs_of: LogsOf,
    caplog: pytest.LogCaptureFixture,
    packaged: Packaged,
) -> None:
    ask = packaged(flow_run_name=person.name)
    running = person.watch(
        lambda: ask(mastra_1, "refundApproval", REFUND, on_suspend="ask", return_state=True)
    )
    person.read()
    assert person.enter(approved=True, note="c0nfidential") == ""
    state = running.result()
    assert state.result()["result"]["note"] == "c0nfidential"
    assert "was resumed (by: person)" in logs_of(state)
    assert "c0nfidential" not in logs_of(state)
    assert "c0nfidential" not in caplog.text
