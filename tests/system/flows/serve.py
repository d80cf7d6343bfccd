"""Serve deployments for the system tests that inject no faults."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from prefect import flow, serve
from prefect.deployments.runner import RunnerDeployment

from prefect_mastra import MastraServer, arun_workflow, ask_and_resume, run_workflow, start_workflow


@flow(log_prints=True)
def stack_probe(name: str, seconds: float = 0) -> str:
    print(f"Hello, {name}")
    time.sleep(seconds)
    return name


@flow(log_prints=True)
def suspended(server: MastraServer, workflow_id: str, input_data: dict[str, Any]) -> None:
    """Runs from its top again after each response."""
    run = start_workflow(server, workflow_id, input_data)
    outcome = ask_and_resume(server, run, pause="suspend")
    print(f"Responses: {[given['resume_data']['verdict'] for given in outcome['responses']]}")


suspended_flow = run_workflow.with_options(name="suspended-flow")
suspended_flow_async = arun_workflow.with_options(name="suspended-flow-async")

INBOX = Path(__file__).parents[3] / "example_dags" / "prefect_flows" / "refund_inbox.py"
SUSPEND = {"on_suspend": "ask", "pause": "suspend"}


if __name__ == "__main__":
    serve(
        RunnerDeployment.from_flow(stack_probe, name="probe"),
        RunnerDeployment.from_entrypoint(f"{__file__}:suspended", name="ask"),
        *(
            RunnerDeployment.from_entrypoint(f"{__file__}:{name}", name="ask", parameters=SUSPEND)
            for name in ("suspended_flow", "suspended_flow_async")
        ),
        *(
            RunnerDeployment.from_entrypoint(f"{INBOX}:{name}", name="playground")
            for name in ("refund_inbox", "refund_request")
        ),
    )
