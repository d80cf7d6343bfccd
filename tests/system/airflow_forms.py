"""Access Airflow's required actions by REST, and simulate a person who responds to them."""

from __future__ import annotations

import re
from typing import Any

from testkit.airflow_stack import AirflowStack

OPEN = {"awaiting_input", "deferred"}
FormDetail = dict[str, Any]


class Forms:
    """The forms of a DAG's tasks.

    Args:
        airflow: where they are shown.
        dag_id: the DAG.
        of: a text that the forms contain, such as a run's id; empty for all.
    """

    def __init__(self, airflow: AirflowStack, dag_id: str, of: str = "") -> None:
        self._airflow = airflow
        self._dag_id = dag_id
        self._of = of

    @property
    def shown(self) -> list[FormDetail]:
        """All that were shown, with or without a response."""
        path = f"/dags/{self._dag_id}/dagRuns/~/hitlDetails?limit=100"
        forms: list[FormDetail] = self._airflow.api.request("GET", path)["hitl_details"]
        return [form for form in forms if self._of in form["body"]]

    @property
    def without_response(self) -> list[FormDetail]:
        """The forms that have no response yet, in any state of their tasks."""
        return [form for form in self.shown if not form["response_received"]]

    @property
    def open(self) -> list[FormDetail]:
        """Those that a task waits with for a response."""
        return [form for form in self.without_response if form["task_instance"]["state"] in OPEN]

    def respond(self, form: FormDetail, option: str = "Resume", **values: Any) -> None:
        """Fill a form in and press a button, no sooner than a person would."""
        self.until_settled(form)
        self.respond_at_once(form, option, **values)

    def until_settled(self, form: FormDetail) -> None:
        """Wait until the scheduler has heard that the process of the form's task has ended.

        Airflow fails a task that is woken before.
        """
        ti = form["task_instance"]
        log = self._airflow.service("scheduler").log_path
        heard = re.compile(
            rf"TaskInstance Finished: dag_id={ti['dag_id']}, task_id={ti['task_id']}, "
            rf"run_id={re.escape(ti['dag_run_id'])}, map_index={ti['map_index']}, "
            rf".*try_number={ti['try_number']}, "
        )
        self._airflow.wait_until("the scheduler's notice", lambda: heard.search(log.read_text()))

    def respond_at_once(self, form: FormDetail, option: str = "Resume", **values: Any) -> None:
        """As `respond`, but as fast as a program is."""
        ti = form["task_instance"]
        path = (
            f"/dags/{ti['dag_id']}/dagRuns/{ti['dag_run_id']}/taskInstances/{ti['task_id']}/"
            f"{ti['map_index']}/hitlDetails"
        )
        fields = {name: param["value"] for name, param in form["params"].items()}
        body = {"chosen_options": [option], "params_input": {**fields, **values}}
        self._airflow.api.request("PATCH", path, body)
