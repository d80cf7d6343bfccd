"""Answering what a suspended step asks."""

from __future__ import annotations

import dataclasses
import logging

from mastra_workflows.errors import NotSuspendedError
from mastra_workflows.models import JSON, WorkflowRun
from mastra_workflows.procedures._effects import Procedure, Server
from mastra_workflows.procedures.attaching import attach_or_resume
from mastra_workflows.procedures.resuming import Answer, chooses_items
from mastra_workflows.procedures.waiting import WaitOptions, wait
from mastra_workflows.questions import Question

log = logging.getLogger(__name__)


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
        As `resume` and `wait`.
    """
    suspension = question.suspension
    chooses = suspension.for_each_index is not None and (yield from chooses_items(server))
    context = {f"answeredBy.{suspension.name}": answered_by} if answered_by else None
    meant = Answer(
        step=suspension.step,
        resume_data=resume_data,
        for_each_index=suspension.for_each_index if chooses else None,
        suspended_at=suspension.suspended_at,
        request_context=context,
    )
    until_it_rests = dataclasses.replace(waiting, on_suspend="return")
    while True:
        try:
            return (
                yield from attach_or_resume(
                    server, question.workflow_id, question.run_id, meant, is_retry=is_retry
                )
            )
        except NotSuspendedError as error:
            if not error.run.is_active:
                raise
            log.info("%s; the answer to %r is given when it rests.", error.run, suspension.name)
        yield from wait(server, question.workflow_id, question.run_id, until_it_rests)
