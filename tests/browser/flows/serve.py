"""Serve deployments of the packaged flow that wait for a response."""

from __future__ import annotations

from prefect import serve
from prefect.deployments.runner import RunnerDeployment

from prefect_mastra import run_workflow

ask = run_workflow.with_options(name="ask")

if __name__ == "__main__":
    serve(
        RunnerDeployment.from_entrypoint(
            f"{__file__}:ask",
            name="browser",
            parameters={"on_suspend": "ask", "max_poll_interval": 1},
        )
    )
