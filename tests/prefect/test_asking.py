"""Test responses to a paused flow run, through the API of its page."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from prefect import State, flow, task
from prefect.client.orchestration import SyncPrefectClient
from prefect.context import FlowRunContext

from mastra_workflows import MastraClient, Run
from mastra_workflows.errors import (
    ConfigurationError,
    InvalidResumeDataError,
    UnknownRunError,
    WaitTimeoutError,
)
from mastra_workflows.hitl import ASK, PendingRequest, PendingRequestReference
from prefect_mastra import (
    MastraServer,
    aask_and_resume,
    alist_pending_requests,
    arun_workflow,
    ask_and_resume,
    astart_workflow,
    list_pending_requests,
    run_workflow,
    start_workflow,
)
from prefect_mastra._started_runs import _read_artifacts
from tests.prefect.person import Person

Outcome = dict[str, Any]
LogsOf = Callable[[State[Any]], str]

REFUND = {"order": "A-1", "amount": 100, "reason": "broken"}
APPROVED = {"approved": True}


@pytest.fixture
def refund(client: MastraClient, key: str) -> Run:
    """A run that waits for an approval, as soon as a flow starts it by this id."""
    return client.get_workflow("refundApproval").get_run(key)


@pytest.mark.smoke
@pytest.mark.version_specific
def test_a_person_approves(mastra: MastraServer, person: Person, logs_of: LogsOf) -> None:
    ask = run_workflow.with_options(flow_run_name=person.name)
    running = person.watch(
        lambda: ask(mastra, "refundApproval", REFUND, on_suspend="ask", return_state=True)
    )
    assert "A-1" in person.read()
    assert "http://studio.example/workflows/refundApproval/graph/" in person.description
    assert person.schema["required"] == ["approved"]
    assert "'approved' is a required property" in person.enter(note="fine")
    assert "is not of type 'boolean'" in person.enter(approved="maybe")
    assert person.enter(approved=True, note="fine") == ""

    state = running.result()
    outcome = state.result()
    assert outcome["result"] == {"order": "A-1", "refunded": 100, "note": "fine"}
    (given,) = outcome["responses"]
    assert given.pop("at")
    response = {"approved": True, "note": "fine"}
    assert given == {"step": "approve", "resume_data": response, "by": "person", "user": None}
    log = logs_of(state)
    assert "Step 'approve' of run" in log
    assert "Resume this flow run to respond" in log
    assert "Step 'approve' was resumed (by: person)" in log


def test_every_type_of_response(mastra: MastraServer, person: Person) -> None:
    ask = run_workflow.with_options(flow_run_name=person.name)
    running = person.watch(lambda: ask(mastra, "everyType", {"topic": "Ada"}, on_suspend="ask"))
    person.read()
    fields = person.schema["properties"]
    said = fields["agree"].pop("description")
    assert fields["agree"] == {"type": "boolean", "title": "agree"}
    # Prefect's page hides the text above a long form, and draws no table at a field.
    assert {"**topic** | Ada", "Whether to go on"} <= {*said.split("\n\n")}
    assert fields["copies"]["default"] == 2
    assert fields["copies"]["minimum"] == 1
    assert fields["draft"]["enum"] == ["first", "second", "third"]
    entered = {
        "agree": True,
        "title": "Engines",
        "summary": "One line.\nAnother.",
        "copies": 3,
        "budget": 12.5,
        "draft": "second",
        "day": "2026-03-01",
        "moment": "2026-03-01T09:30:00+01:00",
        "tags": ["one", "two"],
        "address_street": "Main Street 1",
        "address_zip": "12345",
        "contact": {"phone": "0123"},
    }
    assert "11 is greater than the maximum of 10" in person.enter(**{**entered, "copies": 11})
    assert person.enter(**{**entered, "contact": 5}) == ""
    assert (
        "last response is invalid" in person.read()
    )  # a union is a field for JSON, which only we check
    assert "contact" in person.description
    assert "contact" in person.schema["properties"]["agree"]["description"].split("\n\n")[1]
    assert person.enter(**entered) == ""
    result = running.result()["result"]
    address = result.pop("address")
    assert address.items() >= {"street": "Main Street 1", "zip": "12345"}.items()
    for key in ("address_street", "address_zip"):
        del entered[key]
    assert result.items() >= {**entered, "moment": "2026-03-01T08:30:00Z"}.items()


@pytest.mark.smoke
def test_two_requests_with_a_server_side_validation_error(
    mastra_1: MastraServer, person: Person
) -> None:
    """Neither Prefect nor the schema knows what a date is; 0.x would take any text."""
    ask = run_workflow.with_options(flow_run_name=person.name)
    running = person.watch(
        lambda: ask(mastra_1, "twoRequests", {"campaign": "spring"}, on_suspend="ask")
    )
    person.read()
    assert person.enter(budget=5) == ""
    assert "last response is invalid" not in person.read()
    assert person.enter(deadline="next year") == ""
    assert "last response is invalid" in person.read()
    assert "deadline" in person.description
    assert person.enter(deadline="2026-01-31") == ""
    outcome = running.result()
    assert outcome["result"] == {"campaign": "spring", "budget": 5, "deadline": "2026-01-31"}
    assert [given["step"] for given in outcome["responses"]] == ["ask-budget", "ask-deadline"]
    assert len(set(person.asked)) == 3


def test_loop_asks_until_it_is_approved(mastra: MastraServer, person: Person) -> None:
    ask = run_workflow.with_options(flow_run_name=person.name)
    running = person.watch(lambda: ask(mastra, "reviseLoop", {"topic": "Ada"}, on_suspend="ask"))
    for round_ in (1, 2):
        person.read()
        assert person.enter(verdict="revise", remarks=f"More {round_}.") == ""
    assert "More 1. More 2." in person.read()
    assert person.enter(verdict="approve") == ""
    assert running.result()["result"] == {
        "text": "About Ada. More 1. More 2.",
        "round": 3,
        "done": True,
    }


def test_parallel_requests_are_handled_one_by_one(mastra: MastraServer, person: Person) -> None:
    ask = run_workflow.with_options(flow_run_name=person.name)
    running = person.watch(
        lambda: ask(mastra, "parallelReview", {"document": "plan"}, on_suspend="ask")
    )
    for department in ("legal", "finance"):
        assert department in person.read()
        assert person.enter(approved=True) == ""
    outcome = running.result()
    assert outcome["result"] == {"approved": True}
    assert {given["step"] for given in outcome["responses"]} == {"legal", "finance"}


@pytest.mark.smoke
def test_code_responds_in_place_of_a_person(mastra: MastraServer) -> None:
    asked: list[PendingRequest] = []

    def deadline(pending_request: PendingRequest) -> Any:
        asked.append(pending_request)
        return {"deadline": "2026-01-31"}

    outcome = run_workflow(
        mastra,
        "twoRequests",
        {"campaign": "spring"},
        on_suspend="ask",
        responses={"ask-budget": {"budget": 7}, "ask-deadline": deadline},
    )
    assert outcome["result"]["budget"] == 7
    assert [given["by"] for given in outcome["responses"]] == ["code", "code"]
    assert asked[0].suspension.payload == {"campaign": "spring", "budget": 7}


def test_code_can_leave_a_request_to_a_person(mastra_1: MastraServer, person: Person) -> None:
    ask = run_workflow.with_options(flow_run_name=person.name)
    running = person.watch(
        lambda: ask(
            mastra_1,
            "parallelReview",
            {"document": "plan"},
            on_suspend="ask",
            responses=lambda pending_request: (
                ASK if pending_request.suspension.name == "legal" else APPROVED
            ),
        )
    )
    assert "legal" in person.read()
    person.enter(approved=False)
    by = {given["step"]: given["by"] for given in running.result()["responses"]}
    assert by == {"legal": "person", "finance": "code"}


def test_invalid_response_by_code_raises(mastra: MastraServer) -> None:
    with pytest.raises(InvalidResumeDataError, match=r"\$\.approved"):
        run_workflow(
            mastra, "refundApproval", REFUND, on_suspend="ask", responses={"approve": {"ok": 1}}
        )


def test_response_timeout(mastra: MastraServer, refund: Run, logs_of: LogsOf) -> None:
    @flow
    def impatient() -> Outcome:
        run = start_workflow(mastra, "refundApproval", REFUND, run_id=refund.run_id)
        with pytest.raises(WaitTimeoutError, match="no response within"):
            ask_and_resume(mastra, run, response_timeout=0.2)
        assert refund.read().is_suspended
        return ask_and_resume(
            mastra,
            run,
            response_timeout=timedelta(seconds=0.2),
            on_response_timeout="respond",
            default_response={"approved": False},
        )

    state = impatient(return_state=True)
    outcome = state.result()
    assert outcome["result"]["refunded"] == 0
    assert [given["by"] for given in outcome["responses"]] == ["default"]
    assert "The default response is used" in logs_of(state)


def test_response_timeout_cancels_the_run(mastra_1: MastraServer, key: str) -> None:
    with pytest.raises(WaitTimeoutError, match="on_response_timeout is 'cancel'"):
        run_workflow(
            mastra_1,
            "refundApproval",
            REFUND,
            run_id=key,
            on_suspend="ask",
            response_timeout=0.2,
            on_response_timeout="cancel",
        )
    with mastra_1.get_client() as client:
        assert client.get_workflow("refundApproval").get_run(key).read().status == "canceled"


def test_response_elsewhere_continues_the_flow(
    mastra: MastraServer, person: Person, refund: Run, logs_of: LogsOf
) -> None:
    ask = run_workflow.with_options(flow_run_name=person.name)
    running = person.watch(
        lambda: ask(
            mastra,
            "refundApproval",
            REFUND,
            run_id=refund.run_id,
            on_suspend="ask",
            return_state=True,
        )
    )
    person.read()
    refund.resume(resume_data=APPROVED)
    state = running.result()
    assert state.is_completed()
    outcome = state.result()
    assert outcome["result"]["refunded"] == 100
    assert outcome["responses"] == []
    assert "is no longer pending" in logs_of(state)


def test_only_the_selected_step_is_asked(mastra_1: MastraServer, person: Person) -> None:
    @flow(flow_run_name=person.name)
    def half() -> tuple[Outcome, Outcome]:
        run = start_workflow(mastra_1, "parallelReview", {"document": "plan"})
        one = ask_and_resume(mastra_1, run, step="finance")
        other = ask_and_resume(mastra_1, one, responses={"legal": APPROVED})
        return other, ask_and_resume(mastra_1, one)

    running = person.watch(half)
    assert "finance" in person.read()
    person.enter(approved=True)
    other, over = running.result()
    assert [given["step"] for given in other["responses"]] == ["legal"]
    assert over["result"] == {"approved": True}
    assert over["responses"] == []


def test_run_started_by_another_client_is_asked(
    mastra: MastraServer, client: MastraClient, key: str
) -> None:
    run = client.get_workflow("parallelReview").get_run(key)
    run.start_async(input_data={"document": "plan"})

    @flow
    async def look() -> list[PendingRequestReference]:
        return await alist_pending_requests(mastra, "parallelReview")

    @flow
    def respond() -> list[PendingRequestReference]:
        asked = list_pending_requests(mastra, "parallelReview")
        for pending_request in asked:
            ask_and_resume(
                mastra,
                pending_request,
                step=pending_request["step"],
                suspended_at=pending_request["suspended_at"],
                responses={pending_request["step"][0]: APPROVED},
            )
        return asked

    seen = asyncio.run(look())
    assert [(one["run_id"], one["step"]) for one in seen] == [(key, ["legal"]), (key, ["finance"])]
    assert respond() == seen
    assert run.read().result == {"approved": True}
    assert asyncio.run(look()) == []


async def test_concurrent_runs_ask(mastra: MastraServer, person: Person) -> None:
    """Each has its turn with the one page of the flow run."""

    @flow(flow_run_name=person.name)
    async def several() -> list[Outcome]:
        runs = [
            await astart_workflow(mastra, "refundApproval", REFUND | {"order": order})
            for order in "ABC"
        ]
        return await asyncio.gather(*(aask_and_resume(mastra, run) for run in runs))

    def respond() -> None:
        for _ in range(3):
            person.read()
            assert person.enter(approved=True) == ""

    outcomes, _ = await asyncio.gather(several(), asyncio.to_thread(respond))
    assert [outcome["result"]["refunded"] for outcome in outcomes] == [100] * 3


async def test_the_flow_for_asyncio_asks(mastra: MastraServer, person: Person) -> None:
    ask = arun_workflow.with_options(flow_run_name=person.name)

    def respond() -> None:
        person.read()
        person.enter(budget=5)
        person.read()
        person.enter(deadline="2026-01-31")

    outcome, _ = await asyncio.gather(
        ask(mastra, "twoRequests", {"campaign": "spring"}, on_suspend="ask"),
        asyncio.to_thread(respond),
    )
    assert outcome["result"]["deadline"] == "2026-01-31"


def test_a_parent_flow_run_shows_the_pause(
    mastra_1: MastraServer, person: Person, api: SyncPrefectClient
) -> None:
    """As an artifact, which is updated once the pause is over."""
    parents: list[UUID] = []

    @flow
    def parent() -> None:
        context = FlowRunContext.get()
        assert context is not None
        assert context.flow_run is not None
        parents.append(context.flow_run.id)
        ask = run_workflow.with_options(flow_run_name=person.name)
        ask(mastra_1, "refundApproval", REFUND, on_suspend="ask")

    def shown() -> list[str]:
        flow_run = {"flow_run_id": {"any_": [str(parents[0])]}}
        return [str(artifact.data) for artifact in _read_artifacts(api, flow_run, 0)]

    running = person.watch(parent)
    person.read()
    (waiting,) = shown()
    assert "Waiting for a response" in waiting
    assert str(person.flow_run().id) in waiting
    assert "approve" in waiting
    person.enter(approved=True)
    running.result()
    (responded,) = shown()
    assert "A person has responded" in responded


def test_task_can_ask(mastra_1: MastraServer, person: Person) -> None:
    @task
    def decide(order: str) -> Outcome:
        run = start_workflow.fn(mastra_1, "refundApproval", REFUND | {"order": order}, key=order)
        return ask_and_resume(mastra_1, run)

    @flow(flow_run_name=person.name)
    def refunds() -> list[Outcome]:
        return decide.map(["A", "B"]).result()

    running = person.watch(refunds)
    for _ in range(2):
        person.read()
        person.enter(approved=True)
    assert {outcome["result"]["order"] for outcome in running.result()} == {"A", "B"}


def test_invalid_ask_options_start_nothing(mastra_1: MastraServer, key: str) -> None:
    @flow
    def confused() -> None:
        ask: Any = {"on_suspend": "ask", "run_id": key}
        for wrong, message in (
            ({"pause": "suspend"}, "a deployment only"),
            ({"on_response_timeout": "respond"}, "needs a default_response"),
            ({"default_response": {}}, "on_response_timeout"),
        ):
            with pytest.raises(ConfigurationError, match=message):
                run_workflow(mastra_1, "refundApproval", REFUND, **ask, **wrong)

    confused()
    with mastra_1.get_client() as client, pytest.raises(UnknownRunError):
        client.get_workflow("refundApproval").get_run(key).read()
    with pytest.raises(ConfigurationError, match="in a flow"):
        ask_and_resume(mastra_1, {"workflow_id": "refundApproval", "run_id": key})
