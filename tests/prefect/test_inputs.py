"""Test input as models, dataclasses and dates, and the references to a run."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import decimal
import enum
import uuid
from typing import Any

import pytest
from prefect import flow, task
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic.alias_generators import to_camel

from mastra_workflows.errors import ConfigurationError, InvalidDataError
from prefect_mastra import (
    MastraServer,
    MastraWorkflow,
    MastraWorkflowRun,
    ask_and_resume,
    await_for_workflow_run,
    cancel_workflow_run,
    resume_workflow,
    run_workflow,
    start_workflow,
    wait_for_workflow_run,
)
from prefect_mastra._json import as_json
from testkit.sample_server import SampleServer

Outcome = dict[str, Any]

REFUND = {"order": "A-1", "amount": 100, "reason": "broken"}


class Charge(BaseModel):
    key: str
    amount: int = 1


@dataclasses.dataclass
class Approval:
    approved: bool
    note: str = "fine"


class Size(enum.Enum):
    SMALL = "small"


class Order(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    order_id: uuid.UUID
    placed_at: datetime.datetime
    lines: list[Approval] = Field(default_factory=list)


def test_models_dataclasses_and_dates_become_json() -> None:
    day = datetime.date(2026, 3, 1)
    moment = datetime.datetime(2026, 3, 1, 9, 30, tzinfo=datetime.UTC)
    order = Order(order_id=uuid.UUID(int=7), placed_at=moment, lines=[Approval(approved=True)])
    assert as_json({"order": order, "days": (day,), "size": Size.SMALL, "at": day}) == {
        "order": {
            "orderId": "00000000-0000-0000-0000-000000000007",
            "placedAt": "2026-03-01T09:30:00Z",
            "lines": [{"approved": True, "note": "fine"}],
        },
        "days": ["2026-03-01"],
        "size": "small",
        "at": "2026-03-01",
    }
    assert as_json(decimal.Decimal("1.50")) == "1.50"


@pytest.mark.parametrize("data", [SecretStr("hidden"), {"a", "b"}, b"bytes", float("nan")])
def test_data_that_is_not_json_starts_nothing(mastra_1: MastraServer, data: Any) -> None:
    with pytest.raises(InvalidDataError, match="not valid JSON"):
        start_workflow(mastra_1, "orderReport", {"city": data})


def test_circular_data_starts_nothing(mastra_1: MastraServer) -> None:
    loop: dict[str, Any] = {}
    loop["again"] = loop
    with pytest.raises(InvalidDataError, match="not valid JSON"):
        start_workflow(mastra_1, "orderReport", loop)


def test_a_model_is_the_same_work_in_every_attempt(
    mastra: MastraServer, server: SampleServer, key: str
) -> None:
    attempts: list[list[str]] = []

    @flow(retries=1)
    def charges() -> None:
        outcome = run_workflow(mastra, "countedCharge", Charge(key=key))
        block = MastraWorkflow(server=mastra, workflow_id="countedCharge")
        run = block.trigger(Charge(key=key))
        run.wait_for_completion()
        attempts.append([outcome["run_id"], run.run_id])
        assert len(attempts) > 1, "The first attempt fails."

    charges()
    assert attempts[0] == attempts[1]
    assert len(set(attempts[0])) == 2
    assert server.executions(key) == 2


def test_a_response_can_be_a_dataclass(mastra: MastraServer) -> None:
    @flow
    def refund() -> list[Outcome]:
        run = start_workflow(mastra, "refundApproval", REFUND)
        wait_for_workflow_run(mastra, run, on_suspend="return")
        resumed = resume_workflow(mastra, run, Approval(approved=True))
        other = start_workflow(mastra, "refundApproval", REFUND)
        responses: Any = {"approve": Approval(approved=True)}
        return [
            wait_for_workflow_run(mastra, resumed),
            ask_and_resume(mastra, other, responses=responses),
        ]

    assert [outcome["result"]["note"] for outcome in refund()] == ["fine", "fine"]


def test_every_kind_of_run_reference(mastra_1: MastraServer) -> None:
    handle = MastraWorkflow(server=mastra_1, workflow_id="orderReport").trigger({"city": "Oslo"})
    outcome = wait_for_workflow_run(mastra_1, handle)
    with mastra_1.get_client() as client:
        record = client.get_workflow("orderReport").get_run(handle.run_id).read()
    for run in (outcome, {"run_id": handle.run_id, "workflow_id": "orderReport"}, record):
        assert wait_for_workflow_run(mastra_1, run)["run_id"] == handle.run_id
    named = cancel_workflow_run(mastra_1, handle.run_id, workflow_id="orderReport")
    assert named["run_id"] == handle.run_id

    @task
    def passes(run: MastraWorkflowRun) -> MastraWorkflowRun:
        return run

    @flow
    def submits() -> Outcome:
        waited: Any = await_for_workflow_run
        outcome: Outcome = waited.submit(mastra_1, passes.submit(handle)).result()
        return outcome

    assert submits()["run_id"] == handle.run_id


@pytest.mark.parametrize("wrong", ["a-run-id", {"run_id": "a"}, {"workflow_id": "orderReport"}, 5])
def test_invalid_run_references(mastra_1: MastraServer, wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="workflow_id"):
        wait_for_workflow_run(mastra_1, wrong)


def test_a_run_of_another_workflow(mastra_1: MastraServer) -> None:
    run = {"run_id": "a", "workflow_id": "orderReport"}
    with pytest.raises(ConfigurationError, match=r"'orderReport'.*'refundApproval'"):
        wait_for_workflow_run(mastra_1, run, workflow_id="refundApproval")


async def test_a_block_triggers_in_asyncio(mastra: MastraServer) -> None:
    run = await MastraWorkflow(server=mastra, workflow_id="orderReport").atrigger({"city": "Oslo"})
    await run.await_for_completion()
    assert (await run.afetch_result())["city"] == "Oslo"
    again = MastraWorkflowRun(mastra, "orderReport", run.run_id)
    assert (await again.afetch_result())["city"] == "Oslo"


def test_calls_with_a_model_outside_of_flows(mastra_1: MastraServer, key: str) -> None:
    run = asyncio.run(
        MastraWorkflow(server=mastra_1, workflow_id="countedCharge").atrigger(Charge(key=key))
    )
    assert run.wait_for_completion()["status"] == "success"
