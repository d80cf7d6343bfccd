"""Inbox: show a form for every refund that waits for an approval, from any source.

Start the workflow in Mastra Studio or from an application. Each pending request becomes a flow run
of ``refund_question``. It is suspended until a person resumes it on its page and fills in the form.
No process runs meanwhile.
"""

from typing import Any

from prefect import flow
from prefect.deployments import run_deployment

from prefect_mastra import MastraServer, ask_and_resume, list_pending_requests


@flow(log_prints=True)
def refund_inbox(server: MastraServer, deployment: str = "refund-question/playground") -> None:
    """Start one flow run for each pending request. Schedule it, for example once a minute.

    Prefect creates one flow run for each idempotency key, so each pending request is shown once,
    even if several runs of this flow find it.

    Args:
        server: the Mastra server, for example ``MastraServer.load("mastra")``.
        deployment: the deployment of ``refund_question``.
    """
    for question in list_pending_requests(server, "refundApproval"):
        print(f"Run {question['run_id']} waits at {'.'.join(question['step'])}")
        run_deployment(
            deployment,
            parameters={"question": question},
            flow_run_name=question["key"],
            idempotency_key=question["key"],
            as_subflow=False,
            timeout=0,
        )


@flow
def refund_question(server: MastraServer, question: dict[str, Any]) -> int:
    """Show one pending request to a person, and resume the run with the response.

    Args:
        server: the Mastra server, for example ``MastraServer.load("mastra")``.
        question: the pending request, as ``list_pending_requests`` returns it.

    Returns:
        The refunded amount in cents.
    """
    outcome = ask_and_resume(
        server,
        question,
        step=question["step"],
        for_each_index=question["for_each_index"],
        suspended_at=question["suspended_at"],
        pause="suspend",
    )
    return int(outcome["result"]["refunded"])
