"""Test the inbox in a complete Airflow: each pending request of any run is shown once."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mastra_workflows import MastraClient, Run
from testkit.airflow_stack import AirflowStack
from testkit.sample_server import Generation, SampleServer
from tests.conftest import EVERY_SERVER
from tests.support.fault_proxy import FaultProxy
from tests.system.airflow_forms import Forms

pytest.importorskip("airflow", reason="Airflow is not installed")

SECONDS = 120.0
"""How long something may take on a machine with much to do."""


class Inbox:
    """An unpaused inbox of one workflow, and the server that it watches."""

    def __init__(
        self, airflow: AirflowStack, server: SampleServer, proxy: FaultProxy, workflow_id: str
    ) -> None:
        self.airflow, self.server, self.proxy = airflow, server, proxy
        self.workflow_id = workflow_id
        self.dag_id = f"inbox_{server.generation}_{workflow_id}"
        self.asset = f"mastra-pending-requests/inbox-{server.generation}/{workflow_id}"
        self.client = MastraClient(server.url)
        self.begun: list[Run] = []

    def open(self) -> None:
        """Unpause the DAG, and have its file read, by which Airflow begins to watch."""
        self.airflow.wait_for_dag(self.dag_id)
        self.pause(False)
        dag: Any = self.airflow.api.dag(self.dag_id)
        self.airflow.api.request("PUT", f"/parseDagFile/{dag['file_token']}")
        self.until_polled()

    def close(self) -> None:
        """Pause it, and leave nothing open."""
        self.pause(True)
        for run in self.begun:
            run.cancel()
        self.client.close()

    def pause(self, is_paused: bool) -> None:
        self.airflow.api.request("PATCH", f"/dags/{self.dag_id}", {"is_paused": is_paused})

    def begin(self, **input_data: Any) -> Run:
        """Start a run as an application does, which knows nothing of Airflow."""
        run = self.client.get_workflow(self.workflow_id).get_run(f"app-{uuid.uuid4().hex}")
        self.begun.append(run)
        assert run.start_async(input_data=input_data).is_suspended
        return run

    # -- what Airflow has ---------------------------------------------------------------------

    def forms(self, run: Run) -> Forms:
        """The forms that were shown for a run."""
        return Forms(self.airflow, self.dag_id, of=run.run_id)

    def until_asked(self, run: Run, number: int = 1) -> list[dict[str, Any]]:
        """Wait for so many open forms."""
        self.until(f"{number} open forms", lambda: len(self.forms(run).open) == number)
        return self.forms(run).open

    def dag_runs(self, state: str = "") -> list[str]:
        """The DAG runs of requests."""
        path = f"/dags/{self.dag_id}/dagRuns?limit=100"
        runs = self.airflow.api.request("GET", path)["dag_runs"]
        return [
            one["dag_run_id"]
            for one in runs
            if one["run_type"] != "asset_triggered" and state in ("", one["state"])
        ]

    def events(self) -> int:
        """How often the watcher has told of something new.

        They are counted, not listed: Airflow's list responds with 500 while a DAG run that one of
        them began is queued and has no start date yet (apache/airflow issue 71360).
        """
        path = f"/assets/events?limit=0&asset_id={self.asset_id()}"
        counted: int = self.airflow.api.request("GET", path)["total_entries"]
        return counted

    def asset_id(self) -> int:
        """Airflow's number for what this inbox watches."""
        assets = self.airflow.api.request("GET", "/assets?limit=100")["assets"]
        (number,) = [one["id"] for one in assets if one["name"] == self.asset]
        return int(number)

    def until_dag_runs_finished(self) -> None:
        """Wait until every DAG run of events is over."""
        path = f"/dags/{self.dag_id}/dagRuns?limit=100&run_type=asset_triggered"

        def are_over() -> bool:
            runs = self.airflow.api.request("GET", path)["dag_runs"]
            return len(runs) >= 1 and all(one["state"] == "success" for one in runs)

        self.until("the end of the DAG runs of events", are_over)

    # -- waiting, and breaking ----------------------------------------------------------------

    def until(self, what: str, look: Callable[[], Any]) -> Any:
        return self.airflow.wait_until(what, look, timeout=SECONDS, state=lambda: self.dag_runs())

    def until_polled(self) -> None:
        """Wait for two more looks at the server, by the watcher if nothing is handed out."""
        path = f"/{self.workflow_id}/runs$"
        before = self.proxy.count("GET", path)
        self.until("two looks", lambda: self.proxy.count("GET", path) >= before + 2)

    def until_finished(self, run: Run) -> Any:
        """Wait for the run's success, and give its result."""
        self.until(f"the end of {run}", lambda: run.read().is_finished)
        return run.read().raise_for_status().result

    def until_stored(self, pending_request: str) -> None:
        """Wait until the watcher has stored that it has told of a request."""
        path = f"/assets/{self.asset_id()}/state-store"
        self.until(
            "what the watcher remembers",
            lambda: pending_request in str(self.airflow.api.request("GET", path)),
        )

    def kill_triggerer(self) -> None:
        """Kill it, start it again, and wait until it has looked at the server."""
        self.airflow.kill("triggerer")
        self.airflow.start_component("triggerer")
        self.until_polled()


@pytest.fixture(scope="module", params=EVERY_SERVER)
def quiet_server(request: pytest.FixtureRequest) -> Iterator[SampleServer]:
    """A server of this module's own, where nobody else asks anything."""
    generation: Generation = request.param
    with SampleServer(generation) as server:
        yield server


@pytest.fixture
def open_inbox(
    airflow_stack: AirflowStack, quiet_server: SampleServer
) -> Iterator[Callable[[str], Inbox]]:
    """Opens the inbox of a workflow, whose connection leads to that server by way of a proxy."""
    opened: list[Inbox] = []
    connection = f"inbox-{quiet_server.generation}"
    with FaultProxy(quiet_server.url) as proxy:
        body = {"connection_id": connection, "conn_type": "mastra", "host": proxy.url}
        airflow_stack.api.request("POST", "/connections", body)

        def open_one(workflow_id: str) -> Inbox:
            inbox = Inbox(airflow_stack, quiet_server, proxy, workflow_id)
            opened.append(inbox)
            inbox.open()
            return inbox

        yield open_one
        for inbox in opened:
            inbox.close()
        airflow_stack.api.request("DELETE", f"/connections/{connection}")


REFUND = {"order": "A-17", "amount": 2500, "reason": "broken"}


@pytest.mark.essential
def test_run_of_another_client_is_asked_once_and_resumed(
    open_inbox: Callable[[str], Inbox],
) -> None:
    inbox = open_inbox("refundApproval")
    run = inbox.begin(**REFUND)
    inbox.until("an event", inbox.events)
    inbox.kill_triggerer()  # it may have had no time to remember what it has told
    (form,) = inbox.until_asked(run)
    (pending_request,) = inbox.dag_runs()

    inbox.until_stored(pending_request)
    inbox.until_dag_runs_finished()
    events = inbox.events()
    inbox.kill_triggerer()
    assert inbox.events() == events
    assert inbox.dag_runs() == [pending_request]
    assert len(inbox.forms(run).shown) == 1

    assert "refundApproval" in form["subject"]
    assert "broken" in form["body"]
    inbox.forms(run).respond(form, approved=True, note="by the inbox")
    expected = {"order": "A-17", "refunded": 2500, "note": "by the inbox"}
    assert inbox.until_finished(run) == expected
    inbox.until("the end of the DAG run", lambda: inbox.dag_runs("success"))
    assert inbox.airflow.api.xcom(inbox.dag_id, pending_request, "ask") == expected


def test_a_loop_of_three_rounds(open_inbox: Callable[[str], Inbox]) -> None:
    inbox = open_inbox("reviseLoop")
    run = inbox.begin(topic="autumn")
    for number, remarks in enumerate(["Shorter.", "Kinder."], 1):
        (form,) = inbox.until_asked(run)
        assert len(inbox.forms(run).shown) == number
        inbox.forms(run).respond(form, verdict="revise", remarks=remarks)
    (form,) = inbox.until_asked(run)
    assert "About autumn. Shorter. Kinder." in form["body"]
    inbox.forms(run).respond(form, verdict="approve")
    result = inbox.until_finished(run)
    assert result == {"text": "About autumn. Shorter. Kinder.", "round": 3, "done": True}
    inbox.until("the end of three DAG runs", lambda: len(inbox.dag_runs("success")) == 3)


def test_two_parallel_requests_with_one_resolved_elsewhere(
    open_inbox: Callable[[str], Inbox],
) -> None:
    inbox = open_inbox("parallelReview")
    run = inbox.begin(document="plan")
    forms = inbox.until_asked(run, 2)
    (legal,) = [form for form in forms if "legal" in form["subject"]]
    inbox.forms(run).respond(legal, approved=True)
    inbox.until("the end of its DAG run", lambda: inbox.dag_runs("success"))
    assert len(inbox.forms(run).open) == 1
    run.resume(step="finance", resume_data={"approved": True})
    assert inbox.until_finished(run) == {"approved": True}
    inbox.until("the release of its task", lambda: len(inbox.dag_runs("success")) == 2)
    assert len(inbox.forms(run).shown) == 2


def test_an_outage_of_the_server_delays_and_loses_nothing(
    open_inbox: Callable[[str], Inbox],
) -> None:
    inbox = open_inbox("refundApproval")
    inbox.server.kill()
    inbox.server.start()
    run = inbox.begin(**REFUND)
    (form,) = inbox.until_asked(run)
    inbox.forms(run).respond(form, approved=False)
    assert inbox.until_finished(run)["refunded"] == 0
