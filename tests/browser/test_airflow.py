"""Test responses on Airflow's pages to the requests of a Mastra server's workflows."""

from __future__ import annotations

import json
import uuid
from datetime import datetime
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from mastra_workflows import MastraClient
from testkit.airflow_stack import AirflowStack
from testkit.json_api import ApiError
from testkit.sample_server import SampleServer
from tests.browser.airflow_page import AirflowPage
from tests.browser.conftest import Picture
from tests.browser.pending_requests import AS_IT_IS, CANCELLED, EVERY_RESPONSE, ODD_RESPONSE, REFUND

PARKED = {"awaiting_input"}
# With a star: must be filled in.
TITLES = [
    "agree *",
    "urgent",
    "title *",
    "summary",
    "copies",
    "budget *",
    "discount",
    "draft *",
    "day *",
    "moment",
    "tags *",
    "address.street *",
    "address.zip *",
    "address.country",
    "contact",
]
SHOWN = {
    "agree": "off",
    "urgent": "off",
    "title": "",
    "copies": "2",
    "budget": "",
    "moment": "Select date and time",
    "address.country": "DE",
}


class Asking:
    """Airflow, the server that its DAG runs use, and a person in front of its pages."""

    def __init__(
        self, airflow: AirflowStack, page: Page, server: SampleServer, client: MastraClient
    ) -> None:
        self.airflow, self.server, self.client = airflow, server, client
        self.page = AirflowPage(page, airflow)

    def begin(self, dag_id: str, workflow: str, data: dict[str, Any]) -> str:
        """Start a DAG run that runs a workflow; returns its id."""
        conf = {"server": f"mastra_{self.server.generation}", "workflow": workflow, "input": data}
        return self.airflow.trigger_dag(dag_id, conf=conf)

    def wait(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> None:
        """Wait until a task asks."""
        self.airflow.wait_for_task(dag_id, run_id, task_id, PARKED, map_index=map_index)

    def look(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> AirflowPage:
        """Wait until a task asks, and open its request."""
        self.wait(dag_id, run_id, task_id, map_index)
        self.page.open_form(dag_id, run_id, task_id, map_index)
        return self.page

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str) -> Any:
        """An XCom; None while there is none."""
        try:
            return self.airflow.api.xcom(dag_id, run_id, task_id, key)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def asked_about(self, dag_id: str, mastra_run_id: str) -> str | None:
        """The DAG run of an inbox that asks about a run; None while there is none."""
        response = self.airflow.api.request("GET", f"/dags/{dag_id}/dagRuns")
        for dag_run in response["dag_runs"]:
            if mastra_run_id in str(dag_run["conf"]):
                return str(dag_run["dag_run_id"])
        return None

    def result(self, dag_id: str, run_id: str, task_id: str) -> Any:
        """Wait until a DAG run has succeeded; returns what a task of it returned."""
        assert self.airflow.wait_for_dag_run(dag_id, run_id) == "success"
        return self.airflow.api.xcom(dag_id, run_id, task_id)


@pytest.fixture
def asking(airflow: AirflowStack, page: Page, server: SampleServer, client: MastraClient) -> Asking:
    """On both server versions."""
    return Asking(airflow, page, server, client)


def fill_in_everything(page: AirflowPage) -> None:
    page.fill("agree", True)
    page.fill("title", EVERY_RESPONSE["title"])
    page.fill("summary", EVERY_RESPONSE["summary"])
    page.fill("copies", EVERY_RESPONSE["copies"])
    page.fill("budget", EVERY_RESPONSE["budget"])
    page.fill("draft", EVERY_RESPONSE["draft"])
    page.fill("day", EVERY_RESPONSE["day"])
    page.fill("moment", datetime.fromisoformat(EVERY_RESPONSE["moment"]))
    page.fill("tags", "\n".join(EVERY_RESPONSE["tags"]))
    page.fill("address.street", EVERY_RESPONSE["address"]["street"])
    page.fill("address.zip", EVERY_RESPONSE["address"]["zip"])
    page.fill("address.country", EVERY_RESPONSE["address"]["country"])
    page.fill("contact", '{"phone": "040"}')


@pytest.mark.pictured
def test_every_type(asking: Asking, picture: Picture) -> None:
    run_id = asking.begin("ask", "everyType", {"topic": "a brochure"})
    page = asking.look("ask", run_id, "run")

    assert page.subject.inner_text() == "everyType: fill-in"
    expect(page.pending_request).to_contain_text("a brochure")
    page.expect_titles(TITLES)
    assert {title: page.shown(title) for title in SHOWN} == SHOWN
    expect(page.field("zip")).to_have_count(0)
    expect(page.field("budget")).to_contain_text("What it may cost, in euros")
    expect(page.button("Resume")).to_be_disabled()

    fill_in_everything(page)
    picture("airflow-form", page.page, height=2300)
    page.press("Resume")

    assert asking.result("ask", run_id, "run") == EVERY_RESPONSE
    (response,) = asking.xcom("ask", run_id, "run", "responses")
    assert response["resume_data"] == EVERY_RESPONSE
    assert response["by"] == "person"
    assert response["user"]["name"] == "admin"


def test_types_without_a_field(asking: Asking) -> None:
    """And null, and a request that does not say what its response may be."""
    dag_id = "ask_in_turn"
    run_id = asking.begin(dag_id, "oddTypes", {"topic": "a fair"})
    page = asking.look(dag_id, run_id, "run_requests.request_1")
    optional = ("size", "substitute", "place", "greeting")
    page.expect_titles([t if t in optional else f"{t} *" for t in ODD_RESPONSE])
    page.fill("opens", ODD_RESPONSE["opens"])
    for title in ("amounts", "parcels", "place", "ticket", "notes"):
        page.fill(title, json.dumps(ODD_RESPONSE[title]))
    for title in ("priority", "size", "price", "name"):
        page.fill(title, ODD_RESPONSE[title])
    assert page.shown("greeting") == "Welcome"
    page.fill("greeting", "")
    page.press("Resume")

    page = asking.look(dag_id, run_id, "run_requests.request_2")
    page.expect_titles(["response"])
    page.fill("response", '{"by": ["me"]}')
    page.press("Resume")

    result = asking.result(dag_id, run_id, "run_requests.request_3")
    assert result == {"response": ODD_RESPONSE, "confirmed": {"by": ["me"]}}


def test_invalid_response_is_rejected(asking: Asking) -> None:
    """The page takes what its own few checks let pass; the task asks again, and says why."""
    run_id = asking.begin("ask", "everyType", {"topic": "a brochure"})
    page = asking.look("ask", run_id, "run")
    fill_in_everything(page)
    page.fill("address.zip", "2045")
    page.press("Resume")

    asking.airflow.wait_until(
        "a refusal", lambda: asking.xcom("ask", run_id, "run", "refused_response")
    )
    refused = asking.xcom("ask", run_id, "run", "refused_response")
    assert "zip" in str(refused["problems"])

    page = asking.look("ask", run_id, "run")
    fill_in_everything(page)
    page.press("Resume")

    assert asking.result("ask", run_id, "run") == EVERY_RESPONSE


def test_the_run_is_cancelled(asking: Asking) -> None:
    run_id = asking.begin("ask", "refundApproval", REFUND)
    asking.look("ask", run_id, "run").press("Cancel run")

    assert asking.airflow.wait_for_dag_run("ask", run_id) == "failed"
    mastra_run = asking.xcom("ask", run_id, "run", "run_id")
    status = asking.client.get_workflow("refundApproval").get_run(mastra_run).read().status
    assert status == CANCELLED[asking.server.generation]


@pytest.mark.essential
@pytest.mark.pictured
def test_two_rounds(asking: Asking, picture: Picture) -> None:
    dag_id = "ask_in_turn"
    run_id = asking.begin(dag_id, "reviseLoop", {"topic": "the harbour"})
    page = asking.look(dag_id, run_id, "run_requests.request_1")

    expect(page.pending_request).to_contain_text("About the harbour.")
    page.fill("verdict", "revise")
    page.fill("remarks", "Ships, too.")
    page.press("Resume")

    page = asking.look(dag_id, run_id, "run_requests.request_2")
    expect(page.pending_request).to_contain_text("About the harbour. Ships, too.")
    picture("airflow-second-round", page.page)
    page.fill("verdict", "approve")
    page.press("Resume")

    result = asking.result(dag_id, run_id, "run_requests.request_3")
    assert result["text"] == "About the harbour. Ships, too."


@pytest.mark.pictured
def test_parallel_requests(asking: Asking, picture: Picture) -> None:
    dag_id, task_id = "ask_each", "run_requests.request"
    run_id = asking.begin(dag_id, "parallelReview", {"document": "the contract"})
    departments = {"legal": True, "finance": False}
    asked = set()
    for map_index in range(2):
        asking.wait(dag_id, run_id, task_id, map_index)
    picture("airflow-required-actions", asking.page.open_list())
    for map_index in range(2):
        page = asking.look(dag_id, run_id, task_id, map_index)
        (department,) = (name for name in departments if f"parallelReview: {name}" in page.text())
        page.fill("approved", departments[department])
        page.fill("note", f"as {department} sees it")
        page.press("Resume")
        asked.add(department)

    assert asked == set(departments)
    result = asking.result(dag_id, run_id, "run_requests.outcome")
    assert result == {"approved": False}


@pytest.mark.pictured
def test_the_inbox(asking: Asking, picture: Picture) -> None:
    """A run that the application has started, not Airflow."""
    dag_id = f"inbox_of_mastra_{asking.server.generation}"
    asking.airflow.wait_for_dag(dag_id)
    run = asking.client.get_workflow("refundApproval").get_run(f"app-{uuid.uuid4().hex}")
    run.start(input_data=REFUND)

    run_id = asking.airflow.wait_until(
        "a DAG run for the request", lambda: asking.asked_about(dag_id, run.run_id), timeout=90
    )
    page = asking.look(dag_id, run_id, "ask")
    expect(page.pending_request).to_contain_text("arrived broken")
    picture("airflow-inbox", page.page)
    page.fill("approved", True)
    page.fill("note", "as a favour")
    page.press("Resume")

    result = asking.result(dag_id, run_id, "ask")
    assert asking.xcom(dag_id, run_id, "ask", "run_id") == run.run_id
    assert result == {"order": "A-1042", "refunded": 4200, "note": "as a favour"}


@pytest.mark.pictured
def test_hostile_content(asking: Asking, picture: Picture) -> None:
    """1 MB of it; that nothing of it runs, the fixture `page` sees to."""
    run_id = asking.begin("ask", "hostileRequest", {"kilobytes": 1024})
    page = asking.look("ask", run_id, "run")

    for text in AS_IT_IS:
        expect(page.pending_request).to_contain_text(text)
    for selector in ("script", "img", "h1", "a[href^=javascript]"):
        expect(page.pending_request.locator(selector)).to_have_count(0)
    picture("airflow-hostile", page.page)
    page.fill("response", "<b>{{ 7 * 7 }}</b>")
    page.press("Resume")

    result = asking.result("ask", run_id, "run")
    assert result == {"response": "<b>{{ 7 * 7 }}</b>"}
