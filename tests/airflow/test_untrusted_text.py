"""Test that Airflow never renders text of the Mastra server that contains template syntax."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import pytest
from airflow.sdk import DAG, BaseNotifier, Context, task

from airflow_provider_mastra.hitl.gates import ask_each, ask_in_turn
from airflow_provider_mastra.hitl.inbox import mastra_inbox
from airflow_provider_mastra.operators.inbox import PENDING_REQUEST
from airflow_provider_mastra.operators.workflow import (
    MastraResumeWorkflowOperator,
    MastraRunWorkflowOperator,
)
from airflow_provider_mastra.sensors.workflow import MastraWorkflowRunSensor
from mastra_workflows import MastraClient
from mastra_workflows.hitl import PendingRequest, pending_request_reference, pending_requests
from testkit.sample_server import SampleServer
from tests.airflow.harness import Connect, DagResult, RunDag
from tests.airflow.person import Person, ShownForm
from tests.support.fault_proxy import FaultProxy

People = Callable[..., Person]
TEMPLATE = "{{ conn['secretdb']['password'] ~ var['value']['api_key'] }}"
OTHER = "two {{ 7919 * 104729 }}"
SECRETS = ("pa55word-of-secretdb", "key-in-a-variable")
RENDERED = (*SECRETS, str(7919 * 104729))  # no time, port or id holds it by chance
YES = {"approved": True}


@pytest.fixture
def proxy(
    odd_server: SampleServer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FaultProxy]:
    """What `mastra_default` leads to, in an Airflow that has secrets."""
    monkeypatch.setenv("AIRFLOW_CONN_SECRETDB", f"postgres://user:{SECRETS[0]}@db.example/x")
    monkeypatch.setenv("AIRFLOW_VAR_API_KEY", SECRETS[1])
    with FaultProxy(odd_server.url) as proxy:
        connect(proxy.url, studio_url="http://studio.example")
        yield proxy


@pytest.fixture
def client(odd_server: SampleServer) -> Iterator[MastraClient]:
    with MastraClient(odd_server.url) as client:
        yield client


def nothing_is_rendered(proxy: FaultProxy, result: DagResult, *forms: ShownForm) -> None:
    """No secret, and no result of a template, is sent, logged, shown or stored."""
    places = {
        "request": [f"{seen.path}?{seen.query} {seen.body!r}" for seen in proxy.seen],
        "log": [result.log],
        "form": [f"{form.subject} {form.body} {form.params}" for form in forms],
        "label": [str(ti.rendered_map_index) for ti in result.dag_run.get_task_instances()],
    }
    for place, texts in places.items():
        for text in texts:
            assert not any(value in text for value in RENDERED), f"{place}: {text}"


def review(**options: Any) -> MastraRunWorkflowOperator:
    arguments = {"workflow_id": "templates", "input_data": {}, "on_suspend": "return", **options}
    return MastraRunWorkflowOperator(task_id="review", **arguments)


def test_trusted_template_is_rendered(proxy: FaultProxy, run_dag: RunDag) -> None:
    """So that the other tests show something."""
    with DAG("rendered", schedule=None) as dag:

        @task
        def show(text: str) -> str:
            return text

        show(TEMPLATE)
    assert run_dag(dag).xcom("show") == "".join(SECRETS)


def test_requests_at_once(proxy: FaultProxy, run_dag: RunDag, people: People) -> None:
    with DAG("at_once", schedule=None) as dag:
        ask_each(review())
    with people(YES, YES) as ann:
        result = run_dag(dag)

    assert result.state == "success"
    responses = result.xcom("review_requests.outcome")
    assert {step: response["approved"] for step, response in responses.items()} == {
        TEMPLATE: True,
        OTHER: True,
    }
    assert {form.map_index for form in ann.forms} == {0, 1}
    labels = {result.task("review_requests.request", index).rendered_map_index for index in (0, 1)}
    assert labels == {"conn-secretdb-password-var-value-api-ke", "two-7919-104729"}
    nothing_is_rendered(proxy, result, *ann.forms)


def test_requests_in_turn(proxy: FaultProxy, run_dag: RunDag, people: People) -> None:
    with DAG("in_turn", schedule=None) as dag:
        ask_in_turn(review(), most=2)
    with people(YES, YES) as ann:
        result = run_dag(dag)

    assert result.state == "success"
    assert len(ann.forms) == 2
    nothing_is_rendered(proxy, result, *ann.forms)


def test_an_inbox(
    proxy: FaultProxy, run_dag: RunDag, people: People, client: MastraClient, key: str
) -> None:
    run = client.get_workflow("templates").get_run(f"{key} {TEMPLATE}")
    record = run.start_async(input_data={})
    first = pending_requests(record)[0]
    dag = mastra_inbox(dag_id="odd_inbox", workflow_id="templates")
    with people(YES) as ann:
        result = run_dag(dag, run_conf={PENDING_REQUEST: pending_request_reference(first)})

    assert result.xcom("ask", "run_id") == run.run_id
    assert [response["step"] for response in result.xcom("ask", "responses")] == [TEMPLATE]
    nothing_is_rendered(proxy, result, *ann.forms)
    run.cancel()


def test_outputs_of_another_task(
    proxy: FaultProxy, run_dag: RunDag, client: MastraClient, key: str
) -> None:
    """What is given as ``task.output[…]`` is a value, however odd."""
    run_id = f"{key} {TEMPLATE}"
    client.get_workflow("templates").get_run(run_id).start_async(input_data={})
    with DAG("outputs", schedule=None) as dag:

        @task
        def find() -> dict[str, Any]:
            return {
                "run_id": run_id,
                "step": [TEMPLATE],
                "resume_data": {"approved": True, "note": TEMPLATE},
            }

        found: Any = find()
        resume = MastraResumeWorkflowOperator(
            task_id="resume",
            workflow_id="templates",
            run_id=found["run_id"],
            step=found["step"],
            resume_data=found["resume_data"],
            on_suspend="return",
        )
        wait = MastraWorkflowRunSensor(
            task_id="wait",
            workflow_id="templates",
            run_id=cast(Any, resume.output)["run_id"],
            on_suspend="return",
            deferrable=True,
        )
        review(input_data=cast(Any, wait.output)["suspensions"], deferrable=True)
    result = run_dag(dag)

    assert result.state == "success"
    assert result.xcom("wait", "run_id") == run_id
    nothing_is_rendered(proxy, result)
    for which in (run_id, result.xcom("review", "run_id")):
        client.get_workflow("templates").get_run(which).cancel()


def test_mapped_inputs(proxy: FaultProxy, run_dag: RunDag, client: MastraClient) -> None:
    """``expand`` over another task's output: Airflow renders no such value itself."""
    with DAG("mapped", schedule=None) as dag:

        @task
        def list_inputs() -> list[dict[str, str]]:
            return [{"city": TEMPLATE}]

        MastraRunWorkflowOperator.partial(task_id="report", workflow_id="orderReport").expand(
            input_data=list_inputs()
        )
    result = run_dag(dag)
    assert result.xcom("report", map_index=0)["city"] == TEMPLATE
    nothing_is_rendered(proxy, result)


class Mail(BaseNotifier):
    """Keeps what it would send, and has a template as most notifiers have."""

    template_fields: Sequence[str] = ("text",)
    sent: list[str] = []  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.text = "{{ mastra_pending_request.suspension.name }}: {{ mastra_refusal }}"

    def notify(self, context: Context) -> None:
        self.sent.append(self.text)


def test_a_notifier_that_is_called_twice(
    proxy: FaultProxy, run_dag: RunDag, people: People, client: MastraClient
) -> None:
    """A notifier renders its fields in place: rendered again, the server's text would be one."""
    Mail.sent.clear()
    with DAG("notified", schedule=None) as dag:
        ask_in_turn(review(), most=2, notifiers=Mail())
    with people({"approved": True, "choice": "third"}, YES, YES) as ann:
        result = run_dag(dag)

    assert result.state == "success"
    assert [text.partition(": ")[0] for text in Mail.sent] == [TEMPLATE, TEMPLATE, OTHER]
    assert "choice" in Mail.sent[1]
    nothing_is_rendered(proxy, result, *ann.forms)


def test_responses_by_code(proxy: FaultProxy, run_dag: RunDag) -> None:
    """Code that gives the server its own text back gives just that."""

    def respond(pending_request: PendingRequest) -> Any:
        return {"approved": True, "note": pending_request.suspension.payload[TEMPLATE]}

    with DAG("by_code", schedule=None) as dag:
        review(on_suspend="ask", responses=respond)
    result = run_dag(dag)
    assert result.xcom("review")[TEMPLATE]["note"] == TEMPLATE
    nothing_is_rendered(proxy, result)


@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize("how", ["throw", "suspend", "return"])
def test_server_text_cannot_forge_log_lines(
    proxy: FaultProxy, run_dag: RunDag, how: str, deferrable: bool
) -> None:
    """Neither a line break, nor an escape, nor a character that changes the text's direction."""
    with DAG("forged", schedule=None) as dag:
        MastraRunWorkflowOperator(
            task_id="end",
            workflow_id="oddEnd",
            input_data={"kind": "forged", "how": how, "seconds": 2 if deferrable else 0},
            deferrable=deferrable,
        )
    result = run_dag(dag)
    assert result.task_state("end") == ("success" if how == "return" else "failed")
    assert not any(line.startswith("[2026-01-01]") for line in result.log.splitlines())
    assert "\u202e" not in result.log
    assert "\x1b" not in result.log
