"""Serve a deployment of a Prefect server that shares its Mastra server with another one."""

from __future__ import annotations

from prefect import serve
from prefect.deployments.runner import RunnerDeployment

from prefect_mastra import run_workflow

shared_charge = run_workflow.with_options(name="shared-charge")

if __name__ == "__main__":
    serve(RunnerDeployment.from_entrypoint(f"{__file__}:shared_charge", name="nightly"))
