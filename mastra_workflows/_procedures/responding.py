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
from mastra_workflows._procedures.resuming import ResumeOptions, supports_for_each_index
from mastra_workflows._procedures.waiting import wait
from mastra_workflows.errors import (
    InvalidResumeDataError,
    MastraError,
    NotSuspendedError,
    ResponseLostError,
    ResumeSchemaChangedError,
    ServerLostError,
)
from mastra_workflows.hitl._pending_requests import PendingRequest, pending_requests

log = logging.getLogger(__name__)

SCHEMA_CHANGED = "the resume schema has changed since the form was shown"
"""The validation error of a response to an outdated form."""


def respond(
    server: Server,
    pending_request: PendingRequest,
    resume_data: JSON,
    *,
    responded_by: JSON,
    is_retry: bool,
    waiting: WaitOptions,
) -> Procedure[WorkflowRun]:
    """Resume the suspended step of a pending request, idempotently.

    While one branch of a run executes, the server accepts no resume for the other branches, even if
    they are suspended. So this waits until the whole run is suspended. A server that cannot resume
    a single item of a ``foreach`` gives the response to all suspended items.

    Args:
        responded_by: who responded, a name or an object; stored in the run's request context.
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
    require_instance(
        "pending_request", pending_request, PendingRequest, "a pending request of a suspended run"
    )
    require_flags(is_retry=is_retry)
    server = server.patient(max(server.retry.seconds, waiting.outage_timeout))
    server = server.lasting(is_run_known=True)
    suspension = pending_request.suspension
    chooses = suspension.for_each_index is not None and (yield from supports_for_each_index(server))
    context = {f"respondedBy.{suspension.name}": responded_by} if responded_by else None
    meant = ResumeOptions(
        step=suspension.step,
        resume_data=resume_data,
        for_each_index=suspension.for_each_index if chooses else None,
        suspended_at=suspension.suspended_at,
        request_context=context,
    )
    until_it_rests = dataclasses.replace(waiting, on_suspend="return", is_known=True)
    try:
        if server.check_data:  # a deploy may have caused the outage; 0.x accepts any data
            server.known.details.pop(pending_request.workflow_id, None)
        while True:
            try:
                return (
                    yield from resume(
                        server,
                        pending_request.workflow_id,
                        pending_request.run_id,
                        meant,
                        is_retry=is_retry,
                        waiting=until_it_rests,
                    )
                )
            except NotSuspendedError as error:
                if not error.run.is_active:
                    raise
                log.info(
                    "%s; sending the response to %r when the run is suspended.",
                    error.run,
                    suspension.name,
                )
            yield from wait(
                server, pending_request.workflow_id, pending_request.run_id, until_it_rests
            )
    except InvalidResumeDataError as error:
        now = yield from _asked_now(server, pending_request)
        if now is None or now.suspension.resume_schema == suspension.resume_schema:
            raise
        raise ResumeSchemaChangedError(
            f"{error} The resume schema has changed since the suspension, for example by a deploy "
            "of the workflow. Ask again with the current form.",
            validation_errors=(*error.validation_errors, SCHEMA_CHANGED),
            pending_request=now,
        ) from error
    except ResponseLostError:
        raise
    except MastraError as error:
        if isinstance(error, ServerLostError) or server.may_pass(error):
            raise ServerLostError(
                f"The response to step {suspension.name!r} of run {pending_request.run_id!r} of "
                f"workflow {pending_request.workflow_id!r} was not delivered; as far as is "
                f"known, the step is still suspended. Send the response again. {error}"
            ) from error
        raise


def _asked_now(server: Server, pending_request: PendingRequest) -> Procedure[PendingRequest | None]:
    """Return the request with the workflow's current schemas; None if it is no longer pending."""
    yield from details(server, pending_request.workflow_id)
    run = yield from read_run(server, pending_request.workflow_id, pending_request.run_id)
    identity = pending_request.suspension.identity
    found = (
        item
        for item in pending_requests(run, pending_request.url)
        if item.suspension.identity == identity
    )
    return next(found, None)
