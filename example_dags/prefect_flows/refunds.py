"""Refunds: one run of a workflow for each; approve small ones, leave large ones to a person.

Each run suspends until it is approved. A suspended run executes nothing on the Mastra server. To
try it, run `make server`, and then:

    MASTRA_URL=http://127.0.0.1:... python example_dags/prefect_flows/refunds.py
"""

import os
from typing import Any

from prefect import flow, get_run_logger

from prefect_mastra import (
    MastraServer,
    execute_workflow,
    resume_workflow,
    wait_for_workflow_run,
)

LIMIT = 5000
REQUESTS = [
    {"order": "A-1042", "amount": 4200, "reason": "arrived broken"},
    {"order": "A-1057", "amount": 950, "reason": "wrong colour"},
    {"order": "A-1061", "amount": 19900, "reason": "changed my mind"},
]


@flow
def refunds(server: MastraServer, requests: list[dict[str, Any]] = REQUESTS) -> dict[str, int]:
    """Pay the approved refunds.

    Args:
        server: the Mastra server, for example ``MastraServer.load("mastra")``.
        requests: order, amount in cents and reason of each refund.

    Returns:
        The refunded amounts in cents, by order.
    """
    log = get_run_logger()
    asked = execute_workflow.map(server, "refundApproval", requests, on_suspend="return")

    granted = []
    for run in asked.result():
        (suspension,) = run["suspensions"]
        refund = suspension["payload"]
        if refund["amount"] <= LIMIT:
            resume_data = {"approved": True, "note": "within the limit"}
            granted.append(resume_workflow(server, run, resume_data, step=suspension["step"]))
        else:
            log.info("A person has to decide on order %s: run %s", refund["order"], run["run_id"])

    done = wait_for_workflow_run.map(server, granted).result()
    return {run["result"]["order"]: run["result"]["refunded"] for run in done}


if __name__ == "__main__":
    refunds(MastraServer(base_url=os.environ["MASTRA_URL"]))
