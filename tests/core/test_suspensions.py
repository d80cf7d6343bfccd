"""Test all kinds of suspensions as values, and `resume` and `resume_async`, on real servers."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from mastra_workflows import MastraClient, Run, WorkflowRun
from mastra_workflows.errors import (
    InvalidResumeDataError,
    MastraError,
    NotSuspendedError,
    UnsupportedError,
)
from testkit.sample_server import SampleServer
from tests.core.samples import REFUND, names, suspended_refund
from tests.support.fault_proxy import FaultProxy

PHOTOS = {"photos": ["a.jpg", "b.jpg", "c.jpg"]}


def suspended(client: MastraClient, workflow: str, key: str, data: object) -> Run:
    run = client.get_workflow(workflow).get_run(key)
    assert run.start_async(input_data=data).is_suspended
    return run


@pytest.mark.smoke
@pytest.mark.version_specific
def test_resume_of_an_approval(client: MastraClient, key: str) -> None:
    run = suspended_refund(client, key)
    [suspension] = run.read().suspensions
    assert suspension.step == ("approve",)
    assert suspension.payload == REFUND
    assert suspension.for_each_index is None
    assert suspension.suspended_at is not None
    assert suspension.resume_schema is not None
    assert suspension.resume_schema["required"] == ["approved"]

    record = run.resume(step="approve", resume_data={"approved": True, "note": "Grüße"})
    assert not record.is_suspended
    assert run.wait(timeout=30).result == {"order": "A-17", "refunded": 2500, "note": "Grüße"}


@pytest.mark.smoke
@pytest.mark.version_specific
@pytest.mark.parametrize("step", ["inner.approve", ["inner", "approve"], None])
def test_resume_in_a_nested_workflow(client: MastraClient, key: str, step: str | None) -> None:
    run = suspended(client, "nestedApproval", key, {"document": "plan"})
    [suspension] = run.read().suspensions
    assert suspension.step == ("inner", "approve")
    assert suspension.payload == {"document": "plan"}
    assert suspension.resume_schema is not None
    record = run.resume_async(step=step, resume_data={"approved": True})
    assert record.result == {"document": "plan", "published": True}


def test_sequential_foreach_items(client: MastraClient, key: str) -> None:
    run = suspended(client, "photoReview", key, PHOTOS)
    for index, photo in enumerate(PHOTOS["photos"]):
        [suspension] = run.read().suspensions
        assert suspension.name == f"review[{index}]"
        assert suspension.payload == {"photo": photo}
        assert suspension.resume_schema is not None
        run.resume(step="review", for_each_index=index, resume_data={"approved": index != 1})
        run.wait(timeout=30)
    assert [item["approved"] for item in run.read().result] == [True, False, True]


@pytest.mark.smoke
@pytest.mark.version_specific
def test_concurrent_foreach_items_in_any_order(
    client: MastraClient, server: SampleServer, key: str
) -> None:
    run = suspended(client, "photoReviewAtOnce", key, PHOTOS)
    assert names(run.read()) == ["review[0]", "review[1]", "review[2]"]
    if server.generation == "0":
        with pytest.raises(
            UnsupportedError, match=r"all suspended items with the same data.*Nothing was sent"
        ):
            run.resume(for_each_index=2, resume_data={"approved": True})
        record = run.resume_async(resume_data={"approved": True})
        assert [item["approved"] for item in record.result] == [True, True, True]
        return
    assert run.read().suspensions[2].payload == {"photo": "c.jpg"}
    with pytest.raises(NotSuspendedError, match="Select one with for_each_index"):
        run.resume(resume_data={"approved": True})
    run.resume_async(for_each_index=2, resume_data={"approved": False})
    assert names(run.read()) == ["review[0]", "review[1]"]
    run.resume_async(for_each_index=0, resume_data={"approved": True})
    record = run.resume_async(resume_data={"approved": True})
    assert [item["approved"] for item in record.result] == [True, True, False]


def test_parallel_suspensions(client: MastraClient, key: str) -> None:
    run = suspended(client, "parallelReview", key, {"document": "plan"})
    assert names(run.read()) == ["legal", "finance"]
    with pytest.raises(NotSuspendedError, match=r"'legal', 'finance'. Select one with step"):
        run.resume(resume_data={"approved": True})
    assert names(run.resume(step="finance", resume_data={"approved": True})) in (["legal"], [])
    assert names(run.wait(timeout=30)) == ["legal"]
    assert names(run.resume(step="finance", resume_data={"approved": True})) == ["legal"]
    with pytest.raises(NotSuspendedError, match=r"'finance' .* is not suspended. .*: 'legal'"):
        run.resume(step="finance", resume_data={"approved": False})
    assert run.resume_async(resume_data={"approved": False}).result == {"approved": False}


def test_successive_suspensions(client: MastraClient, key: str) -> None:
    run = suspended(client, "twoRequests", key, {"campaign": "spring"})
    record = run.resume_async(step="ask-budget", resume_data={"budget": 5000})
    [second] = record.suspensions
    assert second.name == "ask-deadline"
    assert second.payload == {"campaign": "spring", "budget": 5000}
    with pytest.raises(NotSuspendedError, match="Suspended steps: 'ask-deadline'"):
        run.resume(step="ask-budget", resume_data={"budget": 1})
    record = run.resume_async(step="ask-deadline", resume_data={"deadline": "2026-01-31"})
    assert record.result == {"campaign": "spring", "budget": 5000, "deadline": "2026-01-31"}


def test_invalid_resume_data(proxied: MastraClient, proxy: FaultProxy, key: str) -> None:
    run = suspended_refund(proxied, key)
    proxy.clear()
    for verb in (run.resume, run.resume_async, run.resume_stream):
        with pytest.raises(InvalidResumeDataError, match="the step is still suspended") as caught:
            verb(resume_data={"note": "s3cret"})
        assert caught.value.validation_errors == ("$.approved: required",)
        assert "s3cret" not in str(caught.value)
    assert proxy.count("POST", "/resume") == 0
    assert run.read().is_suspended


@pytest.mark.version_specific
def test_resume_data_refused_by_the_server_raises(server: SampleServer, key: str) -> None:
    if server.generation == "0":
        pytest.skip("0.x does not validate resume data")
    with MastraClient(server.url, check_data=False) as client:
        run = suspended_refund(client, key)
        for verb in (run.resume, run.resume_async):
            with pytest.raises(InvalidResumeDataError, match="approved: Invalid input"):
                verb(resume_data={"approved": "perhaps"})
        assert run.read().is_suspended
        assert run.resume_async(resume_data={"approved": True}).is_success


def test_resume_of_a_finished_run(client: MastraClient, key: str) -> None:
    run = suspended_refund(client, key)
    run.resume_async(resume_data={"approved": True})
    assert run.resume(resume_data={"approved": True}).is_success  # resumed once, by this data
    for verb in (run.resume, run.resume_async, run.resume_stream):
        with pytest.raises(NotSuspendedError) as caught:
            verb(resume_data={"approved": verb != run.resume})
        assert caught.value.run.is_success


@pytest.mark.parametrize("verb", ["resume", "resume_async"])
def test_only_one_of_several_concurrent_resumes_succeeds(
    client: MastraClient, key: str, verb: str
) -> None:
    run = suspended_refund(client, key)
    barrier = threading.Barrier(5)

    def resume(number: int) -> WorkflowRun | MastraError:
        barrier.wait()
        try:
            record: WorkflowRun = getattr(run, verb)(
                resume_data={"approved": True, "note": str(number)}
            )
        except NotSuspendedError as error:
            return error
        return record

    with ThreadPoolExecutor(5) as pool:
        outcomes = list(pool.map(resume, range(5)))
    winners = [number for number in range(5) if isinstance(outcomes[number], WorkflowRun)]
    assert [run.wait(timeout=30).result["note"]] == [str(number) for number in winners]
    for error in outcomes:
        if isinstance(error, NotSuspendedError):
            assert not error.run.is_suspended


def test_a_suspension_outlives_the_server(key: str) -> None:
    with SampleServer("1") as server, MastraClient(server.url) as client:
        run = suspended_refund(client, key)
        server.kill()
        server.start()
        assert names(run.read()) == ["approve"]
        assert run.resume_async(resume_data={"approved": True}).is_success


@pytest.mark.version_specific
def test_for_each_index_support_is_detected(server: SampleServer, client: MastraClient) -> None:
    assert client.supports_for_each_index() == (server.generation == "1")
