"""Test responses on Prefect's pages to the requests of a Mastra server's workflows."""

from __future__ import annotations

import json
import uuid
from datetime import date, datetime
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from mastra_workflows import MastraClient
from testkit.prefect_stack import PrefectStack
from testkit.sample_server import SampleServer
from tests.browser.conftest import Picture
from tests.browser.pending_requests import AS_IT_IS, CANCELLED, EVERY_RESPONSE, ODD_RESPONSE, REFUND
from tests.browser.prefect_page import PrefectPage

DEPLOYMENT = "ask/browser"
# Optional: need not be filled in.
TITLES = [
    "agree",
    "urgent (Optional)",
    "title",
    "summary (Optional)",
    "copies (Optional)",
    "budget",
    "discount (Optional)",
    "draft",
    "day",
    "moment (Optional)",
    "tags",
    "address.street",
    "address.zip",
    "address.country (Optional)",
    "contact (Optional)",
]
SHOWN = {"agree": "off", "urgent": "off", "title": "", "copies": "2", "address.country": "DE"}


class Asking:
    """Prefect, the server that its flow runs use, and a person in front of its pages."""

    def __init__(
        self, prefect: PrefectStack, page: Page, server: SampleServer, client: MastraClient
    ) -> None:
        self.prefect, self.server, self.client = prefect, server, client
        self.page = PrefectPage(page, prefect)

    def begin(self, workflow: str, data: dict[str, Any]) -> str:
        """Start a flow run that runs a workflow; returns its id."""
        self._run = self.client.get_workflow(workflow).get_run(uuid.uuid4().hex)
        return self.prefect.api.create_flow_run(
            DEPLOYMENT,
            {
                "server": {"base_url": self.server.url},
                "workflow_id": workflow,
                "run_id": self._run.run_id,
                "input_data": data,
            },
        )

    def look(self, flow_run_id: str, number: int = 1) -> PrefectPage:
        """Wait until a flow run asks for the first or a later time, and open its request."""

        def has_asked() -> bool:
            states = [state["type"] for state in self.prefect.api.states(flow_run_id)]
            return states.count("PAUSED") == number and states[-1] == "PAUSED"

        self.prefect.wait_until(f"request {number}", has_asked)
        self.page.open_form(flow_run_id)
        return self.page

    def result(self, flow_run_id: str) -> Any:
        """Wait until a flow run is completed; returns what its workflow run has come to."""
        assert self.prefect.wait_for_flow_run(flow_run_id) == "COMPLETED"
        return self._run.read().result

    @property
    def status(self) -> str:
        """How the workflow run stands."""
        return self._run.read().status


@pytest.fixture
def asking(prefect: PrefectStack, page: Page, server: SampleServer, client: MastraClient) -> Asking:
    """On both server versions."""
    return Asking(prefect, page, server, client)


def fill_in_everything(page: PrefectPage) -> None:
    address = EVERY_RESPONSE["address"]
    page.fill("agree", True)
    page.fill("title", EVERY_RESPONSE["title"])
    page.fill("summary", EVERY_RESPONSE["summary"])
    page.fill("copies", EVERY_RESPONSE["copies"])
    page.fill("budget", EVERY_RESPONSE["budget"])
    page.fill("draft", EVERY_RESPONSE["draft"])
    page.fill("day", date.fromisoformat(EVERY_RESPONSE["day"]))
    page.fill("moment", datetime.fromisoformat(EVERY_RESPONSE["moment"]))
    page.fill("tags", EVERY_RESPONSE["tags"])
    page.fill("address.street", address["street"])
    page.fill("address.zip", address["zip"])
    page.fill("address.country", address["country"])
    page.fill("contact", '{"phone": "040"}')


@pytest.mark.pictured
def test_every_type(asking: Asking, picture: Picture) -> None:
    flow_run_id = asking.begin("everyType", {"topic": "a brochure"})
    page = asking.look(flow_run_id)

    page.expect_text("a brochure")
    expect(page.field("budget")).to_contain_text("What it may cost, in euros")
    page.expect_titles(TITLES)
    assert {title: page.shown(title) for title in SHOWN} == SHOWN

    fill_in_everything(page)
    picture("prefect-form", page.page, height=1800)
    page.submit()

    assert asking.result(flow_run_id) == EVERY_RESPONSE


def test_types_without_a_field(asking: Asking) -> None:
    """And null, and a request that does not say what its response may be."""
    flow_run_id = asking.begin("oddTypes", {"topic": "a fair"})
    page = asking.look(flow_run_id)
    optional = ("size", "substitute", "place", "greeting")
    page.expect_titles([f"{t} (Optional)" if t in optional else t for t in ODD_RESPONSE])
    page.fill("opens", ODD_RESPONSE["opens"])
    for title in ("amounts", "parcels", "place", "ticket", "notes"):
        page.fill(title, json.dumps(ODD_RESPONSE[title]))
    for title in ("priority", "size", "price", "name"):
        page.fill(title, ODD_RESPONSE[title])
    assert page.shown("greeting") == "Welcome"
    page.fill("greeting", "")
    page.submit()

    page = asking.look(flow_run_id, 2)
    page.expect_titles(["response (Optional)"])
    page.fill("response", '{"by": ["me"]}')
    page.submit()

    # Prefect's page leaves out what is empty, and only 1.x puts a default in for that.
    greeting = {"greeting": "Welcome"} if asking.server.generation == "1" else {}
    response = {
        name: value for name, value in ODD_RESPONSE.items() if name != "greeting"
    } | greeting
    assert asking.result(flow_run_id) == {"response": response, "confirmed": {"by": ["me"]}}


@pytest.mark.pictured
def test_invalid_response_is_asked_again(asking: Asking, picture: Picture) -> None:
    """The form has no patterns: the flow run checks them, and shows the reason above the form."""
    flow_run_id = asking.begin("everyType", {"topic": "a brochure"})
    page = asking.look(flow_run_id)
    fill_in_everything(page)
    page.fill("address.zip", "2045")
    page.submit()

    page = asking.look(flow_run_id, 2)
    page.expect_text("$.address.zip: violates pattern")
    picture("prefect-refused", page.page)

    fill_in_everything(page)
    page.submit()

    assert asking.result(flow_run_id) == EVERY_RESPONSE


def test_the_run_is_cancelled(asking: Asking) -> None:
    flow_run_id = asking.begin("refundApproval", REFUND)
    asking.look(flow_run_id).cancel_flow_run()

    assert asking.prefect.wait_for_flow_run(flow_run_id) == "CANCELLED"
    assert asking.status == CANCELLED[asking.server.generation]


@pytest.mark.essential
def test_two_rounds(asking: Asking) -> None:
    flow_run_id = asking.begin("reviseLoop", {"topic": "the harbour"})
    page = asking.look(flow_run_id)
    page.expect_text("About the harbour.")
    page.fill("verdict", "revise")
    page.fill("remarks", "Ships, too.")
    page.submit()

    page = asking.look(flow_run_id, 2)
    page.expect_text("About the harbour. Ships, too.")
    page.fill("verdict", "approve")
    page.submit()

    assert asking.result(flow_run_id)["text"] == "About the harbour. Ships, too."


def test_parallel_requests(asking: Asking) -> None:
    """One after the other."""
    departments = {"legal": True, "finance": False}
    flow_run_id = asking.begin("parallelReview", {"document": "the contract"})
    for number in (1, 2):
        page = asking.look(flow_run_id, number)
        text = page.body.inner_text()
        (department,) = (name for name in departments if name in text)
        page.fill("approved", departments.pop(department))
        page.fill("note", f"as {department} sees it")
        page.submit()

    assert departments == {}
    assert asking.result(flow_run_id) == {"approved": False}


@pytest.mark.pictured
def test_hostile_content(asking: Asking, picture: Picture) -> None:
    """1 MB of it; that nothing of it runs, the fixture `page` sees to."""
    flow_run_id = asking.begin("hostileRequest", {"kilobytes": 1024})
    page = asking.look(flow_run_id)

    for text in AS_IT_IS:
        page.expect_text(text)
    for selector in ("script", "img", "h1", "a[href^=javascript]"):
        expect(page.dialog.locator(selector)).to_have_count(0)
    picture("prefect-hostile", page.page)
    last = page.body.get_by_text("all work and no play").last
    last.scroll_into_view_if_needed()  # the page shows a part of so long a text, and scrolls
    expect(last).to_be_in_viewport()
    page.fill("response", "<b>{{ 7 * 7 }}</b>")
    page.submit()

    assert asking.result(flow_run_id) == {"response": "<b>{{ 7 * 7 }}</b>"}
