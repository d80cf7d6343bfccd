"""Test the contents of a run's record: results, errors, steps, times, bail, large data, any id."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mastra_workflows import MastraClient, WorkflowRun
from mastra_workflows.errors import BodyTooLargeError
from testkit.sample_server import SampleServer
from tests.core.samples import ODD_WORKFLOW, REPORT

AWKWARD_IDS = [
    "two words", "a/b", "50%", "100%25", "a+b", 'say "hi"', "it's", "größe 日本 🎈", "a?b=c&d#e",
    "..x", "a\\b", "semi;colon", "new\nline", "x" * 200,
]  # fmt: skip


def test_the_fields_of_a_result(client: MastraClient, key: str) -> None:
    before = datetime.now(UTC) - timedelta(seconds=5)
    record = client.get_workflow("orderReport").get_run(key).start_async(input_data=REPORT)
    assert (record.workflow_id, record.run_id, record.status) == ("orderReport", key, "success")
    assert record.payload["city"] == "Köln"
    assert record.error is None
    assert record.result["total"] == 2250
    fetch = record.step(("fetch-orders",))
    assert fetch is not None
    assert fetch.payload["city"] == "Köln"
    assert len(fetch.output["orders"]) == 2
    assert fetch.started_at is not None
    assert fetch.ended_at is not None
    assert before < fetch.started_at <= fetch.ended_at
    assert record.step(("nope",)) is None


def test_run_execution_result(client: MastraClient, key: str) -> None:
    workflow = client.get_workflow("orderReport")
    record = workflow.get_run(key).start_async(input_data=REPORT)
    assert workflow.run_execution_result(key) == record
    assert workflow.get_run(key).read() == record


def test_a_failure(client: MastraClient, key: str) -> None:
    record = (
        client.get_workflow("failingImport").get_run(key).start_async(input_data={"file": "a.csv"})
    )
    assert record.status == "failed"
    assert record.error is not None
    assert str(record.error) == "Error: disk full on import-7"
    assert [(step.name, step.status) for step in record.steps] == [
        ("read-file", "success"), ("store-rows", "failed"),
    ]  # fmt: skip
    assert record.steps[1].error is not None
    assert record.result is None


@pytest.mark.parametrize(("stock", "ordered"), [(3, 0), (0, 100)])
def test_a_bail(client: MastraClient, key: str, stock: int, ordered: int) -> None:
    record = client.get_workflow("earlyExit").get_run(key).start_async(input_data={"stock": stock})
    assert record.is_success
    assert record.result["ordered"] == ordered
    assert len(record.steps) == (1 if stock else 2)


def test_a_result_of_several_megabytes(client: MastraClient, key: str) -> None:
    run = client.get_workflow("bigReport").get_run(key)
    record = run.start_async(input_data={"megabytes": 5})
    assert len(record.result["rows"]) == 5000
    assert WorkflowRun.from_dict(record.to_dict()) == record


def test_a_result_over_the_limit(server: SampleServer, client: MastraClient, key: str) -> None:
    client.get_workflow("bigReport").get_run(key).start_async(input_data={"megabytes": 2})
    with MastraClient(server.url, max_body_bytes=1_000_000) as small:
        run = small.get_workflow("bigReport").get_run(key)
        with pytest.raises(BodyTooLargeError, match="over the limit of 1000000 bytes"):
            run.wait()


def test_text_in_any_script(client: MastraClient, key: str) -> None:
    words = {"grüße": "日本語", "🎈": "\u202eright to left", "tab\t": "line\nend", "": "\u0000"}
    record = (
        client.get_workflow("translation").get_run(key).start_async(input_data={"words": words})
    )
    stored = {**words, "": "\ufffd"}  # no PostgreSQL takes NUL
    assert record.result == {"words": stored}
    assert record.payload == {"words": stored}


@pytest.mark.parametrize("name", AWKWARD_IDS, ids=range(len(AWKWARD_IDS)))
def test_ids_with_special_characters(client: MastraClient, key: str, name: str) -> None:
    workflow = client.get_workflow(ODD_WORKFLOW)
    run = workflow.get_run(f"{name} {key}")
    assert run.start(input_data={"text": name}).found is None
    assert run.wait(timeout=30).result == {"text": name}
    assert run.start(input_data={"text": name}).found is not None
    assert run.run_id in {found.run_id for found in workflow.runs()}


def test_id_with_special_characters_is_resumed_and_cancelled(
    client: MastraClient, key: str
) -> None:
    run = client.get_workflow("refundApproval").create_run(f'50% "ä"/+ {key}')
    run.start(input_data={"order": "A-17", "amount": 2500, "reason": "broken"})
    assert run.wait(timeout=30).is_suspended
    assert run.resume_async(resume_data={"approved": True}).is_success
    assert not run.cancel().requested
