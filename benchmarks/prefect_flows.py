"""Serve one deployment for each compared way of waiting for a workflow."""

from __future__ import annotations

import time
from typing import Any

import requests
from prefect import flow, serve
from prefect.deployments.runner import RunnerDeployment

from prefect_mastra import arun_workflow, run_workflow

POLL_SECONDS = 5


@flow(name="polling-loop")
def polling_loop(server: dict[str, str], workflow_id: str, input_data: Any) -> Any:
    """Start a run and poll it, as users do without this package."""
    url = f"{server['base_url']}/api/workflows/{workflow_id}"
    created = requests.post(f"{url}/create-run", json={}, timeout=30)
    created.raise_for_status()
    run_id = created.json()["runId"]
    body = {"inputData": input_data}
    requests.post(f"{url}/start?runId={run_id}", json=body, timeout=30).raise_for_status()
    while True:
        response = requests.get(f"{url}/runs/{run_id}", timeout=30)
        response.raise_for_status()
        run = response.json()
        if run["status"] == "success":
            return run["result"]
        if run["status"] != "running":
            raise RuntimeError(f"Run {run_id} is {run['status']}")
        time.sleep(POLL_SECONDS)


if __name__ == "__main__":
    flows = (run_workflow, arun_workflow, polling_loop)
    serve(*(RunnerDeployment.from_flow(one, name="bench") for one in flows), limit=64)
