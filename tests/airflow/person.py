"""Simulate a person on Airflow's page of required actions, through the page's REST API."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

from mastra_workflows import JSON
from tests.airflow import harness

# Nothing of Airflow is imported here: the tests' own has to be configured first.
TURNS, TURNS_ALONE = 100, 2
"""How often `dag.test()` may find nothing to do in a row; the latter while no visitor helps."""
NOBODY_IS_ASKED = (
    "dag.test() of Airflow 3.1 and 3.2 has no HITL; see tests/system/test_airflow_asking.py"
)
RESUME = "Resume"
CANCEL = "Cancel run"


class Visitor(logging.Handler):
    """Acts each time that `dag.test()` has nothing to do but to wait for people.

    `dag.test()` logs a line then, sleeps for a second, and looks again. Only between that line and
    the sleep may anybody change the state of a parked task: right after a task has parked,
    `dag.test()` writes its state once more, and would overwrite a response. So `dag.test()` stands
    still meanwhile, and what `visit` raises ends it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._log = logging.getLogger("airflow.sdk.definitions.dag")

    @property
    def is_done(self) -> bool:
        """Whether nothing will come of another visit."""
        return False

    def visit(self) -> None:
        """Do what there is to do."""
        raise NotImplementedError

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line of the log."""
        if is_rest(record):
            # Airflow keeps one database session for each thread, and `dag.test()` is using its own.
            with ThreadPoolExecutor(1) as thread:
                thread.submit(self.visit).result()

    def __enter__(self) -> Self:
        self._log.addHandler(self)
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        self._log.removeHandler(self)


class Patience(Visitor):
    """Ends a `dag.test()` that would wait for ever, and says what it waits for."""

    def __init__(self) -> None:
        super().__init__()
        self._idle = self._alone = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line of the log; `dag.test()` writes one each second while it waits.

        Raises:
            AssertionError: nobody is there who would end the wait.
        """
        is_idle = is_rest(record) or "No tasks to run" in record.getMessage()
        self._idle = self._idle + 1 if is_idle else 0
        visitors = [one for one in self._log.handlers if isinstance(one, Visitor)]
        # Counted from the last reply on: a form may take many turns to come.
        is_alone = is_rest(record) and all(one.is_done for one in visitors)
        self._alone = self._alone + 1 if is_alone else 0
        if self._idle > TURNS or self._alone > TURNS_ALONE:
            there = ", ".join(str(one) for one in visitors if one is not self) or "nobody is there"
            raise AssertionError(f"dag.test() would not end: {record.getMessage()} ({there})")

    @property
    def is_done(self) -> bool:
        """It changes nothing."""
        return True


def is_rest(record: logging.LogRecord) -> bool:
    """Whether `dag.test()` says that it waits for people, and for nothing else."""
    return "Waiting for Human-in-the-loop input" in record.getMessage()


class ShownForm:
    """A form that waits for a response.

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
        response = self._person.request(
            "PATCH",
            self._path,
            json={"chosen_options": [option], "params_input": {**fields, **values}},
        )
        return int(response.status_code)


Reply = Mapping[str, JSON] | str | Callable[[ShownForm], object]
"""What a person does about a form: send these values, press this button, or do this."""


class Person(Visitor):
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
        super().__init__()
        self._client = client
        self._name = name
        self._replies = list(replies)
        self._headers: dict[str, str] = {}
        self.forms: list[ShownForm] = []
        self.statuses: list[object] = []

    def __str__(self) -> str:
        replied = [
            f"{form.task_id}: {status}"
            for form, status in zip(self.forms, self.statuses, strict=False)
        ]
        return f"{self._name} has replied to {replied}, and has {len(self._replies)} replies left"

    def request(self, method: str, path: str, **arguments: Any) -> Any:
        """Ask Airflow's REST API."""
        return self._client.request(method, f"/api/v2{path}", headers=self._headers, **arguments)

    def open_forms(self) -> list[ShownForm]:
        """The forms of the DAG run at hand that wait for a response."""
        dag_id, run_id = harness.tested_dag_run()
        response = self.request(
            "GET", f"/dags/{dag_id}/dagRuns/{run_id}/hitlDetails?response_received=false"
        )
        return [
            ShownForm(self, detail)
            for detail in response.json()["hitl_details"]
            if detail["task_instance"]["state"] in ("awaiting_input", "deferred")
        ]

    def __enter__(self) -> Self:
        login = {"username": self._name, "password": self._name}
        token = self._client.post("/auth/token", json=login).json()["access_token"]
        self._headers["Authorization"] = f"Bearer {token}"
        return super().__enter__()

    @property
    def is_done(self) -> bool:
        """Whether the person has no reply left."""
        return not self._replies

    def visit(self) -> None:
        """Reply to what is open."""
        if self.is_done:
            return
        for form in self.open_forms()[: len(self._replies)]:
            self.forms.append(form)
            self.statuses.append(self._reply(form, self._replies.pop(0)))

    def _reply(self, form: ShownForm, reply: Reply) -> object:
        if callable(reply):
            return reply(form)
        if isinstance(reply, str):
            return form.press(reply)
        return form.press(RESUME, **reply)


class Clock(Visitor):
    """The scheduler's part: wakes parked tasks whose time is over."""

    def visit(self) -> None:
        """Look at the time."""
        from airflow.jobs.job import Job
        from airflow.jobs.scheduler_job_runner import SchedulerJobRunner

        SchedulerJobRunner(Job()).check_awaiting_input_timeouts()  # type: ignore[no-untyped-call]

    def __str__(self) -> str:
        return "a clock"
