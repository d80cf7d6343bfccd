"""Refunds: one run of a workflow each; small ones are granted, large ones are left for a person.

Each run suspends and asks for an approval. While it waits nothing runs, neither here nor on the
Mastra server. By hand, against the sample server that `make server` starts:

    MASTRA_URL=http://127.0.0.1:... python example_dags/prefect_flows/refunds.py
"""

import os
from typing import Any

from prefect import flow, get_run_logger, unmapped

from prefect_mastra import (
    MastraServer,
    resume_workflow,
    start_workflow,
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
    """Pay back what was approved.

    Args:
        server: such as ``MastraServer.load("mastra")``.
        requests: order, amount in cents and reason of each refund.

    Returns:
        The cents that were paid back, by order.
    """
    log = get_run_logger()
    started = start_workflow.map(
        unmapped(server), "refundApproval", requests, key=[request["order"] for request in requests]
    )
    asked = wait_for_workflow_run.map(unmapped(server), started, on_suspend="return")

    granted = []
    for run in asked.result():
        (suspension,) = run["suspensions"]
        refund = suspension["payload"]
        if refund["amount"] <= LIMIT:
            answer = {"approved": True, "note": "within the limit"}
            granted.append(resume_workflow(server, run, answer, step=suspension["step"]))
        else:
            log.info("A person has to decide on order %s: run %s", refund["order"], run["run_id"])

    done = wait_for_workflow_run.map(unmapped(server), granted).result()
    return {run["result"]["order"]: run["result"]["refunded"] for run in done}


if __name__ == "__main__":
    refunds(MastraServer(base_url=os.environ["MASTRA_URL"]))
