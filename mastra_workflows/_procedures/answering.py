"""Answering what a suspended step asks."""

from __future__ import annotations

import dataclasses
import logging

from mastra_workflows._arguments import require_instance
from mastra_workflows._models import JSON, WorkflowRun
from mastra_workflows._options import WaitOptions
from mastra_workflows._policy import require_flags
from mastra_workflows._procedures._effects import Procedure, Server
from mastra_workflows._procedures.attaching import attach_or_resume
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
"""One of the problems of an answer to a form that is out of date."""


def answer(
    server: Server,
    question: Question,
    resume_data: JSON,
    *,
    answered_by: JSON,
    is_retry: bool,
    waiting: WaitOptions,
) -> Procedure[WorkflowRun]:
    """Resume the step that asked, once.

    A run of several branches takes no answer while one of them is at work, though the others still
    wait for theirs. So this waits until the run is suspended again. A server that cannot choose one
    of several items of a ``foreach`` gives the answer to all that wait.

    Args:
        answered_by: who answered, a name or an object; kept in the run's request context.
        is_retry: whether an earlier try may have given this answer.
        waiting: how to wait for other branches.

    Returns:
        The record, as `resume` gives it.

    Raises:
        NotSuspendedError: the question is not open any more: somebody else has answered it, or the
            run is over.
        ResumeSchemaChangedError: the step asks for something else now, as after a deploy.
        ServerLostError: the server was unavailable for longer than ``outage_timeout``; the message
            says whether the answer was delivered.
        As `resume` and `wait`.
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
        if server.check_data:  # a deploy may be why the server was away; 0.x takes any data
            server.known.details.pop(question.workflow_id, None)
        while True:
            try:
                return (
                    yield from attach_or_resume(
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
    """The question as the workflow's definition has it now; None if it is not open any more."""
    yield from details(server, question.workflow_id)
    run = yield from read_run(server, question.workflow_id, question.run_id)
    identity = question.suspension.identity
    found = (item for item in questions(run, question.url) if item.suspension.identity == identity)
    return next(found, None)
