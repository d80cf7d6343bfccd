"""Define the README's flow, and a flow that submits its tasks to other processes."""

import os
from typing import Any

from prefect import flow, task
from prefect.task_runners import ProcessPoolTaskRunner

from prefect_mastra import MastraServer, run_workflow, start_workflow, wait_for_workflow_run


@flow
def daily_report(city: str = "Hamburg") -> None:
    server = MastraServer(base_url=os.environ["MASTRA_URL"])
    outcome = run_workflow(server, "orderReport", {"city": city})
    print(outcome["result"]["text"])


@task
def text_of(outcome: dict[str, Any]) -> str:
    return str(outcome["result"]["text"])


RUNNER: Any = ProcessPoolTaskRunner(max_workers=2)


@flow(task_runner=RUNNER)
def in_processes(city: str = "Hamburg") -> str:
    server = MastraServer(base_url=os.environ["MASTRA_URL"])
    run = start_workflow.submit(server, "orderReport", {"city": city}, key="report")
    wait: Any = wait_for_workflow_run
    outcome = wait.submit(server, run)
    return text_of.submit(outcome).result()


if __name__ == "__main__":
    daily_report.serve(name="served")
