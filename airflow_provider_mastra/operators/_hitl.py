"""The base class of the operators with human-in-the-loop (HITL) support."""

from __future__ import annotations

import copy
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Unpack

from airflow_provider_mastra.hitl._downstream_gates import GATE_HINT, has_downstream_gate
from airflow_provider_mastra.hitl._required_action import (
    CANCEL,
    AwaitedResponse,
    HumanResponse,
    RequiredAction,
    as_notifiers,
    as_users,
    await_input,
    show_form,
)
from airflow_provider_mastra.hitl._state import HITLState
from airflow_provider_mastra.operators._responding import MastraRespondingOperator
from airflow_provider_mastra.utils._arguments import naming
from airflow_provider_mastra.utils.xcoms import escape_keys
from mastra_workflows.errors import (
    InvalidResumeDataError,
    MastraError,
    RunCanceledError,
    RunSuspendedError,
    ServerLostError,
)
from mastra_workflows.hitl import ASK, pending_requests
from mastra_workflows.integration import (
    AskOptions,
    as_seconds,
    first_of_each_step,
    is_outage,
    named,
    require_positive,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_mastra.operators._options import OperatorOptions
    from airflow_provider_mastra.utils._arguments import OperatorArguments
    from mastra_workflows import JSON, Run, WorkflowRun
    from mastra_workflows.hitl import PendingRequest, Responses

MAX_POLL_SECONDS = 365 * 86_400.0
"""The maximum of ``response_poll_interval``; a larger value has no other effect."""


class MastraHITLBaseOperator(MastraRespondingOperator):
    """The base class of the operators that can request human input for a suspended step.

    With ``on_suspend="ask"`` the task shows a form on Airflow's page of required actions. The form
    is generated from the step's resume schema and suspend payload and has the buttons "Resume" and
    "Cancel run". While the task waits for a response, it holds no worker, no pool slot and no
    triggerer (on Airflow 3.1 and 3.2: a triggerer). A response that does not match the resume
    schema is refused, and the form is shown again; the log and the XCom ``refused_response`` give
    the reason. A valid response resumes the run, and the task waits for it as before. The XCom
    ``responses`` records each response, its author and its time.

    Airflow stores one form per task instance, the first one, across retries and clears. A task can
    therefore show only one form, in any number of rounds that look the same. For further requests,
    add gates after the task: see `airflow_provider_mastra.hitl.gates`.

    The time that people take counts neither towards ``timeout`` nor towards ``execution_timeout``;
    both start again when the run continues. A task that is killed or marked while it waits for a
    response has no process that could cancel its run: the run stays suspended and executes nothing.
    """

    is_gate: ClassVar[bool] = False
    """Whether the task handles requests that its upstream tasks left pending."""

    def __init__(
        self,
        *,
        workflow_id: str,
        run_id: str | None,
        options: OperatorOptions,
        **kwargs: Unpack[OperatorArguments],
    ) -> None:
        super().__init__(workflow_id=workflow_id, run_id=run_id, options=options, **kwargs)
        with naming(self):
            ask_options = options.response_options()
            self.assigned_users = as_users(options.assigned_users)
            self.notifiers = as_notifiers(options.notifiers)
            self.response_poll_interval = as_seconds(
                "response_poll_interval", options.response_poll_interval
            )
            require_positive(response_poll_interval=self.response_poll_interval)
            # Airflow stores the time of the next poll as a date.
            self.response_poll_interval = min(self.response_poll_interval, MAX_POLL_SECONDS)
        self.asks = options.on_suspend == "ask"
        # Airflow calls a callable that it finds in a templated field.
        self.responses: Any = None if callable(options.responses) else options.responses
        self._callable_responses = options.responses if callable(options.responses) else None
        self.response_timeout = ask_options.response_timeout
        self.on_response_timeout = ask_options.on_response_timeout
        self.default_response = options.default_response

    def check_rendered(self) -> None:
        """Extend the base class's validation with ``responses``."""
        super().check_rendered()
        if self.asks:
            self._ask_options(self.responses)

    def _ask_options(self, responses: Responses | None) -> AskOptions:
        return AskOptions(
            responses=self._callable_responses or responses,
            response_timeout=self.response_timeout,
            on_response_timeout=self.on_response_timeout,
            default_response=self.default_response,
        )

    def should_respond_to(self, pending_request: PendingRequest) -> bool:
        """Whether the task is responsible for a pending request of its run."""
        return True

    def conclude(self, run: Run, record: WorkflowRun, context: Context) -> JSON:
        """Respond to the run's pending requests, from code first and then by a form.

        Returns:
            The result of a finished run; None if a downstream gate handles the pending request.

        Raises:
            RunSuspendedError: a request is pending that neither the task nor a gate handles.
            TaskAwaitingInput: Airflow's exception to wait for a response; `on_response` continues.
        """
        state = HITLState(context, run.run_id)
        options = self._ask_options(self.responses)
        while self.asks and (mine := self._pending_requests_to_respond_to(record)):
            by_code = (
                (pending_request, options.by_code(pending_request)) for pending_request in mine
            )
            found = next((pair for pair in by_code if pair[1] is not ASK), None)
            if found is not None:
                self.send_response(self.current_handle(run), *found, state, by="code")
            elif (kept := self._undelivered_response(mine, state)) is not None:
                pending_request, response = kept
                self.log.info("Delivering the response that an earlier try could not deliver.")
                self._handle_response(
                    run,
                    AwaitedResponse.of(pending_request, self.response_timeout),
                    response,
                    context,
                )
            else:
                try:
                    self._ask_person(mine, record, state, context)
                except RunSuspendedError:
                    self.push_metadata(record, context)
                    raise
                break
            record = self.wait(run)
        return self.result(record, context)

    def push_metadata(self, record: WorkflowRun, context: Context) -> None:
        """Extend the base class's XComs with ``responses``, if there are any."""
        super().push_metadata(record, context)
        if self.asks and (responses := HITLState(context, record.run_id).responses):
            self.push(context, "responses", escape_keys(responses))

    def _pending_requests_to_respond_to(self, record: WorkflowRun) -> list[PendingRequest]:
        """Return the run's pending requests for this task, without those that share a response."""
        url = self.hook.run_url(record.workflow_id, record.run_id)
        mine = [
            pending_request
            for pending_request in pending_requests(record, url)
            if self.should_respond_to(pending_request)
        ]
        if len(mine) > 1 and not self.hook.get_conn().supports_for_each_index():
            mine = first_of_each_step(mine)
        return mine

    def _ask_person(
        self,
        left: Sequence[PendingRequest],
        record: WorkflowRun,
        state: HITLState,
        context: Context,
    ) -> None:
        """Show a form for the first pending request; return if a downstream gate is to show it.

        Raises:
            RunSuspendedError: the task cannot show the form, and no gate follows.
        """
        has_gate = has_downstream_gate(context["task"])
        if len(left) > 1 and not has_gate:
            names = named([pending_request.suspension for pending_request in left])
            raise RunSuspendedError(
                f"Run {left[0].run_id!r} of workflow {left[0].workflow_id!r} has several "
                f"pending requests ({names}), but a task can show only one form. {GATE_HINT}",
                record,
            )
        waiting = next((one for one in left if self._is_form_shown(one, state)), None)
        has_asked = waiting is not None
        if waiting is None:
            pending_request = left[0]
            self._check_default_response(pending_request)
            action = RequiredAction.of(pending_request, *self._deadline_remarks())
            if not state.may_ask(action) or not state.is_shown(
                action, show_form(context["ti"].id, action, self.assigned_users)
            ):
                if has_gate:
                    self.log.info("%s. The next gate shows its form.", pending_request)
                    return
                raise RunSuspendedError(self._reason_not_shown(pending_request, state), record)
            if (lost := state.undelivered_before) is not None:
                self.log.warning(
                    "The response of %s at %s was not delivered before the task was cleared. "
                    "Asking again for the new run.",
                    lost,
                    lost.at,
                )
            state.save_shown_form(pending_request, action)  # a response is possible from now on
            self._notify(pending_request, context)
            waiting = pending_request
        where = f"; see {waiting.url}" if waiting.url else ""
        self.log.info("%s. The form is on Airflow's page of required actions%s", waiting, where)
        self._wait_for_response(
            AwaitedResponse.of(waiting, self.response_timeout), context, may_have_response=has_asked
        )

    def _undelivered_response(
        self, left: Sequence[PendingRequest], state: HITLState
    ) -> tuple[PendingRequest, HumanResponse] | None:
        for pending_request in left:
            response = state.undelivered_to(pending_request)
            if response is not None:
                return pending_request, response
        return None

    def _is_form_shown(self, pending_request: PendingRequest, state: HITLState) -> bool:
        """Whether the page shows a form that matches the current request."""
        return state.has_asked(pending_request) and not state.has_other_form(
            RequiredAction.of(pending_request)
        )

    def _reason_not_shown(self, pending_request: PendingRequest, state: HITLState) -> str:
        if not state.has_asked(pending_request):
            return (
                f"{pending_request}, but this task cannot show its form: Airflow keeps the first "
                f"form of a task instance. {GATE_HINT}"
            )
        where = f" at {pending_request.url}" if pending_request.url else ""
        return (
            f"{pending_request}, but its resume schema has changed since the form was shown. "
            "Airflow keeps the outdated form for the task instance, even after a clear. Resume or "
            f"cancel the run{where} or by its API, or run the DAG again. To avoid this: {GATE_HINT}"
        )

    def _deadline_remarks(self) -> Iterable[str]:
        """Describe for the form when the time to respond ends, and what happens then."""
        if self.response_timeout is None:
            return
        time_left = timedelta(seconds=self.response_timeout)
        what = {
            "fail": "this task fails",
            "cancel": "the run is cancelled",
            "respond": "the default response is used",
        }[self.on_response_timeout]
        yield f"Without a response within {format_duration(time_left)}, {what}."

    def _check_default_response(self, pending_request: PendingRequest) -> None:
        """Reject an invalid default response before the form is shown, not when it is needed."""
        from mastra_workflows.integration import validation_errors

        wrong = validation_errors(
            pending_request.suspension.resume_schema or {}, self.default_response
        )
        if self.default_response is not None and wrong:
            raise InvalidResumeDataError(
                f"The default_response is invalid: {'; '.join(wrong)}. {pending_request}.",
                validation_errors=wrong,
            )

    def _notify(self, pending_request: PendingRequest, context: Context, refusal: str = "") -> None:
        more: dict[str, Any] = {
            "mastra_pending_request": pending_request,
            "mastra_refusal": refusal,
        }
        for notifier in self.notifiers:
            try:
                # A notifier renders its template fields in place. Without a copy, the next call
                # would render the server's text that this call has inserted.
                copy.copy(notifier)({**context, **more})
            except Exception:  # the form is shown even if a notification fails
                self.log.exception("A notifier failed; the form is shown nevertheless.")

    def _wait_for_response(
        self, asked: AwaitedResponse, context: Context, *, may_have_response: bool = False
    ) -> NoReturn:
        """Release the worker until a response arrives or the next poll is due.

        If the form may already have a response, the trigger reads it first, after a delay. Airflow
        would wake a parked task at once. If its scheduler has not yet registered the end of this
        process, it would then fail the try, and every later one.
        """
        self._active_run = None
        seconds = self.response_poll_interval
        if asked.deadline is not None:
            seconds = min(seconds, max(1.0, asked.deadline - time.time()))
        kwargs = {"asked": asked.to_text()}
        if may_have_response:
            wake_at: float | None = time.time()
        else:
            await_input("on_response", kwargs, seconds)
            wake_at = None if asked.deadline is None else time.time() + seconds
        from airflow_provider_mastra.triggers.hitl import MastraHITLTrigger

        self.defer(
            trigger=MastraHITLTrigger(
                mastra_conn_id=self.mastra_conn_id,
                ti_id=str(context["ti"].id),
                asked=asked.to_text(),
                wake_at=wake_at,
            ),
            method_name="on_response",
            kwargs=kwargs,
        )

    def on_response(
        self, context: Context, event: Mapping[str, Any], asked: str | None = None
    ) -> JSON:
        """Continue after a response, or check whether a response is still needed.

        Returns and raises: as `execute`, and RunCanceledError if the response was "Cancel run", or
        RunSuspendedError if no response arrived in time.
        """
        waiting = AwaitedResponse.from_text(asked or event["asked"])
        pending_request = waiting.pending_request
        with self.attempt_scope(context):
            workflow = self.hook.get_conn().get_workflow(pending_request.workflow_id)
            run = self._active_run = workflow.get_run(pending_request.run_id)
            self.link = self.url(run) or ""
            response = HumanResponse.of(event)
            if response is None:
                self._look(run, waiting, context, has_polled_form="asked" in event)
            else:
                self._handle_response(run, waiting, response, context)
            result = self.conclude(run, self.wait(run), context)
            self._active_run = None
            return result

    def execute_complete(self, context: Context, event: Any, run_id: str | None = None) -> JSON:
        """Extend `MastraWaitingOperator.execute_complete` to late responses.

        While the task is deferred, the page may still show a form whose request was responded to
        elsewhere. A response to it wakes the task, too.
        """
        if (response := HumanResponse.of(event)) is None:
            return super().execute_complete(context, event, run_id)
        run_id = run_id or self.deferred_run_id(context)  # `dag.test()` omits the argument
        with self.attempt_scope(context):
            self.log.warning("%s has responded to a request that is no longer pending.", response)
            run = self._active_run = (
                self.hook.get_conn().get_workflow(self.workflow_id).get_run(run_id)
            )
            self.link = self.url(run) or ""
            result = self.conclude(run, self.wait(run), context)
            self._active_run = None
            return result

    def _look(
        self, run: Run, waiting: AwaitedResponse, context: Context, *, has_polled_form: bool
    ) -> None:
        """Return if the request no longer needs a response; otherwise continue to wait.

        Args:
            has_polled_form: whether the trigger has just read the form without a response. The page
                still accepts a response while an expired task is queued for a worker, and the task
                itself cannot read it.
        """
        try:
            record = run.read()
        except MastraError as error:
            if waiting.is_expired or not (is_outage(error) or isinstance(error, ServerLostError)):
                raise
            self.log.warning(
                "Mastra server unreachable; continuing to wait for a response. %s", error
            )
            self._wait_for_response(waiting, context)
        if not waiting.pending_request.is_open(record):
            self.log.info("The request no longer needs a response. %s.", record)
        elif waiting.is_expired and has_polled_form:
            self._on_response_timeout(run, record, waiting.pending_request, context)
        elif waiting.is_expired:
            self.log.info("The response timeout has passed; polling the form for the last time.")
            self._wait_for_response(waiting, context, may_have_response=True)
        elif _has_other_schema(record, waiting.pending_request):
            self.log.warning("The resume schema has changed since the form was shown. %s.", record)
        else:
            self.log.info("No response yet. %s.", record)
            self._wait_for_response(waiting, context)

    def _on_response_timeout(
        self, run: Run, record: WorkflowRun, pending_request: PendingRequest, context: Context
    ) -> None:
        late = f"No response within {self.response_timeout:g} s"
        self.log.warning("%s. on_response_timeout is %r.", late, self.on_response_timeout)
        if self.on_response_timeout == "respond":
            state = HITLState(context, run.run_id)
            self.send_response(run, pending_request, self.default_response, state, by="default")
            return
        if self.on_response_timeout == "cancel":
            cancellation = run.cancel()
            self.push_metadata(cancellation.run, context)
            raise RunCanceledError(
                f"{late}, so the run was cancelled. {cancellation}", cancellation.run
            )
        self.push_metadata(record, context)
        where = f" at {pending_request.url}" if pending_request.url else ""
        raise RunSuspendedError(
            f"{late}. {pending_request}. The run stays suspended: resume or cancel it{where}, or "
            "clear this task to ask again.",
            record,
        )

    def _handle_response(
        self, run: Run, waiting: AwaitedResponse, response: HumanResponse, context: Context
    ) -> None:
        """Resume or cancel the run as the response says; show the form again if it is invalid."""
        pending_request = waiting.pending_request
        self.log.info("%s pressed %r at %s.", response, response.option, response.at)
        if response.option == CANCEL:
            cancellation = self.retry_delivery(response, run, lambda current, _: current.cancel())
            self.push_metadata(cancellation.run, context)
            raise RunCanceledError(
                f"{response} cancelled the run. {cancellation}", cancellation.run
            )
        state = HITLState(context, run.run_id)
        try:
            resume_data = pending_request.form.to_resume_data(response.values)
            state.save_undelivered(pending_request, response)

            def resume(current: Run, patience: float) -> None:
                who: Any = {"by": "person", "user": response.user, "at": response.at}
                who["outage_timeout"] = patience
                self.send_response(current, pending_request, resume_data, state, **who)

            self.retry_delivery(response, run, resume)
        except InvalidResumeDataError as error:
            self._reject_response(run, waiting, response, error, context)
        state.clear_undelivered()

    def _reject_response(
        self,
        run: Run,
        waiting: AwaitedResponse,
        response: HumanResponse,
        error: InvalidResumeDataError,
        context: Context,
    ) -> None:
        """Report an invalid response and show the form again; return if the form is outdated."""
        pending_request = waiting.pending_request
        is_outdated = _has_other_schema(self.current_handle(run).read(), pending_request)
        refusal = {
            "user": response.user,
            "at": response.at,
            "problems": list(error.validation_errors),
            "form_is_outdated": is_outdated,
        }
        self.push(context, "refused_response", refusal)
        self._notify(pending_request, context, str(error))
        if is_outdated:
            self.log.error(
                "The response of %s is invalid, since the resume schema has changed since the form "
                "was shown: %s",
                response,
                error,
            )
            return
        self.log.error("The response of %s is invalid; showing the form again: %s", response, error)
        HITLState(context, run.run_id).clear_undelivered()
        show_form(context["ti"].id, RequiredAction.of(pending_request), self.assigned_users)
        self._wait_for_response(waiting, context)


def _has_other_schema(record: WorkflowRun, pending_request: PendingRequest) -> bool:
    """Whether the step's resume schema has changed since the form was shown."""
    asked = pending_request.suspension
    return any(
        now.identity == asked.identity and now.resume_schema != asked.resume_schema
        for now in record.suspensions
    )


def format_duration(time: timedelta) -> str:
    """Format a duration, such as ``2 days`` or ``1 hour 30 minutes``; at least one second."""
    seconds = max(1, round(time.total_seconds()))
    parts = []
    for name, size in (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {name}{'' if count == 1 else 's'}")
    return " ".join(parts)
