"""A person answers on the page of the flow run: an approval, a revise loop, several reviewers.

Each flow run pauses when its workflow asks something. Press *Resume* on its page, fill in the form,
and the workflow goes on with the answer; *Cancel* cancels the workflow too. By hand, beside a
Prefect server and the sample server that `make server` starts:

    MASTRA_URL=http://127.0.0.1:... python example_dags/prefect_flows/serve.py

The same flows run without anybody: give them ``answers``.
"""

from typing import Any

from prefect import flow

from mastra_workflows.questions import ASK, Question
from prefect_mastra import MastraServer, ask_and_resume, run_workflow, start_workflow

LIMIT = 5000


@flow
def refund_approval(
    server: MastraServer, order: str = "A-1061", amount: int = 19900, reason: str = "broken"
) -> int:
    """Pay a refund back: small ones at once, large ones when a person approves.

    Args:
        server: such as ``MastraServer.load("mastra")``.
        order: which order.
        amount: how much, in cents.
        reason: what the customer said.

    Returns:
        The cents that were paid back.
    """

    def within_the_limit(question: Question) -> Any:
        if question.suspension.payload["amount"] > LIMIT:
            return ASK
        return {"approved": True, "note": "within the limit"}

    run = start_workflow(
        server, "refundApproval", {"order": order, "amount": amount, "reason": reason}
    )
    outcome = ask_and_resume(server, run, answers={"approve": within_the_limit})
    return int(outcome["result"]["refunded"])


@flow
def revised_text(
    server: MastraServer, topic: str = "Ada Lovelace", answers: dict[str, Any] | None = None
) -> str:
    """Have a text revised until a person approves it: as many rounds as it takes.

    Deployed, nothing runs while the person thinks: the flow run is suspended, and runs from its top
    again after each answer. The start of the workflow then finds the run that it has started.

    Args:
        server: such as ``MastraServer.load("mastra")``.
        topic: what the text is about.
        answers: answers in place of a person's, such as ``{"review": {"verdict": "approve"}}``.

    Returns:
        The text.
    """
    run = start_workflow(server, "reviseLoop", {"topic": topic})
    outcome = ask_and_resume(server, run, answers=answers, pause="pause" if answers else "suspend")
    return str(outcome["result"]["text"])


@flow
def reviewed_plan(
    server: MastraServer, document: str = "The plan", answers: dict[str, Any] | None = None
) -> list[str]:
    """Have a document reviewed by two departments, which are asked one after the other.

    A day without an answer is a no.

    Args:
        server: such as ``MastraServer.load("mastra")``.
        document: what is reviewed.
        answers: answers in place of a person's, by department.

    Returns:
        Who said what.
    """
    outcome = run_workflow(
        server,
        "parallelReview",
        {"document": document},
        on_suspend="ask",
        answers=answers,
        response_timeout=24 * 3600,
        on_response_timeout="answer",
        default_answer={"approved": False, "note": "no answer in a day"},
    )
    said = {True: "yes", False: "no"}
    return [f"{given['step']}: {said[given['answer']['approved']]}" for given in outcome["answers"]]
