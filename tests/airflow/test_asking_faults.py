"""Test pending requests during a redeploy and an outage."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_provider_mastra.hitl._required_action import SUPPORTS_AWAITING_INPUT
from airflow_provider_mastra.hitl.gates import ask_in_turn
from airflow_provider_mastra.operators.workflow import MastraRunWorkflowOperator
from airflow_provider_mastra.utils import _outages
from mastra_workflows import MastraClient
from testkit.processes import free_port
from testkit.sample_server import SampleServer
from tests.airflow.harness import STUDIO, Connect, RunDag, try_again
from tests.airflow.person import NOBODY_IS_ASKED, RESUME, Person, ShownForm
from tests.conftest import EVERY_SERVER, ODD_WORKFLOWS

pytestmark = pytest.mark.skipif(not SUPPORTS_AWAITING_INPUT, reason=NOBODY_IS_ASKED)
People = Callable[..., Person]
RELEASE = "ODD_WORKFLOWS_RELEASE"


@pytest.fixture(params=EVERY_SERVER)
def own(
    request: pytest.FixtureRequest, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SampleServer]:
    """A server that the test may redeploy and kill."""
    monkeypatch.setenv(RELEASE, "1")
    port = free_port()  # one that nobody takes while the server is away
    with SampleServer(request.param, workflows=ODD_WORKFLOWS, port=port) as server:
        connect(server.url, studio_url=STUDIO)
        yield server


def asking(**options: Any) -> MastraRunWorkflowOperator:
    arguments = {"workflow_id": "released", "input_data": {}, "on_suspend": "ask", **options}
    return MastraRunWorkflowOperator(task_id="ask", **arguments)


def respond_after_redeploy(
    server: SampleServer, monkeypatch: pytest.MonkeyPatch
) -> Callable[[ShownForm], Any]:
    def respond(form: ShownForm) -> Any:
        monkeypatch.setenv(RELEASE, "2")
        server.restart()
        return form.press(RESUME, approved=True)

    return respond


def test_redeploy_changes_the_resume_schema(
    own: SampleServer, run_dag: RunDag, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No response to the old form is valid: the error states that, and what to do."""
    with DAG("redeployed", schedule=None) as dag:
        asking(retries=2)
    with people(respond_after_redeploy(own, monkeypatch)) as ann:
        result = run_dag(dag)

    assert len(ann.forms) == 1
    assert (result.task_state("ask"), result.tries("ask")) == ("failed", 1)
    assert "its resume schema has changed since the form was shown" in result.log
    assert "Resume or cancel the run at http://studio.example" in result.log
    refused = result.xcom("ask", "refused_response")
    assert refused["form_is_outdated"] is True
    assert any("verdict" in problem for problem in refused["problems"])
    with MastraClient(own.url) as client:
        run = client.get_workflow("released").get_run(result.xcom("ask", "run_id"))
        assert run.read().is_suspended


def test_gate_shows_the_new_form(
    own: SampleServer, run_dag: RunDag, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    with DAG("redeployed_gate", schedule=None) as dag:
        ask_in_turn(asking(), most=1)
    with people(respond_after_redeploy(own, monkeypatch), {"verdict": "yes"}) as ann:
        result = run_dag(dag)

    assert [list(form.params) for form in ann.forms] == [["approved"], ["verdict"]]
    assert result.state == "success"
    assert result.xcom("ask_requests.request_1") == {"verdict": "yes"}


def test_response_is_delivered_after_an_outage(
    own: SampleServer, run_dag: RunDag, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server is away until an attempt to deliver the response has failed."""
    monkeypatch.setattr(_outages, "RECONNECT_SECONDS", 2.0)

    class Delivers(MastraRunWorkflowOperator):
        def reload_connection(self) -> None:
            super().reload_connection()
            if not own.running:
                own.start()

    def respond(form: ShownForm) -> Any:
        own.kill()
        return form.press(RESUME, approved=True)

    with DAG("away", schedule=None) as dag:
        Delivers(task_id="ask", workflow_id="released", input_data={}, on_suspend="ask", retries=0)
    with people(respond):
        result = run_dag(dag)

    assert result.xcom("ask") == {"approved": True}
    assert "is not delivered yet" in result.log
    assert "The step was resumed with the response of" in result.log


def test_undelivered_response_raises(
    own: SampleServer, run_dag: RunDag, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log reports it, and a retry delivers it once the server is back."""
    monkeypatch.setattr(_outages, "PAUSE_SECONDS", 0.5)

    class Watched(MastraRunWorkflowOperator):
        def execute(self, context: Any) -> Any:
            if context["ti"].try_number > 1 and not own.running:
                own.start()
            return super().execute(context)

    def respond(form: ShownForm) -> Any:
        own.kill()
        return form.press(RESUME, approved=True)

    with DAG("not_delivered", schedule=None) as dag:
        Watched(
            task_id="ask",
            workflow_id="released",
            input_data={},
            on_suspend="ask",
            outage_timeout=2,
            retries=1,
            retry_delay=0.1,
        )
    with people(respond):
        result = run_dag(dag)

    assert "The response of ann was not delivered" in result.log
    assert "A retry of this task delivers the response" in result.log
    assert result.xcom("ask") == {"approved": True}
    assert result.tries("ask") == 2


def test_clear_logs_an_undelivered_response(
    own: SampleServer, run_dag: RunDag, people: People, capfd: pytest.CaptureFixture[str]
) -> None:
    def respond(form: ShownForm) -> Any:
        own.kill()
        return form.press(RESUME, approved=True)

    with DAG("cleared_response", schedule=None) as dag:
        asking(retries=0, outage_timeout=1)
    with people(respond):
        result = run_dag(dag)
    assert result.task_state("ask") == "failed"
    assert "The response of ann was not delivered" in result.log

    own.start()
    try_again(dag, result.task("ask"), clear=True)
    log = "".join(capfd.readouterr())
    assert "The response of ann at " in log
