"""Test `on_suspend="ask"`: a person responds on Airflow's page of required actions."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from airflow.sdk import DAG, BaseNotifier, Context, task

from airflow_provider_mastra.hitl._required_action import SUPPORTS_AWAITING_INPUT
from airflow_provider_mastra.operators._hitl import format_duration
from airflow_provider_mastra.operators.workflow import MastraRunWorkflowOperator
from mastra_workflows import MastraClient
from mastra_workflows.errors import ConfigurationError
from mastra_workflows.hitl import ASK, PendingRequest
from testkit.sample_server import SampleServer
from tests.airflow.harness import STUDIO, DagResult, RunDag
from tests.airflow.person import CANCEL, NOBODY_IS_ASKED, Clock, Person, ShownForm

pytestmark = pytest.mark.skipif(not SUPPORTS_AWAITING_INPUT, reason=NOBODY_IS_ASKED)

REFUND = {"order": "A-1", "amount": 100, "reason": "broken"}
People = Callable[..., Person]


def asking(**options: Any) -> DAG:
    """A DAG of one task, ``refund``, that asks."""
    with DAG("asking", schedule=None) as dag:
        MastraRunWorkflowOperator(
            task_id="refund",
            workflow_id="refundApproval",
            input_data=REFUND,
            on_suspend="ask",
            **options,
        )
    return dag


@pytest.fixture
def run_of(client: MastraClient) -> Iterator[Callable[[DagResult], Any]]:
    """The run of the task ``refund``; it is cancelled at the end."""
    runs = []

    def get(result: DagResult) -> Any:
        run = client.get_workflow("refundApproval").get_run(result.xcom("refund", "run_id"))
        runs.append(run)
        return run

    yield get
    for run in runs:
        run.cancel(confirm_timeout=0)


def run_asked(client: MastraClient, form: ShownForm) -> Any:
    """The run that a form is about."""
    workflow = client.get_workflow("refundApproval")
    [run_id] = [run.run_id for run in workflow.runs() if run.run_id in form.body]
    return workflow.get_run(run_id)


@pytest.mark.smoke
@pytest.mark.version_specific
def test_a_person_approves(connected: SampleServer, run_dag: RunDag, people: People) -> None:
    with people({"approved": True, "note": "ok"}) as ann:
        result = run_dag(asking(response_timeout=172_800))

    [form] = ann.forms
    run_id = result.xcom("refund", "run_id")
    assert form.subject == "refundApproval: approve"
    assert form.options == ["Resume", "Cancel run"]
    assert "arrived broken" not in form.body
    assert "broken" in form.body
    assert f"{STUDIO}/workflows/refundApproval/graph/{run_id}" in form.body
    assert "Without a response within 2 days, this task fails." in form.body
    assert form.params["approved"]["schema"]["type"] == "boolean"
    assert form.params["note"]["schema"]["type"] == ["string", "null"]
    assert result.xcom("refund") == {"order": "A-1", "refunded": 100, "note": "ok"}
    [response] = result.xcom("refund", "responses")
    assert (response["step"], response["by"]) == ("approve", "person")
    assert response["resume_data"] == {"approved": True, "note": "ok"}
    assert response["user"]["name"] == "ann"
    assert "ann pressed 'Resume'" in result.log
    # The run's own record says it too.
    page = "limit=50&offset=0&page=0&perPage=50"
    with urllib.request.urlopen(
        f"{connected.url}/api/workflows/refundApproval/runs?{page}"
    ) as runs:
        [row] = [one for one in json.load(runs)["runs"] if one["runId"] == run_id]
    snapshot = row["snapshot"]
    snapshot = json.loads(snapshot) if isinstance(snapshot, str) else snapshot
    kept = snapshot.get("requestContext") or snapshot.get("runtimeContext")
    assert kept["respondedBy.approve"]["user"]["name"] == "ann"


EVERYTHING = {
    "agree": True,
    "urgent": False,
    "title": "Bees",
    "summary": "One.\nTwo.",
    "copies": 3,
    "budget": 2.5,
    "discount": 0.5,
    "draft": "second",
    "day": "2026-03-01",
    "moment": "2026-03-01T10:00:00Z",
    "tags": ["a", "b"],
    "address_street": "Way 1",
    "address_zip": "12345",
    "address_country": "AT",
    "contact": {"phone": "1"},
}


def test_invalid_response_is_refused_for_every_field_type(
    connected: SampleServer, run_dag: RunDag, people: People
) -> None:
    told: list[str] = []

    class Tells(BaseNotifier):
        def notify(self, context: Context) -> None:
            told.append(context["mastra_refusal"])  # type: ignore[typeddict-item]

    class Fails(BaseNotifier):
        def notify(self, context: Context) -> None:
            raise ConnectionError("nobody is there")

    with DAG("everything", schedule=None) as dag:
        MastraRunWorkflowOperator(
            task_id="fill",
            workflow_id="everyType",
            input_data={"topic": "bees"},
            on_suspend="ask",
            notifiers=[Fails(), Tells()],
        )
    with people({**EVERYTHING, "address_zip": "12", "draft": "fourth"}, EVERYTHING) as ann:
        result = run_dag(dag)

    assert len(ann.forms) == 2
    address = {"street": "Way 1", "zip": "12345", "country": "AT"}
    flat = {key: value for key, value in EVERYTHING.items() if not key.startswith("address_")}
    assert result.xcom("fill") == {**flat, "address": address}
    refusal = result.xcom("fill", "refused_response")
    assert refusal["user"]["name"] == "ann"
    assert any("zip" in problem for problem in refusal["problems"])
    assert any("draft" in problem for problem in refusal["problems"])
    assert "The response of ann is invalid; showing the form again" in result.log
    assert "A notifier failed; the form is shown nevertheless." in result.log
    assert told[0] == ""
    assert "zip" in told[1]


@pytest.mark.version_specific
def test_the_cancel_button(
    connected: SampleServer, run_dag: RunDag, people: People, run_of: Any
) -> None:
    with people(CANCEL):
        result = run_dag(asking(retries=2, retry_delay=timedelta(0)))
    assert (result.task_state("refund"), result.tries("refund")) == ("failed", 1)
    assert "ann cancelled the run." in result.log
    if connected.generation == "1":  # 0.x leaves a suspended run as it is
        assert run_of(result).read().status == "canceled"


@pytest.mark.version_specific
@pytest.mark.parametrize(
    ("options", "state", "status", "said"),
    [
        ({}, "failed", "suspended", "No response within 1 s. Step 'approve'"),
        ({"on_response_timeout": "cancel"}, "failed", "canceled", "so the run was cancelled"),
        (
            {"on_response_timeout": "respond", "default_response": {"approved": False}},
            "success",
            "success",
            "resumed with the response of default",
        ),
    ],
)
def test_response_timeout(
    connected: SampleServer,
    run_dag: RunDag,
    run_of: Any,
    options: dict[str, Any],
    state: str,
    status: str,
    said: str,
) -> None:
    with Clock():
        result = run_dag(asking(response_timeout=1, retries=1, **options))
    assert (result.task_state("refund"), result.tries("refund")) == (state, 1)
    assert said in result.log
    if status != "canceled" or connected.generation == "1":
        assert run_of(result).read().status == status


def test_response_elsewhere(
    connected: SampleServer, run_dag: RunDag, people: People, client: MastraClient
) -> None:
    def in_studio(form: ShownForm) -> None:
        run_asked(client, form).resume(resume_data={"approved": True})

    with people(in_studio), Clock():
        result = run_dag(asking(response_poll_interval=1))
    assert result.xcom("refund") == {"order": "A-1", "refunded": 100}
    assert result.xcom("refund", "responses") is None
    assert "The request no longer needs a response" in result.log


@pytest.mark.version_specific
def test_run_cancelled_while_the_form_is_shown(
    connected: SampleServer, run_dag: RunDag, people: People, client: MastraClient
) -> None:
    if connected.generation == "0":
        pytest.skip("0.x does not end a suspended run on a cancel")

    def cancels(form: ShownForm) -> None:
        run_asked(client, form).cancel()

    with people(cancels), Clock():
        result = run_dag(asking(response_poll_interval=1, on_failed_run="fail"))
    assert result.task_state("refund") == "failed"
    assert "was cancelled" in result.log


def test_only_assigned_users_may_respond(
    connected: SampleServer, run_dag: RunDag, people: People
) -> None:
    dag = asking(assigned_users={"id": "bob", "name": "bob"})
    with (
        people({"approved": True}, name="ann") as ann,
        people({"approved": True}, name="bob") as bob,
    ):
        result = run_dag(dag)
    assert bob.statuses in ([200], [409])
    assert 200 not in ann.statuses  # 403, or 409 where bob was faster
    assert result.xcom("refund", "responses")[0]["user"]["name"] == "bob"


class TestResponsesByCode:
    seen: ClassVar[list[PendingRequest]] = []

    @pytest.mark.parametrize("kind", ["xcom", "callable", "one for all"])
    def test_no_form_if_code_responds(
        self, connected: SampleServer, run_dag: RunDag, kind: str
    ) -> None:
        def decide(pending_request: PendingRequest) -> Any:
            return {"approved": pending_request.suspension.payload["amount"] <= 100, "note": "code"}

        with DAG("by_code", schedule=None) as dag:

            @task
            def think() -> dict[str, Any]:
                return {"approved": True, "note": "code"}

            responses: Any = {"approve": think()} if kind == "xcom" else {"approve": decide}
            MastraRunWorkflowOperator(
                task_id="refund",
                workflow_id="refundApproval",
                input_data=REFUND,
                on_suspend="ask",
                responses=decide if kind == "one for all" else responses,
            )
        result = run_dag(dag)
        assert result.xcom("refund") == {"order": "A-1", "refunded": 100, "note": "code"}
        assert [one["by"] for one in result.xcom("refund", "responses")] == ["code"]

    def test_person_handles_requests_that_code_leaves(
        self, connected: SampleServer, run_dag: RunDag, people: People
    ) -> None:
        with DAG("halves", schedule=None) as dag:
            MastraRunWorkflowOperator(
                task_id="plan",
                workflow_id="twoRequests",
                input_data={"campaign": "spring"},
                on_suspend="ask",
                responses={
                    "ask-budget": {"budget": 5},
                    "ask-deadline": lambda pending_request: ASK,
                },
            )
        with people({"deadline": "2026-05-01"}) as ann:
            result = run_dag(dag)
        assert [form.subject for form in ann.forms] == ["twoRequests: ask-deadline"]
        assert [one["by"] for one in result.xcom("plan", "responses")] == ["code", "person"]

    def test_invalid_response_by_code(
        self, connected: SampleServer, run_dag: RunDag, run_of: Any
    ) -> None:
        result = run_dag(asking(responses={"approve": {"note": "yes"}}, retries=1))
        assert (result.task_state("refund"), result.tries("refund")) == ("failed", 1)
        assert "$.approved: required" in result.log
        assert run_of(result).read().is_suspended


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"on_suspend": "return", "responses": {}}, 'need on_suspend="ask"'),
        ({"response_timeout": -1}, "response_timeout"),
        ({"on_response_timeout": "respond"}, "default_response"),
        ({"response_poll_interval": 0}, "response_poll_interval"),
        ({"wait_for_completion": False}, "wait_for_completion"),
    ],
)
def test_invalid_options_are_rejected(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        MastraRunWorkflowOperator(
            task_id="refund", workflow_id="refundApproval", **{"on_suspend": "ask", **options}
        )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (172_800, "2 days"),
        (5_400, "1 hour 30 minutes"),
        (90_061, "1 day 1 hour 1 minute 1 second"),
        (0.2, "1 second"),
    ],
)
def test_form_shows_the_response_timeout(seconds: float, text: str) -> None:
    assert format_duration(timedelta(seconds=seconds)) == text
