"""A person who answers on Airflow's page of required actions, by the REST API that is behind it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from mastra_workflows.models import JSON

# Nothing of Airflow is imported here: the tests' own has to be configured first.
TICK = 0.3
NOBODY_IS_ASKED = (
    "dag.test() of Airflow 3.1 and 3.2 waits for no person; see tests/system/test_airflow_asking.py"
)
RESUME = "Resume"
CANCEL = "Cancel run"


class Rest(logging.Handler):
    """Tells when `dag.test()` has nothing to do but to wait for people.

    Right after a task has parked, `dag.test()` writes its state once more, and would take back what
    an answer or the clock has made of it meanwhile.
    """

    def __init__(self) -> None:
        super().__init__()
        self._begins = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line of the log."""
        if "Waiting for Human-in-the-loop input" in record.getMessage():
            self._begins.set()

    def wait(self) -> bool:
        """Wait a moment for the rest to begin, and say whether it has."""
        if not self._begins.wait(TICK):
            return False
        self._begins.clear()
        return True

    def __enter__(self) -> Self:
        logging.getLogger("airflow.sdk.definitions.dag").addHandler(self)
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        logging.getLogger("airflow.sdk.definitions.dag").removeHandler(self)


class Form:
    """A form that waits for an answer.

    Attributes:
        subject, body: what is shown.
        params: its fields.
        task_id, map_index: the task that shows it.
    """

    def __init__(self, person: Person, detail: Mapping[str, Any]) -> None:
        ti = detail["task_instance"]
        self._person = person
        self.subject: str = detail["subject"]
        self.body: str = detail["body"]
        self.params: dict[str, Any] = detail["params"]
        self.assigned_users: list[Any] = detail["assigned_users"]
        self.options: list[str] = detail["options"]
        self.task_id: str = ti["task_id"]
        self.map_index: int = ti["map_index"]
        self._path = (
            f"/dags/{ti['dag_id']}/dagRuns/{ti['dag_run_id']}"
            f"/taskInstances/{ti['task_id']}/{ti['map_index']}/hitlDetails"
        )

    def press(self, option: str, **values: JSON) -> int:
        """Press a button; fields that are not given are sent as the form has them.

        Returns:
            The HTTP status.
        """
        fields = {key: param["value"] for key, param in self.params.items()}
        answer = self._person.request(
            "PATCH",
            self._path,
            json={"chosen_options": [option], "params_input": {**fields, **values}},
        )
        return int(answer.status_code)


Reply = Mapping[str, JSON] | str | Callable[[Form], object]
"""What a person does about a form: send these values, press this button, or do this."""


class Person:
    """Somebody who has the page of required actions open, beside a DAG that runs in this process.

    Forms are replied to in the order in which they come. Entering it as a context manager logs in
    and begins, leaving ends it::

        with Person(client, "ann", [{"approved": True}]) as ann:
            run_dag(dag)

    Args:
        client: of the API of an Airflow with this process's database.
        name: who it is.
        replies: what they do about each form that comes.

    Attributes:
        forms: those that were replied to.
        statuses: what the API said to each reply.
    """

    def __init__(self, client: Any, name: str, replies: Sequence[Reply]) -> None:
        self._client = client
        self._name = name
        self._replies = list(replies)
        self._leaves = threading.Event()
        self._thread = threading.Thread(target=self._sit, daemon=True)
        self._headers: dict[str, str] = {}
        self._error: Exception | None = None
        self.forms: list[Form] = []
        self.statuses: list[object] = []

    def request(self, method: str, path: str, **arguments: Any) -> Any:
        """Ask Airflow's REST API."""
        return self._client.request(method, f"/api/v2{path}", headers=self._headers, **arguments)

    def open_forms(self) -> list[Form]:
        """The forms that wait for an answer."""
        answer = self.request("GET", "/dags/~/dagRuns/~/hitlDetails?response_received=false")
        return [
            Form(self, detail)
            for detail in answer.json()["hitl_details"]
            if detail["task_instance"]["state"] in ("awaiting_input", "deferred")
        ]

    def __enter__(self) -> Self:
        login = {"username": self._name, "password": self._name}
        token = self._client.post("/auth/token", json=login).json()["access_token"]
        self._headers["Authorization"] = f"Bearer {token}"
        self._thread.start()
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        self._leaves.set()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _sit(self) -> None:
        try:
            with Rest() as rest:
                while self._replies and not self._leaves.is_set():
                    for form in self.open_forms()[:1] if rest.wait() else ():
                        self.forms.append(form)
                        self.statuses.append(self._reply(form, self._replies.pop(0)))
        except Exception as error:  # for the thread that can tell it
            self._error = error

    def _reply(self, form: Form, reply: Reply) -> object:
        if callable(reply):
            return reply(form)
        if isinstance(reply, str):
            return form.press(reply)
        return form.press(RESUME, **reply)


class Clock:
    """The scheduler's part: wakes parked tasks whose time is over. A context manager."""

    def __init__(self) -> None:
        self._stops = threading.Event()
        self._thread = threading.Thread(target=self._sweep, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        self._stops.set()
        self._thread.join()

    def _sweep(self) -> None:
        from airflow.jobs.job import Job
        from airflow.jobs.scheduler_job_runner import SchedulerJobRunner

        scheduler = SchedulerJobRunner(Job())  # type: ignore[no-untyped-call]
        with Rest() as rest:
            while not self._stops.is_set():
                if rest.wait():
                    scheduler.check_awaiting_input_timeouts()
