"""MastraQuestionTrigger, which waits for an answer where Airflow cannot park a task (3.1, 3.2)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from airflow_provider_mastra.required_action import Asked, Reply
from airflow_provider_mastra.triggers.question import MastraQuestionTrigger
from mastra_workflows import MastraClient
from mastra_workflows.questions import questions
from scripts.sample_server import SampleServer
from tests.airflow.harness import StartRun

REFUND = {"order": "A-1", "amount": 100, "reason": "broken"}


@dataclass
class State:
    """A form as Airflow tells a triggerer of it; only a whole Airflow could do so."""

    response_received: bool = False
    responded_by_user: Any = None
    chosen_options: list[str] = field(default_factory=lambda: ["Resume"])
    params_input: dict[str, Any] = field(default_factory=lambda: {"approved": True})
    responded_at: datetime = field(default_factory=lambda: datetime.now(UTC))


@pytest.fixture
def form(monkeypatch: pytest.MonkeyPatch) -> State:
    """The task's form; the trigger looks at it and at the run without a pause."""
    state = State()
    module = "airflow_provider_mastra.triggers.question"
    monkeypatch.setattr(f"{module}.POLL_SECONDS", 0.05)
    monkeypatch.setattr(f"{module}.LOOK_SECONDS", 0.1)
    monkeypatch.setattr(
        "airflow.sdk.execution_time.hitl.get_hitl_detail_content_detail", lambda ti_id: state
    )
    return state


@pytest.fixture
def asked(client: MastraClient, start_run: StartRun) -> Asked:
    """A question that a run waits with."""
    run = client.get_workflow("refundApproval").run(start_run("refundApproval", **REFUND))
    [question] = questions(run.wait(timeout=20))
    return Asked.of(question, None)


def event_of(asked: Asked, *, wake_at: float | None = None) -> Mapping[str, Any]:
    """What wakes the task, of a trigger as it comes out of Airflow's database."""
    trigger = MastraQuestionTrigger(
        mastra_conn_id="mastra_default",
        ti_id=str(uuid4()),
        asked=asked.to_dict(),
        wake_at=wake_at,
        not_before=0,
    )
    again = MastraQuestionTrigger(**trigger.serialize()[1])
    assert again.serialize() == trigger.serialize()

    async def first() -> Any:
        async for event in again.run():
            return event.payload

    payload: Mapping[str, Any] = asyncio.run(asyncio.wait_for(first(), 20))
    assert Asked.from_dict(payload["asked"]) == asked
    return payload


def test_an_answer(connected: SampleServer, form: State, asked: Asked) -> None:
    form.response_received = True
    reply = Reply.of(event_of(asked))
    assert reply is not None
    assert (reply.option, reply.values) == ("Resume", {"approved": True})


def test_answered_elsewhere(
    connected: SampleServer, form: State, asked: Asked, client: MastraClient
) -> None:
    question = asked.question
    run = client.get_workflow(question.workflow_id).run(question.run_id)
    run.resume(resume_data={"approved": True})
    assert Reply.of(event_of(asked)) is None


def test_its_time_is_over(connected: SampleServer, form: State, asked: Asked) -> None:
    assert Reply.of(event_of(asked, wake_at=time.time() + 0.3)) is None
