"""Test invalid input: a helpful error, nothing started and nothing lost."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Callable

import pytest

from mastra_workflows import MastraClient, Workflow
from mastra_workflows.errors import (
    BodyTooLargeError,
    ConfigurationError,
    InvalidDataError,
    MastraError,
    UnknownRunError,
    UnknownWorkflowError,
)
from testkit.sample_server import SampleServer
from tests.core.samples import suspended_refund
from tests.support.fault_proxy import FaultProxy

BY_RUN: dict[str, Callable[[Workflow, str], object]] = {
    "read": lambda workflow, run: workflow.get_run(run).read(),
    "run_execution_result": lambda workflow, run: workflow.run_execution_result(run),
    "wait": lambda workflow, run: workflow.get_run(run).wait(),
    "watch": lambda workflow, run: workflow.get_run(run).watch(),
    "cancel": lambda workflow, run: workflow.get_run(run).cancel(),
    "resume": lambda workflow, run: workflow.get_run(run).resume(resume_data={}),
    "resume_async": lambda workflow, run: workflow.get_run(run).resume_async(resume_data={}),
    "resume_stream": lambda workflow, run: workflow.get_run(run).resume_stream(resume_data={}),
    "restart": lambda workflow, run: workflow.get_run(run).restart(),
    "time_travel": lambda workflow, run: workflow.get_run(run).time_travel(step="a"),
}
STARTS: dict[str, Callable[[Workflow, str], object]] = {
    "create_run": lambda workflow, run: workflow.create_run(run),
    "start_async": lambda workflow, run: workflow.get_run(run).start_async(input_data={}),
    "stream": lambda workflow, run: workflow.get_run(run).stream(input_data={}),
    "start": lambda workflow, run: workflow.get_run(run).start(input_data={}),
}
ALONE: dict[str, Callable[[Workflow, str], object]] = {
    "details": lambda workflow, _: workflow.details(),
    "runs": lambda workflow, _: list(workflow.runs()),
}


@pytest.mark.parametrize("call", [*BY_RUN, *STARTS, *ALONE])
@pytest.mark.parametrize("workflow", ["nope", 'no "wörkflow" 50%/+'])
def test_unknown_workflow_error_names_existing_workflows(
    client: MastraClient, key: str, call: str, workflow: str
) -> None:
    with pytest.raises(UnknownWorkflowError) as caught:
        {**BY_RUN, **STARTS, **ALONE}[call](client.get_workflow(workflow), key)
    text = str(caught.value)
    assert re.search(r"\. It has \d+; the closest are '", text)
    assert f"no workflow {workflow!r}" in text
    assert "odd key" in text if "%" in workflow else "odd key" not in text
    assert caught.value.status_code == 404


@pytest.mark.version_specific
@pytest.mark.parametrize("call", [*BY_RUN, *(call for call in STARTS if call != "create_run")])
def test_workflow_id_instead_of_key_names_the_key(
    client: MastraClient, server: SampleServer, key: str, call: str
) -> None:
    if server.generation == "1":
        pytest.skip("1.x accepts the workflow's id as well as its key")
    with pytest.raises(UnknownWorkflowError, match="has the key 'refundApproval'"):
        {**BY_RUN, **STARTS}[call](client.get_workflow("refund-approval"), key)


@pytest.mark.parametrize("call", BY_RUN)
def test_an_unknown_run(proxied: MastraClient, proxy: FaultProxy, key: str, call: str) -> None:
    with pytest.raises(UnknownRunError, match=f"no run '{key}' of workflow 'orderReport'"):
        BY_RUN[call](proxied.get_workflow("orderReport"), key)
    assert proxy.count("POST") == 0


@pytest.mark.parametrize("name", ["", ".", "..", "a\0b"])
@pytest.mark.parametrize("call", [*BY_RUN, *STARTS])
def test_ids_that_cannot_be_in_a_path_are_rejected(
    proxied: MastraClient, proxy: FaultProxy, key: str, call: str, name: str
) -> None:
    if (call, name) == ("create_run", ""):
        pytest.skip("create_run generates an id if it is empty")
    calls = {**BY_RUN, **STARTS}
    with pytest.raises(ConfigurationError, match="Invalid id of a workflow or run"):
        calls[call](proxied.get_workflow("orderReport"), name)
    with pytest.raises(ConfigurationError, match="Invalid id of a workflow or run"):
        calls[call](proxied.get_workflow(name), key)
    assert {seen.path for seen in proxy.seen} <= {"/api/system/packages"}


@pytest.mark.parametrize("value", [math.nan, dt.date(2026, 1, 31), {1}, b"x", "\ud800", object()])
def test_input_that_is_not_json_is_rejected(
    server: SampleServer, proxy: FaultProxy, key: str, value: object
) -> None:
    for check_data in (True, False):
        with MastraClient(proxy.url, check_data=check_data) as client:
            run = client.get_workflow("translation").get_run(key)
            for start in (run.start, run.start_async, run.stream):
                with pytest.raises(InvalidDataError, match=r"Nothing was (sent|started)"):
                    start(input_data={"words": {"a": value}})
    assert proxy.count("POST") == proxy.count("POST", "/create-run$")


def test_tuples_are_sent_as_lists(client: MastraClient, key: str) -> None:
    # JSON knows no other kind of list, and the server gets one.
    run = client.get_workflow("photoReview").get_run(key)
    assert run.start(input_data={"photos": ("a.jpg", "b.jpg")}).found is None


def test_resume_data_that_is_not_json_is_rejected(client: MastraClient, key: str) -> None:
    run = suspended_refund(client, key)
    for resume in (run.resume, run.resume_async, run.resume_stream):
        with pytest.raises(InvalidDataError, match="Nothing was sent"):
            resume(resume_data={"approved": True, "note": math.inf})
    assert run.read().is_suspended


def test_input_over_the_clients_limit(proxy: FaultProxy, key: str) -> None:
    with MastraClient(proxy.url, max_body_bytes=200_000) as client:
        run = client.get_workflow("translation").get_run(key)
        with pytest.raises(BodyTooLargeError, match="Nothing was sent"):
            run.start(input_data={"words": {"a": "x" * 300_000}})
    assert proxy.count("POST") == 0


@pytest.mark.version_specific
def test_input_over_the_servers_limit(client: MastraClient, server: SampleServer, key: str) -> None:
    run = client.get_workflow("translation").get_run(key)
    data = {"words": {"a": "x" * 5_000_000}}
    # 0.x has no limit on /stream.
    start = run.start_async if server.generation == "0" else run.start
    with pytest.raises(BodyTooLargeError, match=r"\(413\)"):
        start(input_data=data)
    with pytest.raises(UnknownRunError):
        run.read()


@pytest.mark.parametrize("path", ["", "/", "/api", "/api/"])
def test_equivalent_base_urls(server: SampleServer, path: str) -> None:
    with MastraClient(server.url + path) as client:
        assert client.list_workflows()
        assert client.base_url == server.url


@pytest.mark.parametrize("path", ["/mastra", "/v2/api"])
def test_wrong_base_url_path(server: SampleServer, path: str) -> None:
    with MastraClient(server.url + path) as client, pytest.raises(MastraError) as caught:
        client.list_workflows()
    assert "API prefix" in str(caught.value)


def test_wrong_api_prefix(server: SampleServer) -> None:
    with (
        MastraClient(server.url, api_prefix="/v2") as client,
        pytest.raises(MastraError, match="API prefix"),
    ):
        client.get_workflow("orderReport").get_run("r").read()
