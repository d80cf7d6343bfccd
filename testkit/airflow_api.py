"""Airflow's REST API (v2), as far as tests and a playground need it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from testkit.json_api import ApiError, JsonApi, quote

JsonObject = dict[str, Any]

# What an event in a log tells beside its message and its details: when, and from where.
LOG_CONTEXT = frozenset(
    {"timestamp", "level", "event", "logger", "filename", "lineno"}
    | {"ti_id", "dag_id", "run_id", "task_id", "map_index", "try_number"}
)


class AirflowApi(JsonApi):
    """A client that has logged in to an Airflow with the simple auth manager.

    Each method is one request and gives the server's answer as it is; what has no method here is
    asked for with `request`, whose paths begin below ``/api/v2``. ``map_index`` is -1 for a task
    that is not mapped.

    Args:
        url: the base URL of the API server.
        username: who logs in.
        password: their password.
    """

    def __init__(self, url: str, username: str, password: str) -> None:
        super().__init__(f"{url}/api/v2")
        login = {"username": username, "password": password}
        token = JsonApi(url).request("POST", "/auth/token", login)["access_token"]
        self.headers["Authorization"] = f"Bearer {token}"

    def health(self) -> JsonObject:
        """Per component its status and its latest heartbeat."""
        return self._object("GET", "/monitor/health")

    def import_errors(self) -> list[JsonObject]:
        """The DAG files that could not be parsed: ``filename`` and ``stack_trace`` of each."""
        errors: list[JsonObject] = self.request("GET", "/importErrors")["import_errors"]
        return errors

    def dag(self, dag_id: str) -> JsonObject | None:
        """The DAG, or None while the DAG processor has not found it."""
        return self._unless_missing(f"/dags/{quote(dag_id)}")

    def trigger_dag(
        self,
        dag_id: str,
        *,
        conf: JsonObject | None = None,
        run_id: str | None = None,
        logical_date: datetime | None = None,
    ) -> str:
        """Start a DAG run, and return its run id.

        Args:
            dag_id: the DAG.
            conf: what the run is given.
            run_id: its id; by default one that Airflow makes up.
            logical_date: its logical date, and the time from which it may run; by default it has
                none, and may run at once.
        """
        date = logical_date and logical_date.isoformat()
        body: JsonObject = {"logical_date": date, "conf": conf or {}}
        if date is not None:
            body["run_after"] = date
        if run_id is not None:
            body["dag_run_id"] = run_id
        return str(self._object("POST", f"/dags/{quote(dag_id)}/dagRuns", body)["dag_run_id"])

    def dag_run(self, dag_id: str, run_id: str) -> JsonObject:
        """A DAG run; its ``state`` is queued, running, success or failed."""
        return self._object("GET", _run(dag_id, run_id))

    def set_dag_run_state(
        self, dag_id: str, run_id: str, state: Literal["success", "failed", "queued"]
    ) -> None:
        """Mark a DAG run, and with it the tasks that have not ended."""
        self.request("PATCH", _run(dag_id, run_id), {"state": state})

    def clear_dag_run(self, dag_id: str, run_id: str) -> None:
        """Clear every task of a DAG run, so that they run again."""
        body = {"dry_run": False, "only_failed": False}
        self.request("POST", f"{_run(dag_id, run_id)}/clear", body)

    def task_instances(self, dag_id: str, run_id: str) -> list[JsonObject]:
        """Every task instance of a DAG run, up to 100, in its latest try."""
        answer = self.request("GET", f"{_run(dag_id, run_id)}/taskInstances", query={"limit": 100})
        instances: list[JsonObject] = answer["task_instances"]
        return instances

    def task_instance(
        self, dag_id: str, run_id: str, task_id: str, map_index: int = -1
    ) -> JsonObject | None:
        """A task instance in its latest try, or None while the scheduler has not made it.

        Among its fields: ``state``, ``try_number``, ``max_tries``, ``pid``, ``trigger``.
        """
        return self._unless_missing(_task(dag_id, run_id, task_id, map_index))

    def task_tries(
        self, dag_id: str, run_id: str, task_id: str, map_index: int = -1
    ) -> list[JsonObject]:
        """Every try of a task instance, the first one first, with its ``state``."""
        path = f"{_task(dag_id, run_id, task_id, map_index)}/tries"
        tries: list[JsonObject] = self.request("GET", path)["task_instances"]
        return sorted(tries, key=lambda one: int(one["try_number"]))

    def set_task_state(
        self,
        dag_id: str,
        run_id: str,
        task_id: str,
        state: Literal["success", "failed", "skipped"],
        map_index: int = -1,
    ) -> None:
        """Mark one task instance, whatever it is doing."""
        path = _task(dag_id, run_id, task_id, map_index)
        self.request("PATCH", path, {"new_state": state})

    def clear_tasks(
        self, dag_id: str, run_id: str, task_ids: Sequence[str | tuple[str, int]]
    ) -> None:
        """Clear task instances, so that they run again.

        Args:
            dag_id: the DAG.
            run_id: its run.
            task_ids: ids of tasks (with all their map indexes), or pairs of id and map index.
        """
        body = {
            "dry_run": False,
            "only_failed": False,
            "dag_run_id": run_id,
            "task_ids": list(task_ids),
        }
        self.request("POST", f"/dags/{quote(dag_id)}/clearTaskInstances", body)

    def xcom(
        self,
        dag_id: str,
        run_id: str,
        task_id: str,
        key: str = "return_value",
        map_index: int = -1,
    ) -> Any:
        """The value of an XCom, as the JSON that it was stored as.

        Raises:
            ApiError: there is none of this key (404).
        """
        path = f"{_run(dag_id, run_id)}/taskInstances/{quote(task_id)}/xcomEntries/{quote(key)}"
        query = {"map_index": map_index, "stringify": False}
        return self._object("GET", path, query=query)["value"]

    def task_log(
        self,
        dag_id: str,
        run_id: str,
        task_id: str,
        *,
        try_number: int = 1,
        map_index: int = -1,
    ) -> str:
        """The log of one try as text: per event its level, its message and details, if any."""
        path = f"{_run(dag_id, run_id)}/taskInstances/{quote(task_id)}/logs/{try_number}"
        query = {"map_index": map_index, "full_content": True}
        events = self._object("GET", path, query=query)["content"]
        return "\n".join(_log_line(event) for event in events)

    def _object(self, method: str, path: str, body: object = None, **options: Any) -> JsonObject:
        answer: JsonObject = self.request(method, path, body, **options)
        return answer

    def _unless_missing(self, path: str) -> JsonObject | None:
        try:
            return self._object("GET", path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise


def _run(dag_id: str, run_id: str) -> str:
    return f"/dags/{quote(dag_id)}/dagRuns/{quote(run_id)}"


def _task(dag_id: str, run_id: str, task_id: str, map_index: int) -> str:
    path = f"{_run(dag_id, run_id)}/taskInstances/{quote(task_id)}"
    return path if map_index == -1 else f"{path}/{map_index}"


def _log_line(event: str | JsonObject) -> str:
    if isinstance(event, str):
        return event
    details = {name: value for name, value in event.items() if name not in LOG_CONTEXT}
    text = f"{event.get('level', '')} {event.get('event', '')}".strip()
    return f"{text} {details}" if details else text
