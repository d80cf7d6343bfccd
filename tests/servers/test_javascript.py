"""Test that our client and the official JavaScript client get equal results for the same work."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from typing import Any

import pytest

from mastra_workflows import MastraClient
from testkit.sample_server import find_node
from tests.core.samples import REFUND, REPORT
from tests.servers.conftest import unsupported
from tests.servers.rig import BUILDS, Endpoint

PROGRAM = BUILDS / "newest" / "client.mjs"
YES = {"approved": True}
DOCUMENT = {"document": "plan"}
PHOTOS = {"photos": ["a"]}
Resume = Mapping[str, Any]

WORK: dict[str, tuple[str, Mapping[str, object], list[Resume]]] = {
    "a run": ("orderReport", REPORT, []),
    "a failed run": ("failingImport", {"file": "orders.csv"}, []),
    "a plain suspension": ("refundApproval", REFUND, [{"step": "approve", "resumeData": YES}]),
    "a nested suspension": (
        "nestedApproval",
        DOCUMENT,
        [{"step": ["inner", "approve"], "resumeData": YES}],
    ),
    "parallel suspensions": (
        "parallelReview",
        DOCUMENT,
        [{"step": "legal", "resumeData": YES}, {"step": "finance", "resumeData": YES}],
    ),
    "a foreach": ("photoReview", PHOTOS, [{"step": "review", "resumeData": YES}]),
    "a loop": (
        "reviseLoop",
        {"topic": "rain"},
        [
            {"step": "review", "resumeData": {"verdict": verdict}}
            for verdict in ("revise", "approve")
        ],
    ),
}


def javascript(endpoint: Endpoint, job: Mapping[str, object]) -> list[dict[str, Any]]:
    """The responses that the JavaScript client gets, call by call."""
    asked = {**job, "url": endpoint.url, "options": endpoint.javascript}
    done = subprocess.run(
        [find_node(), PROGRAM],
        input=json.dumps(asked),
        env={**os.environ, **endpoint.environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=40,
    )
    assert done.returncode == 0, done.stderr
    responses: list[dict[str, Any]] = json.loads(done.stdout)["responses"]
    return responses


@pytest.mark.parametrize("engine", ["default", "evented"])
@pytest.mark.parametrize("work", WORK)
@pytest.mark.feature("as the JavaScript client: {work}, {engine} engine")
def test_same_result_as_the_javascript_client(
    endpoint: Endpoint, client: MastraClient, key: str, work: str, engine: str
) -> None:
    if endpoint.javascript is None:
        unsupported("javascript")
    workflow, data, resumes = WORK[work]
    if engine == "evented":
        workflow = f"evented{workflow[0].upper()}{workflow[1:]}"
    job = {"workflow": workflow, "runId": f"{key}-js", "inputData": data, "resumes": resumes}
    theirs = javascript(endpoint, job)
    run = client.get_workflow(workflow).get_run(key)
    ours = [run.start_async(input_data=data)]
    for resume in resumes:
        ours.append(run.resume_async(step=resume["step"], resume_data=resume["resumeData"]))
    assert [record.status for record in ours] == [response["status"] for response in theirs]
    for record, response in zip(ours, theirs, strict=True):
        assert record.result == response.get("result")
        waiting = {name for name, step in response["steps"].items() if _waits(step)}
        assert {suspension.step[0] for suspension in record.suspensions} == (
            waiting if response["status"] == "suspended" else set()
        )


def _waits(step: object) -> bool:
    return isinstance(step, dict) and step.get("status") == "suspended"
