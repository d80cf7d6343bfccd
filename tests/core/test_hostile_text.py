"""Test that logs and errors contain no unsafe text of a hostile or careless server."""

from __future__ import annotations

import json
import re
import unicodedata
from datetime import UTC, datetime
from typing import Any

import pytest

from mastra_workflows import _api as api
from mastra_workflows._api import Response
from mastra_workflows._models import Event, WorkflowRun
from mastra_workflows._procedures.starting import error_text, reasons
from mastra_workflows._progress import StepProgress, summary
from mastra_workflows._stream import Decoder
from mastra_workflows.errors import ApiError, MastraError, NotMastraError
from mastra_workflows.hitl._pending_requests import pending_requests

HOSTILE = (
    "bad\n[2026-01-01] INFO - all is well \x1b[2J\u202e::endgroup::\n::group::x\r\x9b "
    + "x" * 99_999
)


def assert_harmless(line: str, longest: int = 4_000) -> None:
    assert len(line) <= longest
    hidden = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert not [mark for mark in line if unicodedata.category(mark) in hidden]
    assert not re.search(r"::(end)?group::", line)


def response_of(data: Any, status: int = 200, **headers: str) -> Response:
    return Response(
        status, {"content-type": "application/json", **headers}, json.dumps(data).encode()
    )


def hostile_run(status: str = "failed") -> WorkflowRun:
    record = {
        "status": status,
        "error": {"name": HOSTILE, "message": HOSTILE, "stack": HOSTILE},
        "steps": {
            f"{HOSTILE[:1_900]} {number}": {  # longer names are refused
                "status": ["failed", "suspended", HOSTILE][number % 3],
                "startedAt": 1,
                "error": HOSTILE,
                "suspendPayload": {"a": HOSTILE},
            }
            for number in range(100)
        },
    }
    return api.parse_run("w", "r", response_of(record))


@pytest.mark.parametrize("status", ["failed", "suspended", "running", HOSTILE])
def test_run_is_one_line(status: str) -> None:
    run = hostile_run(status)
    assert_harmless(str(run), 10_000)
    assert_harmless(summary(run), 30_000)
    for pending_request in pending_requests(run):
        assert_harmless(str(pending_request))
        assert_harmless(pending_request.subject)
    lines: list[str] = []
    StepProgress(lines.append).on_record(run)
    assert len(lines) >= 100
    for line in lines:
        assert_harmless(line)


def test_the_record_keeps_the_whole_text() -> None:
    run = hostile_run()
    assert run.error is not None
    assert run.error.message == HOSTILE
    assert run.error.stack == HOSTILE
    assert WorkflowRun.from_dict(json.loads(json.dumps(run.to_dict()))) == run


@pytest.mark.parametrize(
    "response",
    [
        response_of({"error": HOSTILE}, 500),
        response_of({"message": {"a": HOSTILE}}, 404),
        response_of({"error": "no", "issues": [{"field": HOSTILE, "message": HOSTILE}] * 100}, 400),
        response_of({}, 302, location=HOSTILE),
        Response(500, {}, HOSTILE.encode()),
        Response(200, {"content-type": HOSTILE}, b"[" * 99_999),
        Response(200, {"content-type": HOSTILE}, HOSTILE.encode()),
        response_of({"status": 5}),
    ],
)
def test_errors_of_refused_and_invalid_responses(response: Response) -> None:
    with pytest.raises(MastraError) as caught:
        api.parse_run("w", "r", response)
    assert_harmless(str(caught.value))
    if isinstance(caught.value, ApiError):
        assert_harmless(caught.value.server_message, 300)


@pytest.mark.parametrize("record", [HOSTILE, json.dumps([HOSTILE])])
def test_records_of_a_stream(record: str) -> None:
    with pytest.raises(NotMastraError) as caught:
        list(Decoder(max_record_bytes=10**6).feed(record.encode() + b"\x1e"))
    assert_harmless(str(caught.value))


def test_events() -> None:
    data = {"id": HOSTILE, "status": HOSTILE, "startedAt": 5, "error": HOSTILE}
    lines: list[str] = []
    event = Event("workflow-step-result", "r", data, data, None, datetime.now(UTC))
    StepProgress(lines.append).on_event(event)
    assert len(lines) == 2
    for line in lines:
        assert_harmless(line)


def test_the_reasons_of_a_refusal() -> None:
    said = "Invalid input data: \n" + "\n".join(f"- {HOSTILE}" for _ in range(50))
    event = Event("workflow-finish", "r", workflow_state={"error": {"message": said}})
    lines = reasons(error_text(event))
    assert len(lines) == 20
    for line in lines:
        assert_harmless(line)


def test_client_error_is_one_line() -> None:
    error = MastraError(f"Something failed: {HOSTILE}")
    assert_harmless(str(error))
    assert str(error).startswith("Something failed: bad [2026-01-01] INFO")
    assert error.args[0].endswith("x")


def test_hostile_data_is_made_storable() -> None:
    raw = (
        '{"status": "failed", "result": {"a\\u0000": ["cut \\ud83d"]}, '
        '"error": {"message": "\\u0000"}}'
    )
    run = api.parse_run("w", "r", Response(200, {}, raw.encode()))
    assert run.result == {"a\ufffd": ["cut \ufffd"]}
    assert run.error is not None
    assert run.error.message == "\ufffd"
    (event,) = Decoder(max_record_bytes=999).feed(b'{"type":"x","payload":{"a":"\\ud83d"}}\x1e')
    assert event.payload == {"a": "\ufffd"}
    nested = json.dumps({"snapshot": raw})
    assert api.parse_run("w", "r", Response(200, {}, nested.encode())).result == run.result
