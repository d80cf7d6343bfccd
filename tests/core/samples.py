"""Provide input for the sample workflows, and helpers for their runs."""

from __future__ import annotations

from typing import Any

import requests

from mastra_workflows import Event, MastraClient, Run, WorkflowRun
from testkit.sample_server import SampleServer

REFUND = {"order": "A-17", "amount": 2500, "reason": "broken"}
REPORT = {"city": "Köln", "limit": 2}
ODD_WORKFLOW = 'odd key/50% + "quotes" é'


def charge(key: str, seconds: float = 0) -> dict[str, object]:
    """Input of `countedCharge`, whose executions are counted under the key."""
    return {"key": key, "amount": 5, "seconds": seconds}


def suspended_refund(client: MastraClient, key: str) -> Run:
    """A run that waits for an approval."""
    run = client.get_workflow("refundApproval").get_run(key)
    assert run.start_async(input_data=REFUND).is_suspended
    return run


def start_without_stream(server: SampleServer, run: Run, data: dict[str, Any]) -> None:
    """Start a run as another program may: 1.x sends no events of it to anybody."""
    run.workflow.create_run(run.run_id)
    requests.post(
        f"{server.url}/api/workflows/{run.workflow_id}/start",
        params={"runId": run.run_id},
        json={"inputData": data},
        timeout=30,
    ).raise_for_status()


def names(run: WorkflowRun) -> list[str]:
    """What a run waits for."""
    return [suspension.name for suspension in run.suspensions]


def marks(events: list[Event]) -> list[str]:
    """Events as short texts: ``start fetch-orders``, ``result fetch-orders``, ``finish``."""
    texts = []
    for event in events:
        step = (event.current_step or {}).get("id", "")
        kind = event.type.removeprefix("workflow-").removeprefix("step-")
        texts.append(f"{kind} {step}".strip())
    return texts
