"""Collect responses to a run's pending requests, one after the other, until none is pending.

A request without a response by code pauses the flow run. The step's resume schema becomes the form,
and the request becomes the text above it. Each request has a unique key, so that a later attempt of
the flow finds a response that an earlier one received.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from math import inf
from typing import Any, TypedDict, Unpack, get_args
from uuid import UUID

from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate
from prefect.context import FlowRunContext
from prefect.exceptions import CancelledRun
from prefect.logging.loggers import flow_run_logger
from prefect.utilities.urls import url_for

from mastra_workflows import JSON, Duration, WorkflowRun
from mastra_workflows.errors import (
    ConfigurationError,
    InvalidResumeDataError,
    NotSuspendedError,
    ResumeSchemaChangedError,
    WaitTimeoutError,
)
from mastra_workflows.hitl import (
    ASK,
    NO_DEFAULT,
    OnResponseTimeout,
    PendingRequest,
    Responses,
    pending_requests,
)
from mastra_workflows.integration import (
    AskOptions,
    ResumeOptions,
    as_seconds,
    inline,
    require_choice,
)
from prefect_mastra._run_ids import enclosing_runs
from prefect_mastra._started_runs import UNREACHABLE
from prefect_mastra.hitl._pause import (
    NoResponseError,
    PausableFlowRun,
    PauseForm,
    PauseMode,
    PrefectCall,
    Procedure,
    RunCall,
)
from prefect_mastra.runs import MastraWorkflowRun, Outcome


class ResponseOptions(TypedDict, total=False):
    """The keyword arguments that `response_loop` passes to `AskOptions`."""

    responses: Responses | None
    on_response_timeout: OnResponseTimeout
    default_response: JSON


@dataclass(slots=True)
class ResponseLoop:
    """The loop that collects responses and resumes a run until no request is pending.

    Args:
        run: the run, with ``on_suspend="return"``.
        options: how to obtain the responses.
        pausable: the flow run that pauses and shows the forms.
        which: which requests to handle; by default all.
    """

    run: MastraWorkflowRun
    options: AskOptions
    pausable: PausableFlowRun
    which: ResumeOptions = field(default_factory=ResumeOptions)
    responses: list[dict[str, Any]] = field(default_factory=list)

    def steps(self) -> Procedure:
        """Wait for the run, collect a response and resume, until no request is pending.

        Returns:
            The run's outcome, with ``responses``.
        """
        while True:
            outcome: Outcome = yield RunCall("wait_for_completion")
            asked = [
                pending_request
                for pending_request in pending_requests(self.run.record, self.run.url)
                if self.which.fits(pending_request.suspension)
            ]
            if not asked:
                responses = yield from self._all_responses()
                return {**outcome, "responses": responses}
            yield from self._respond(asked[0])

    def _respond(self, pending_request: PendingRequest) -> Procedure:
        """Resolve a request: by code, by a person on the form, or by a response elsewhere."""
        data = self.options.by_code(pending_request)
        if data is not ASK:
            yield from self._resume(pending_request, data, "code")
            return
        deadline = time.monotonic() + (self.options.response_timeout or inf)
        wrong: tuple[str, ...] = ()
        for number in count(1):
            try:
                entered = yield from self._request(pending_request, number, wrong, deadline)
                data = pending_request.form.to_resume_data(entered)
                yield from self._resume(pending_request, data, "person")
            except InvalidResumeDataError as error:
                wrong = tuple(error.validation_errors)
                if isinstance(error, ResumeSchemaChangedError):
                    pending_request = error.pending_request
                self.run.logger.warning("%s Asking again.", error)
            except NoResponseError as pause:
                if pause.reason == "timed_out":
                    yield from self._handle_timeout(pending_request)
                    return
                if pause.reason == "closed":
                    self.run.logger.info(
                        "The request of step %r is no longer pending: it was resolved elsewhere, "
                        "or the run has ended. %s.",
                        pending_request.suspension.name,
                        self.run.record,
                    )
                    return
                wrong = ("The flow run was resumed without a response.",)
                self.run.logger.warning("%s; %s Asking again.", pending_request, wrong[0])
            else:
                return

    def _request(
        self, pending_request: PendingRequest, number: int, wrong: Sequence[str], deadline: float
    ) -> Procedure:
        form = _form(pending_request, number, wrong)
        entered = yield from self.pausable.find_response(form)
        if entered is not None:
            return entered
        parents = self._log_request(pending_request)
        step = inline(f"step {pending_request.suspension.name!r} of run {self.run.run_id!r}")
        artifacts = yield from self._create_artifacts(parents, step)

        def is_open() -> Procedure:
            record: WorkflowRun | None = yield RunCall("poll")
            return record is None or pending_request.is_open(record)

        try:
            entered = yield from self.pausable.request(form, deadline=deadline, is_open=is_open)
        except (NoResponseError, CancelledRun):
            yield from self._update_artifacts(artifacts, f"No response is needed for {step}.")
            raise
        yield from self._update_artifacts(artifacts, f"A person has responded to {step}.")
        return entered

    def _create_artifacts(self, parents: Sequence[UUID], step: str) -> Procedure:
        """Show the pause on the pages of the flow runs around the paused one.

        Their state stays Running, since Prefect counts each change to Running as an attempt.
        """
        artifacts = []
        page = url_for(self.pausable.flow_run)
        name = inline(self.pausable.flow_run.name)
        link = f"[{name}]({page})" if page else name
        for flow_run_id in parents:
            artifact = ArtifactCreate(
                type="markdown",
                description="A subflow run pauses until a person responds.",
                data=f"**Waiting for a response** in flow run {link}, for {step}.",
                flow_run_id=flow_run_id,
            )
            try:
                created = yield PrefectCall("create_artifact", (artifact,))
            except UNREACHABLE as error:
                self._log_no_artifact(error)
            else:
                artifacts.append(created.id)
        return artifacts

    def _update_artifacts(self, artifacts: Sequence[UUID], text: str) -> Procedure:
        for artifact_id in artifacts:
            try:
                yield PrefectCall("update_artifact", (artifact_id, ArtifactUpdate(data=text)))
            except UNREACHABLE as error:
                self._log_no_artifact(error)

    def _log_no_artifact(self, error: Exception) -> None:
        name = type(error).__name__
        self.run.logger.warning("The parent flow run cannot show the pause (%s).", name)

    def _resume(self, pending_request: PendingRequest, data: JSON, by: str) -> Procedure:
        """Resume the step and record the responder."""
        try:
            yield RunCall("respond", (pending_request, data))
        except NotSuspendedError as error:
            self.run.logger.warning("%s The response was too late and was not sent.", error)
            return
        step = pending_request.suspension.name
        # Do not log the response: it may be confidential. The outcome contains it.
        self.run.logger.info("Step %r was resumed (by: %s).", step, by)
        at = datetime.now(UTC).isoformat()
        given = {"step": step, "resume_data": data, "by": by, "user": None, "at": at}
        self.responses.append(given)
        if self.pausable.mode == "suspend":  # this process may end before the run has finished
            yield from self.pausable.store(self._notes_prefix, pending_request.key, given)

    def _all_responses(self) -> Procedure:
        if self.pausable.mode == "suspend":
            return (yield from self.pausable.stored(self._notes_prefix))
        return self.responses

    @property
    def _notes_prefix(self) -> str:
        """The prefix of the keys that the responses to this run are stored under."""
        digest = hashlib.sha256(f"{self.run.workflow_id} {self.run.run_id}".encode()).hexdigest()
        return f"mastra-responses-{digest[:20]}"

    def _handle_timeout(self, pending_request: PendingRequest) -> Procedure:
        late = f"{pending_request}; no response within {self.options.response_timeout:g} s"
        if self.options.on_response_timeout == "respond":
            self.run.logger.warning("%s. The default response is used.", late)
            yield from self._resume(pending_request, self.options.default_response, "default")
            return
        if self.options.on_response_timeout == "cancel":
            outcome = yield RunCall("cancel")
            raise WaitTimeoutError(
                f"{late}, and on_response_timeout is 'cancel': the run is {outcome['status']}.",
                self.run.record,
            )
        raise WaitTimeoutError(
            f"{late}. The run stays suspended and executes nothing until it is resumed. Ask again, "
            "or resume it.",
            self.run.record,
        )

    def _log_request(self, pending_request: PendingRequest) -> list[UUID]:
        """Log the link to the form, in the paused flow run and in those around it.

        Returns:
            The ids of the flow runs around the paused one.
        """
        page = url_for(self.pausable.flow_run) or f"flow run {self.pausable.flow_run.name!r}"
        self.run.logger.info("%s. Resume this flow run to respond: %s", pending_request, page)
        parents = []
        for context in enclosing_runs():
            flow_run = context.flow_run if isinstance(context, FlowRunContext) else None
            if flow_run is not None and flow_run.id != self.pausable.flow_run.id:
                log = flow_run_logger(flow_run)
                log.info("%s. Resume the subflow run to respond: %s", pending_request, page)
                parents.append(flow_run.id)
        return parents


def response_loop(
    run: MastraWorkflowRun,
    which: ResumeOptions | None = None,
    *,
    pause: PauseMode = "pause",
    response_timeout: Duration | None = None,
    **options: Unpack[ResponseOptions],
) -> ResponseLoop:
    """Create a response loop. Validates the options before anything is started.

    Raises:
        ConfigurationError: the options contradict each other, or there is no flow run to pause.
    """
    require_choice("pause", pause, get_args(PauseMode))
    if response_timeout is not None:
        response_timeout = as_seconds("response_timeout", response_timeout)
    if pause == "suspend" and response_timeout is not None:
        raise ConfigurationError(
            'pause="suspend" ends the process, so nothing enforces response_timeout: use '
            'pause="pause".'
        )
    asking = AskOptions(response_timeout=response_timeout, **options)
    return ResponseLoop(run, asking, PausableFlowRun.here(pause), which or ResumeOptions())


MOST_FIELDS_BELOW_TEXT = 3
"""Prefect's page shows the text above a form only if all of the form fits into the window. A form
with more fields therefore repeats the text at its first field."""


def _form(pending_request: PendingRequest, number: int, wrong: Sequence[str]) -> PauseForm:
    """Build the form of a request, preceded by the validation errors of the last response.

    Prefect returns a stored response again for the same key, so each attempt has its own key.
    """
    lines = ["**The last response is invalid:**", *(f"- {inline(line)}" for line in wrong)]
    properties: dict[str, dict[str, Any]] = {}
    for item in pending_request.form.fields:
        properties[item.key] = {**_without_directives(item.schema), "title": item.title}
        if item.kind == "time":  # Prefect's server requires a time zone, Mastra's rejects it
            del properties[item.key]["format"]
        if item.description:
            properties[item.key]["description"] = item.description
        if item.default is not NO_DEFAULT and not _has_directive(item.default):
            properties[item.key]["default"] = item.default
    text = "\n".join([*lines, "", pending_request.body]) if wrong else pending_request.body
    if len(properties) > MOST_FIELDS_BELOW_TEXT:
        first = next(iter(properties.values()))
        first["description"] = _paragraphs(f"{text}\n\n{first.get('description', '')}")
    return PauseForm(
        key=pending_request.key if number == 1 else f"{pending_request.key}-{number}",
        description=text,
        schema={
            "title": pending_request.subject,
            "type": "object",
            "properties": properties,
            "required": [item.key for item in pending_request.form.fields if not item.may_be_empty],
            "additionalProperties": False,
        },
    )


def _paragraphs(text: str) -> str:
    """Make each line a paragraph: in the text of a field, Prefect's page joins lines to one.

    Rows of a table, which the page does not draw there, become lines as well.
    """
    paragraphs: list[str] = []
    for block in text.split("\n\n"):
        if block.startswith("```"):
            paragraphs.append(block)
        else:
            rows = (_TABLE_ROW.sub(r"\1", line) for line in block.splitlines())
            paragraphs += (row for row in rows if row.strip("|- >"))
    return "\n\n".join(paragraphs)


_TABLE_ROW = re.compile(r"^\| (.*) \|$")

DIRECTIVE = "__prefect_kind"
"""The key of an object that Prefect's server evaluates when a form is submitted: it renders a
template, or inserts the value of a workspace variable."""


def _without_directives(schema: Mapping[str, JSON]) -> dict[str, JSON]:
    """Remove the parts of a field's schema that Prefect would evaluate on submission.

    A form submits defaults and options unchanged. They come from the Mastra server, which must not
    be able to read Prefect's variables.
    """
    return {name: part for name, part in schema.items() if not _has_directive(part)}


def _has_directive(value: JSON) -> bool:
    """Return whether a value contains an object that Prefect's server would evaluate."""
    if isinstance(value, Mapping):
        return DIRECTIVE in value or any(map(_has_directive, value.values()))
    return isinstance(value, list | tuple) and any(map(_has_directive, value))
