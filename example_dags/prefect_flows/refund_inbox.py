"""Inbox: show a form for every refund that waits for an approval, from any source.

Start the workflow in Mastra Studio or from an application. Each pending request becomes a flow run
of ``refund_request``. It is suspended until a person resumes it on its page and fills in the form.
No process runs meanwhile.
"""

from typing import Any

from prefect import flow
from prefect.deployments import run_deployment

from prefect_mastra import MastraServer, ask_and_resume, list_pending_requests


@flow(log_prints=True)
def refund_inbox(server: MastraServer, deployment: str = "refund-request/playground") -> None:
    """Start one flow run for each pending request. Schedule it, for example once a minute.

    Prefect creates one flow run for each idempotency key, so each pending request is shown once,
    even if several runs of this flow find it.

    Args:
        server: the Mastra server, for example ``MastraServer.load("mastra")``.
        deployment: the deployment of ``refund_request``.
    """
    for pending_request in list_pending_requests(server, "refundApproval"):
        print(f"Run {pending_request['run_id']} waits at {'.'.join(pending_request['step'])}")
        run_deployment(
            deployment,
            parameters={"pending_request": pending_request},
            flow_run_name=pending_request["key"],
            idempotency_key=pending_request["key"],
            as_subflow=False,
            timeout=0,
        )


@flow
def refund_request(server: MastraServer, pending_request: dict[str, Any]) -> int:
    """Show one pending request to a person, and resume the run with the response.

    Args:
        server: the Mastra server, for example ``MastraServer.load("mastra")``.
        pending_request: the pending request, as ``list_pending_requests`` returns it.

    Returns:
        The refunded amount in cents.
    """
    outcome = ask_and_resume(
        server,
        pending_request,
        step=pending_request["step"],
        for_each_index=pending_request["for_each_index"],
        suspended_at=pending_request["suspended_at"],
        pause="suspend",
    )
    return int(outcome["result"]["refunded"])
