"""An inbox: a person is asked about every refund that waits for an approval, whoever began it.

Start the workflow anywhere, in Mastra Studio or by an application. Each question becomes a flow run
of ``refund_question``, which is suspended until somebody resumes it on its page and fills in the
form; nothing runs meanwhile.
"""

from typing import Any

from prefect import flow
from prefect.deployments import run_deployment

from prefect_mastra import MastraServer, ask_and_resume, open_questions


@flow(log_prints=True)
def refund_inbox(server: MastraServer, deployment: str = "refund-question/playground") -> None:
    """Give each open question a flow run of its own; to be scheduled, such as once a minute.

    Prefect makes one flow run of an idempotency key, so each question is asked once, however often
    and by however many flow runs it is found here.

    Args:
        server: such as ``MastraServer.load("mastra")``.
        deployment: that of ``refund_question``.
    """
    for question in open_questions(server, "refundApproval"):
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
    """Have a person answer one question.

    Args:
        server: such as ``MastraServer.load("mastra")``.
        question: which one, as ``open_questions`` names it.

    Returns:
        The cents that were paid back.
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
