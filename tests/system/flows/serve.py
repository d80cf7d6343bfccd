"""Deployments that show that a Prefect works; they know nothing of Mastra."""

from __future__ import annotations

import time

from prefect import flow, serve
from prefect.deployments.runner import RunnerDeployment


@flow(log_prints=True)
def stack_probe(name: str, seconds: float = 0) -> str:
    print(f"Hello, {name}")
    time.sleep(seconds)
    return name


if __name__ == "__main__":
    serve(RunnerDeployment.from_flow(stack_probe, name="probe"))
