"""Human-in-the-loop on the page of the flow run: an approval, a revise loop, several reviewers.

Each flow run pauses when its workflow suspends. Press *Resume* on its page and fill in the form:
the workflow resumes with the response. *Cancel* cancels the flow run and the workflow's run. To try
it, start a Prefect server, run `make server`, and then:

    MASTRA_URL=http://127.0.0.1:... python example_dags/prefect_flows/serve.py

Pass ``responses`` to run the same flows without a person.
"""

from typing import Any

from prefect import flow

from mastra_workflows.hitl import ASK, PendingRequest
from prefect_mastra import MastraServer, ask_and_resume, run_workflow, start_workflow

LIMIT = 5000


@flow
def refund_approval(
    server: MastraServer, order: str = "A-1061", amount: int = 19900, reason: str = "broken"
) -> int:
    """Pay a refund: small ones at once, large ones after a person's approval.

    Args:
        server: the Mastra server, for example ``MastraServer.load("mastra")``.
        order: the number of the order.
        amount: the amount in cents.
        reason: the customer's reason.

    Returns:
        The refunded amount in cents.
    """

    def within_the_limit(pending_request: PendingRequest) -> Any:
        if pending_request.suspension.payload["amount"] > LIMIT:
            return ASK
        return {"approved": True, "note": "within the limit"}

    run = start_workflow(
        server, "refundApproval", {"order": order, "amount": amount, "reason": reason}
    )
    outcome = ask_and_resume(server, run, responses={"approve": within_the_limit})
    return int(outcome["result"]["refunded"])


@flow
def revised_text(
    server: MastraServer, topic: str = "Ada Lovelace", responses: dict[str, Any] | None = None
) -> str:
    """Revise a text until a person approves it, in any number of rounds.

    In a deployment no process runs while the person decides: the flow run is suspended, and runs
    from its top again after each response. ``start_workflow`` then attaches to the run that it
    started before.

    Args:
        server: the Mastra server, for example ``MastraServer.load("mastra")``.
        topic: the topic of the text.
        responses: responses in place of a person's, for example
            ``{"review": {"verdict": "approve"}}``.

    Returns:
        The approved text.
    """
    run = start_workflow(server, "reviseLoop", {"topic": topic})
    outcome = ask_and_resume(
        server, run, responses=responses, pause="pause" if responses else "suspend"
    )
    return str(outcome["result"]["text"])


@flow
def reviewed_plan(
    server: MastraServer, document: str = "The plan", responses: dict[str, Any] | None = None
) -> list[str]:
    """Let two departments review a document, one form after the other.

    No response within a day counts as a rejection.

    Args:
        server: the Mastra server, for example ``MastraServer.load("mastra")``.
        document: the document to review.
        responses: responses in place of a person's, by department.

    Returns:
        One line for each department with its decision.
    """
    outcome = run_workflow(
        server,
        "parallelReview",
        {"document": document},
        on_suspend="ask",
        responses=responses,
        response_timeout=24 * 3600,
        on_response_timeout="respond",
        default_response={"approved": False, "note": "no response in a day"},
    )
    said = {True: "yes", False: "no"}
    return [
        f"{given['step']}: {said[given['resume_data']['approved']]}"
        for given in outcome["responses"]
    ]
