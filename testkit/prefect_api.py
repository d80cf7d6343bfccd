"""A client of Prefect's REST API for tests and the playground."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from typing import Any

from testkit.json_api import ApiError, JsonApi, quote

JsonObject = dict[str, Any]
LOG_PAGE = 200
BUSY_TRIES = 20
BUSY_SECONDS = 0.5


class PrefectApi(JsonApi):
    """A client of a Prefect server.

    Each method returns the server's response unchanged. For other endpoints use `request`, with
    paths relative to ``/api``.

    Args:
        api_url: such as ``http://127.0.0.1:4200/api``.
    """

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        query: Mapping[str, str | int | float | bool] | None = None,
    ) -> Any:
        """Send one request, and retry it while the server's database is busy (503).

        A 503 means that nothing was changed; Prefect's own clients retry it, too. See
        `JsonApi.request`.
        """
        for _ in range(BUSY_TRIES - 1):
            try:
                return super().request(method, path, body, query)
            except ApiError as error:
                if error.status != 503:
                    raise
            time.sleep(BUSY_SECONDS)
        return super().request(method, path, body, query)

    def healthy(self) -> bool:
        """Whether the server is ready for requests."""
        return self.request("GET", "/health") is True

    def deployments(self) -> list[JsonObject]:
        """Return all deployments, up to 200."""
        found: list[JsonObject] = self.request("POST", "/deployments/filter", {})
        return found

    def deployment(self, name: str) -> JsonObject:
        """Return a deployment by its full name, ``flow/deployment``.

        Raises:
            ApiError: the deployment does not exist (404).
        """
        flow, _, deployment = name.partition("/")
        path = f"/deployments/name/{quote(flow)}/{quote(deployment)}"
        found: JsonObject = self.request("GET", path)
        return found

    def create_flow_run(self, deployment: str, parameters: JsonObject | None = None) -> str:
        """Create a flow run of a deployment that starts now, and return its id.

        Args:
            deployment: the full name, ``flow/deployment``.
            parameters: the flow's arguments; missing ones default to the deployment's.
        """
        path = f"/deployments/{self.deployment(deployment)['id']}/create_flow_run"
        body = {"parameters": parameters or {}, "idempotency_key": uuid.uuid4().hex}
        return str(self.request("POST", path, body)["id"])

    def flow_run(self, flow_run_id: str) -> JsonObject:
        """Return a flow run; its ``state`` has a ``type``, a ``name`` and a ``message``."""
        found: JsonObject = self.request("GET", f"/flow_runs/{flow_run_id}")
        return found

    def states(self, flow_run_id: str) -> list[JsonObject]:
        """Return all states of a flow run, the oldest first."""
        query = {"flow_run_id": flow_run_id}
        found: list[JsonObject] = self.request("GET", "/flow_run_states/", query=query)
        return sorted(found, key=lambda state: str(state["timestamp"]))

    def task_runs(self, flow_run_id: str) -> list[JsonObject]:
        """Return the task runs of a flow run, up to 200, with their states."""
        body = {"flow_runs": {"id": {"any_": [flow_run_id]}}}
        found: list[JsonObject] = self.request("POST", "/task_runs/filter", body)
        return found

    def cancel_flow_run(self, flow_run_id: str) -> None:
        """Request the cancellation of a flow run: set the state Cancelling."""
        body = {"state": {"type": "CANCELLING", "name": "Cancelling"}}
        self.request("POST", f"/flow_runs/{flow_run_id}/set_state", body)

    def resume_flow_run(self, flow_run_id: str, run_input: JsonObject) -> str:
        """Submit the form of a paused flow run, like the UI.

        Returns:
            The reason if the form was rejected; otherwise an empty string.
        """
        path = f"/flow_runs/{flow_run_id}/resume"
        result: JsonObject = self.request("POST", path, {"run_input": run_input})
        return "" if result["status"] == "ACCEPT" else str(result["details"]["reason"])

    def log(self, flow_run_id: str) -> str:
        """Return all log messages of a flow run and its tasks, one per line."""
        lines: list[str] = []
        body: JsonObject = {
            "logs": {"flow_run_id": {"any_": [flow_run_id]}},
            "sort": "TIMESTAMP_ASC",
            "limit": LOG_PAGE,
        }
        while page := self.request("POST", "/logs/filter", {**body, "offset": len(lines)}):
            lines += [str(entry["message"]) for entry in page]
        return "\n".join(lines)
