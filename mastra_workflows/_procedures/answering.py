"""Respond to the pending request of a suspended step."""

from __future__ import annotations

import dataclasses
import logging

from mastra_workflows._arguments import require_instance
from mastra_workflows._models import JSON, WorkflowRun
from mastra_workflows._options import WaitOptions
from mastra_workflows._policy import require_flags
from mastra_workflows._procedures._effects import Procedure, Server
from mastra_workflows._procedures.attaching import resume
from mastra_workflows._procedures.reading import details, read_run
from mastra_workflows._procedures.resuming import Answer, supports_for_each_index
from mastra_workflows._procedures.waiting import wait
from mastra_workflows.errors import (
    AnswerLostError,
    InvalidResumeDataError,
    MastraError,
    NotSuspendedError,
    ResumeSchemaChangedError,
    ServerLostError,
)
from mastra_workflows.hitl._questions import Question, questions

log = logging.getLogger(__name__)

SCHEMA_CHANGED = "the step asks for something else since the workflow was changed"
"""The validation error of a response to an outdated form."""


def answer(
    server: Server,
    question: Question,
    resume_data: JSON,
    *,
    answered_by: JSON,
    is_retry: bool,
    waiting: WaitOptions,
) -> Procedure[WorkflowRun]:
    """Resume the suspended step of a pending request, idempotently.

    While one branch of a run executes, the server accepts no resume for the other branches, even if
    they are suspended. So this waits until the whole run is suspended. A server that cannot resume
    a single item of a ``foreach`` gives the response to all suspended items.

    Args:
        answered_by: who responded, a name or an object; stored in the run's request context.
        is_retry: whether an earlier attempt may have delivered this response.
        waiting: how to wait for other branches.

    Returns:
        The record, as returned by `resume`.

    Raises:
        NotSuspendedError: the request is no longer pending: somebody else has responded, or the run
            has finished.
        ResumeSchemaChangedError: the resume schema has changed, as after a deploy.
        ServerLostError: the server was unavailable for longer than ``outage_timeout``; the message
            says whether the response was delivered.
        Also the errors of `resume` and `wait`.
    """
    require_instance("question", question, Question, "a question of a suspended run")
    require_flags(is_retry=is_retry)
    server = server.patient(max(server.retry.seconds, waiting.outage_timeout))
    server = server.lasting(is_run_known=True)
    suspension = question.suspension
    chooses = suspension.for_each_index is not None and (yield from supports_for_each_index(server))
    context = {f"answeredBy.{suspension.name}": answered_by} if answered_by else None
    meant = Answer(
        step=suspension.step,
        resume_data=resume_data,
        for_each_index=suspension.for_each_index if chooses else None,
        suspended_at=suspension.suspended_at,
        request_context=context,
    )
    until_it_rests = dataclasses.replace(waiting, on_suspend="return", is_known=True)
    try:
        if server.check_data:  # a deploy may have caused the outage; 0.x accepts any data
            server.known.details.pop(question.workflow_id, None)
        while True:
            try:
                return (
                    yield from resume(
                        server,
                        question.workflow_id,
                        question.run_id,
                        meant,
                        is_retry=is_retry,
                        waiting=until_it_rests,
                    )
                )
            except NotSuspendedError as error:
                if not error.run.is_active:
                    raise
                log.info("%s; the answer to %r is given when it rests.", error.run, suspension.name)
            yield from wait(server, question.workflow_id, question.run_id, until_it_rests)
    except InvalidResumeDataError as error:
        now = yield from _asked_now(server, question)
        if now is None or now.suspension.resume_schema == suspension.resume_schema:
            raise
        raise ResumeSchemaChangedError(
            f"{error} The resume schema of the step has changed since it asked, as by a deploy of "
            "the workflow: ask again, with the form that it has now.",
            validation_errors=(*error.validation_errors, SCHEMA_CHANGED),
            question=now,
        ) from error
    except AnswerLostError:
        raise
    except MastraError as error:
        if isinstance(error, ServerLostError) or server.may_pass(error):
            raise ServerLostError(
                f"The answer to step {suspension.name!r} of run {question.run_id!r} of workflow "
                f"{question.workflow_id!r} was not delivered; the step is still suspended as far "
                f"as is known. Give the answer again. {error}"
            ) from error
        raise


def _asked_now(server: Server, question: Question) -> Procedure[Question | None]:
    """Return the request with the workflow's current schemas; None if it is no longer pending."""
    yield from details(server, question.workflow_id)
    run = yield from read_run(server, question.workflow_id, question.run_id)
    identity = question.suspension.identity
    found = (item for item in questions(run, question.url) if item.suspension.identity == identity)
    return next(found, None)
