"""Operators that run, resume and cancel workflows."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Literal, Unpack, cast, get_args

from airflow_provider_mastra.hooks.mastra import MastraHook
from airflow_provider_mastra.operators._base import MastraBaseOperator
from airflow_provider_mastra.operators._hitl import MastraHITLBaseOperator
from airflow_provider_mastra.operators._options import DEFAULT_DEFERRABLE, OperatorOptions
from airflow_provider_mastra.utils._arguments import naming
from airflow_provider_mastra.utils._errors import as_airflow_errors
from airflow_provider_mastra.utils._identity import adopt, identify, mark_attached
from airflow_provider_mastra.utils._resume_state import ResumeState
from mastra_workflows import OnFailedRun, OnOtherInput
from mastra_workflows.errors import ConfigurationError, UnknownRunError
from mastra_workflows.integration import require_choice, to_iso

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from airflow.providers.common.compat.sdk import Context
    from airflow.sdk.bases.notifier import BaseNotifier
    from airflow.sdk.execution_time.hitl import HITLUser

    from airflow_provider_mastra.operators._options import OnSuspension
    from airflow_provider_mastra.utils._arguments import OperatorArguments
    from airflow_provider_mastra.utils._identity import Identity
    from mastra_workflows import JSON, Cancellation, Duration, OnStall, Run, Workflow, WorkflowRun
    from mastra_workflows.hitl import OnResponseTimeout, Responses

__all__ = [
    "MastraCancelWorkflowRunOperator",
    "MastraResumeWorkflowOperator",
    "MastraRunWorkflowOperator",
    "OnClear",
]

OnClear = Literal["new_run", "reuse_run"]
"""How the first try after a clear treats the run from before the clear."""

ON_CLEAR_VARIABLE = "mastra_on_clear"
"""The Airflow Variable that sets the default for ``on_clear=None``."""


class MastraRunWorkflowOperator(MastraHITLBaseOperator):
    """Run a workflow and return its result.

    The operator chooses the run's id before it sends the first request and keeps the id across
    retries. A retry therefore finds the run of the previous try: it attaches to a run that is still
    running, returns the result of a run that succeeded, and treats a failed run according to
    ``on_failed_run``. A run that was cancelled elsewhere fails the task without retries. Clearing
    the task starts a new run and first cancels the previous one if it is still running;
    ``on_clear`` changes this.

    Args:
        workflow_id: the workflow's registry key, such as ``orderReport``. (templated)
        input_data: the workflow's input. (templated)
        initial_state: the workflow's initial state (Mastra 1.x). (templated)
        request_context: values that steps read from their request context. (templated)
        tracing_options: passed to Mastra's tracing. (templated)
        resource_id: the resource that the run belongs to, such as a user or tenant (Mastra 1.x).
            (templated)
        run_id: the id of the run; None for a generated one. The task attaches to an existing run
            with this id and the same input, even if another client started it. After a clear, the
            id gets the try number as a suffix (``<run_id>-try-3``), and before Airflow 3.3
            ``max_tries`` (``<run_id>-tries-5``). The XCom ``run_id`` holds the final id.
            (templated)
        on_failed_run: how a try treats a run that failed in an earlier try: ``"new_run"`` starts a
            new run with the next id (``<run_id>-2``), ``"from_failed_step"`` continues the run from
            the failed step and keeps the results before it, ``"fail"`` fails the task.
        on_other_input: how to treat an existing run that has other input and was not started by an
            earlier try of this task: ``"fail"`` fails the task without retries, ``"attach"`` uses
            the run and logs a warning.
        on_clear: how the first try after a clear treats the previous run: ``"new_run"`` starts a
            new run, ``"reuse_run"`` returns the result of the previous run, or attaches to it if it
            is still running or suspended, and starts a new run only if the previous one failed, was
            cancelled or no longer exists. None reads the Airflow Variable ``mastra_on_clear`` at
            that moment and defaults to ``"new_run"``. (templated)
        mastra_conn_id: the id of the Airflow connection to the server. (templated)
        check_data: whether to validate input and resume data against the workflow's JSON Schemas
            before sending them. A missing field is an error. Values that ``z.coerce`` or
            ``z.preprocess`` may convert are sent with a warning.
        wait_for_completion: whether to wait for the run. If False, the task succeeds without a
            return value as soon as the server reports that the run executes.
        timeout: how long to wait for the run; None for no limit.
        on_suspend: how the task treats a suspended run: ``"fail"`` fails the task, ``"return"``
            ends it without a result and pushes the XCom ``suspensions``, ``"wait"`` waits until the
            run is resumed elsewhere, ``"ask"`` shows a form and resumes the run with the response.
        responses: responses from code; people only get the remaining requests. Either a mapping
            from step name (``approve``, ``inner.approve``, ``review[2]``) to resume data or to a
            callable that takes the `PendingRequest` and returns resume data, or one callable for
            all steps. A callable returns `mastra_workflows.hitl.ASK` to leave the request to a
            person. (templated)
        assigned_users: who may respond, as ``{"id": …, "name": …}`` or a list of such users; None
            for every user with permission in Airflow.
        notifiers: called when a form is shown, with the `PendingRequest` as
            ``mastra_pending_request`` in the context, and again when a response is refused, with
            the reason as ``mastra_refusal``. The `PendingRequest` contains text from the server.
            Airflow does not render templates in it, but a notifier must escape it for HTML or
            Markdown, as `PendingRequest.body` does for Markdown.
        response_timeout: how long to wait for a response; None for no limit. Each try starts it
            again.
        on_response_timeout: what happens when that time has passed: ``"fail"`` fails the task and
            leaves the run suspended, ``"cancel"`` cancels the run and fails the task, ``"respond"``
            resumes the run with ``default_response``.
        default_response: the resume data for ``on_response_timeout="respond"``. (templated)
        response_poll_interval: the interval at which a task that waits for a response polls the
            run, to detect that the step was resumed elsewhere or that the run has finished.
        poll_interval: the initial interval between polls of the run.
        max_poll_interval: the upper limit of the poll interval, which grows exponentially.
        outage_timeout: how long the server may be unreachable while the task waits.
        stall_timeout: how long the run's record may stay unchanged before the task checks whether
            the server still executes the run; None to never check.
        on_stall: what to do if the server no longer executes the run, because it was restarted:
            ``"fail"`` the task, ``"restart"`` the run, or ``"wait"``.
        observe: whether to subscribe to the server's event stream in addition to polling. Events
            report the end of a run within milliseconds.
        deferrable: whether to wait in the triggerer, without a worker slot. The default is
            Airflow's option ``[operators] default_deferrable``. ``execution_timeout`` applies while
            the task is deferred, too. The task stays deferred for at least ten seconds, so that
            Airflow's scheduler registers the end of the worker's process before it is woken.
        defer_after: how long a deferrable task waits on its worker first. A run that finishes
            sooner avoids the deferral, which would take longer.
        cancel_on_kill: whether to cancel the run when the task is killed, marked as failed or
            successful, or cleared. If False, the run continues and the task logs this. A worker
            shutdown for a deploy does not cancel the run: a retry attaches to it.
        cancel_on_timeout: whether to cancel the run when ``timeout`` or ``execution_timeout`` has
            passed.
        **kwargs: all arguments of `BaseOperator`.

    Durations are seconds or a timedelta.

    Raises:
        ConfigurationError: an option is out of range, or two options conflict.
        TypeError: an argument is unknown.
    """

    template_fields: Sequence[str] = (
        "workflow_id",
        "input_data",
        "initial_state",
        "request_context",
        "tracing_options",
        "resource_id",
        "run_id",
        "on_clear",
        "responses",
        "default_response",
        "mastra_conn_id",
    )
    template_fields_renderers = {  # noqa: RUF012 - as BaseOperator has it
        "input_data": "json",
        "initial_state": "json",
        "request_context": "json",
        "tracing_options": "json",
        "responses": "json",
        "default_response": "json",
    }

    def __init__(
        self,
        *,
        workflow_id: str,
        input_data: JSON = None,
        initial_state: JSON = None,
        request_context: Mapping[str, JSON] | None = None,
        tracing_options: Mapping[str, JSON] | None = None,
        resource_id: str | None = None,
        run_id: str | None = None,
        on_failed_run: OnFailedRun = "new_run",
        on_other_input: OnOtherInput = "fail",
        on_clear: OnClear | str | None = None,
        mastra_conn_id: str = MastraHook.default_conn_name,
        check_data: bool = True,
        wait_for_completion: bool = True,
        timeout: Duration | None = None,
        on_suspend: OnSuspension = "fail",
        responses: Responses | str | None = None,
        assigned_users: HITLUser | Sequence[HITLUser] | None = None,
        notifiers: BaseNotifier | Sequence[BaseNotifier] | None = None,
        response_timeout: Duration | None = None,
        on_response_timeout: OnResponseTimeout = "fail",
        default_response: JSON = None,
        response_poll_interval: Duration = 300.0,
        poll_interval: Duration = 0.5,
        max_poll_interval: Duration = 30.0,
        outage_timeout: Duration = 300.0,
        stall_timeout: Duration | None = 3600.0,
        on_stall: OnStall = "fail",
        observe: bool = True,
        deferrable: bool = DEFAULT_DEFERRABLE,
        defer_after: Duration = 1.0,
        cancel_on_kill: bool = True,
        cancel_on_timeout: bool = True,
        **kwargs: Unpack[OperatorArguments],
    ) -> None:
        super().__init__(
            workflow_id=workflow_id,
            run_id=run_id,
            options=OperatorOptions(
                mastra_conn_id=mastra_conn_id,
                check_data=check_data,
                wait_for_completion=wait_for_completion,
                timeout=timeout,
                on_suspend=on_suspend,
                responses=responses,
                assigned_users=assigned_users,
                notifiers=notifiers,
                response_timeout=response_timeout,
                on_response_timeout=on_response_timeout,
                default_response=default_response,
                response_poll_interval=response_poll_interval,
                poll_interval=poll_interval,
                max_poll_interval=max_poll_interval,
                outage_timeout=outage_timeout,
                stall_timeout=stall_timeout,
                on_stall=on_stall,
                observe=observe,
                deferrable=deferrable,
                defer_after=defer_after,
                cancel_on_kill=cancel_on_kill,
                cancel_on_timeout=cancel_on_timeout,
            ),
            **kwargs,
        )
        with naming(self):
            require_choice("on_failed_run", on_failed_run, get_args(OnFailedRun))
            require_choice("on_other_input", on_other_input, get_args(OnOtherInput))
        self.on_failed_run = on_failed_run
        self.input_data = input_data
        self.initial_state = initial_state
        self.request_context = request_context
        self.tracing_options = tracing_options
        self.resource_id = resource_id
        self.on_other_input = on_other_input
        self.on_clear: Any = on_clear
        self._has_run_id = run_id is not None

    def identify(self, context: Context) -> Identity:
        """Return the task instance's run, under the given id or a generated one."""
        given = MastraBaseOperator.choose_run_id(self, context) if self._has_run_id else None
        return identify(context, given)

    def start_or_resume(self, run: Run, context: Context) -> Run:
        """Start the run, or attach to the run of an earlier try."""
        assert self.identity is not None
        identity = self._reuse_earlier(context, self.identity)
        if identity is None:
            identity = self.identity
            self._cancel_earlier(identity)
        workflow = self.hook.get_conn().get_workflow(run.workflow_id)
        attachment = workflow.attach_or_start(
            identity.run_id,
            on_failed_run=self.on_failed_run,
            on_other_input=self._on_other_input(identity),
            started_after=_started_after(context, identity),
            input_data=self.input_data,
            initial_state=self.initial_state,
            request_context=self.request_context,
            tracing_options=self.tracing_options,
            resource_id=self.resource_id,
        )
        mark_attached(context, identity)
        if attachment.found is None:
            self.log.info("The run was started.")
        return workflow.get_run(attachment.run_id)

    def _on_other_input(self, identity: Identity) -> OnOtherInput:
        """Return the policy for a run with other input.

        Between retries, templated input may change, so a run of this task is always attached to.
        """
        is_own = identity.is_attached if identity.given is not None else identity.kind == "retry"
        return "attach" if is_own else self.on_other_input

    def _reuse_earlier(self, context: Context, identity: Identity) -> Identity | None:
        """Return the identity from before a clear, if its run may be reused.

        That needs ``on_clear="reuse_run"`` and a run that succeeded, is running or is suspended.
        """
        if not identity.earlier or self._choice_on_clear() != "reuse_run":
            return None
        workflow = self.hook.get_conn().get_workflow(self.workflow_id)
        if _record(workflow, identity.run_id) is not None:
            return None  # an earlier attempt after the clear started its own run
        # Some ids may have been chosen or derived, but never used to start a run.
        begun = (one for one in reversed(identity.earlier) if _record(workflow, one) is not None)
        before = next(begun, None)
        found = None if before is None else workflow.find_work(before)
        if before is None or found is None:
            self.log.info(
                "The task was cleared with on_clear='reuse_run', but its earlier run failed, was "
                "cancelled or no longer exists; starting a new run."
            )
            return None
        self.log.warning(
            "The task was cleared with on_clear='reuse_run'; reusing its run. %s.", found
        )
        self.identity = adopt(context, identity, before)
        return self.identity

    def check_rendered(self) -> None:
        """Extend the base class's validation with ``on_clear``."""
        super().check_rendered()
        if self.on_clear is not None:
            require_choice("on_clear", self.on_clear, get_args(OnClear))

    def _choice_on_clear(self) -> OnClear:
        choice: OnClear | None = self.on_clear
        if choice is None:
            from airflow.sdk import Variable  # not needed to import a DAG file

            choice = cast(OnClear, Variable.get(ON_CLEAR_VARIABLE, default=None) or "new_run")
        require_choice("on_clear", choice, get_args(OnClear))
        return choice

    def _cancel_earlier(self, identity: Identity) -> None:
        """Cancel the task instance's runs from before a clear, unless ``cancel_on_kill`` is off.

        A task that is cleared while it is deferred has no process that could cancel its run.
        """
        workflow = self.hook.get_conn().get_workflow(self.workflow_id)
        for run_id in identity.earlier if self.cancel_on_kill else ():
            with contextlib.suppress(UnknownRunError):
                cancellation = workflow.cancel_work(run_id)
                if cancellation.requested:
                    self.log.warning(
                        "The task was cleared; cancelling its unfinished run. %s", cancellation
                    )
                elif cancellation.run.is_success and identity.kind == "cleared":
                    self.log.info(
                        "The task was cleared; starting a new run. %s. To reuse such a run "
                        "instead, set on_clear='reuse_run', or the Airflow Variable %r to "
                        "'reuse_run', before clearing.",
                        cancellation.run,
                        ON_CLEAR_VARIABLE,
                    )

    def stop(self, workflow: Workflow, run_id: str, *, confirm_timeout: float) -> Cancellation:
        """Cancel the task's run, or the new run (``<run_id>-2``) that replaced it."""
        work = self.identity.run_id if self.identity else run_id
        return workflow.cancel_work(work, confirm_timeout=confirm_timeout, allow_retry=True)


def _record(workflow: Workflow, run_id: str) -> WorkflowRun | None:
    """Return a run's record; None if the run was never started."""
    try:
        record = workflow.get_run(run_id).read()
    except UnknownRunError:
        return None
    return None if record.is_pending else record


def _started_after(context: Context, identity: Identity) -> datetime | None:
    """Return a lower bound for the run's start; None if other clients' runs may be attached."""
    dag_run: Any = context.get("dag_run")
    if identity.given is not None or identity.kind == "retry" or dag_run is None:
        return None
    # A clear of any task resets the start date of a finished DAG run.
    has_first_start = not dag_run.clear_number and dag_run.start_date is not None
    start: datetime = dag_run.start_date if has_first_start else dag_run.run_after
    return start


class MastraResumeWorkflowOperator(MastraHITLBaseOperator):
    """Resume a suspended step of a run, wait for the run and return its result.

    The operator is idempotent: a retry, or another task with the same resume data for the same
    step, does not resume the step a second time but waits for the run. On Airflow 3.3 and later,
    the task state stores which suspension an earlier try resumed. Before 3.3, a retry has only the
    run's record, which cannot distinguish the rounds of a loop: set ``suspended_at`` there.

    Args:
        workflow_id: the workflow's registry key. (templated)
        run_id: the id of the suspended run. (templated)
        step: the step's path as a list, or its name, such as ``inner.approve``; None for the only
            suspended step. (templated)
        resume_data: the response to the step's request. (templated)
        for_each_index: the index of a ``foreach`` item, starting at 0; None for the only suspended
            item. (templated)
        suspended_at: when the step was suspended, as in its entry in ``suspensions``; None for any
            time. In a loop it distinguishes one round's request from the next. (templated)
        mastra_conn_id: the id of the Airflow connection to the server. (templated)
        **kwargs: all arguments of `BaseOperator`.

    The other arguments are those of `MastraRunWorkflowOperator`.
    """

    template_fields: Sequence[str] = (
        "workflow_id",
        "run_id",
        "step",
        "resume_data",
        "for_each_index",
        "suspended_at",
        "responses",
        "default_response",
        "mastra_conn_id",
    )
    template_fields_renderers = {  # noqa: RUF012 - as BaseOperator has it
        "resume_data": "json",
        "responses": "json",
        "default_response": "json",
    }

    def __init__(
        self,
        *,
        workflow_id: str,
        run_id: str,
        step: str | Sequence[str] | None = None,
        resume_data: JSON = None,
        for_each_index: int | str | None = None,
        suspended_at: str | None = None,
        mastra_conn_id: str = MastraHook.default_conn_name,
        check_data: bool = True,
        wait_for_completion: bool = True,
        timeout: Duration | None = None,
        on_suspend: OnSuspension = "fail",
        responses: Responses | str | None = None,
        assigned_users: HITLUser | Sequence[HITLUser] | None = None,
        notifiers: BaseNotifier | Sequence[BaseNotifier] | None = None,
        response_timeout: Duration | None = None,
        on_response_timeout: OnResponseTimeout = "fail",
        default_response: JSON = None,
        response_poll_interval: Duration = 300.0,
        poll_interval: Duration = 0.5,
        max_poll_interval: Duration = 30.0,
        outage_timeout: Duration = 300.0,
        stall_timeout: Duration | None = 3600.0,
        on_stall: OnStall = "fail",
        observe: bool = True,
        deferrable: bool = DEFAULT_DEFERRABLE,
        defer_after: Duration = 1.0,
        cancel_on_kill: bool = True,
        cancel_on_timeout: bool = True,
        **kwargs: Unpack[OperatorArguments],
    ) -> None:
        super().__init__(
            workflow_id=workflow_id,
            run_id=run_id,
            options=OperatorOptions(
                mastra_conn_id=mastra_conn_id,
                check_data=check_data,
                wait_for_completion=wait_for_completion,
                timeout=timeout,
                on_suspend=on_suspend,
                responses=responses,
                assigned_users=assigned_users,
                notifiers=notifiers,
                response_timeout=response_timeout,
                on_response_timeout=on_response_timeout,
                default_response=default_response,
                response_poll_interval=response_poll_interval,
                poll_interval=poll_interval,
                max_poll_interval=max_poll_interval,
                outage_timeout=outage_timeout,
                stall_timeout=stall_timeout,
                on_stall=on_stall,
                observe=observe,
                deferrable=deferrable,
                defer_after=defer_after,
                cancel_on_kill=cancel_on_kill,
                cancel_on_timeout=cancel_on_timeout,
            ),
            **kwargs,
        )
        self.step = step
        self.resume_data = resume_data
        self.for_each_index = for_each_index
        self.suspended_at = suspended_at

    def start_or_resume(self, run: Run, context: Context) -> Run:
        """Resume the step, unless an earlier try has resumed it."""
        assert self.identity is not None
        state = ResumeState(context, self.identity)
        if state.is_resumed:
            self.log.info("An earlier try resumed the step; it is not resumed again.")
            return run
        suspended_at = state.suspended_at or self.suspended_at
        if state.is_kept:
            suspended_at = suspended_at or self._asked_at(run)
            state.note(suspended_at, is_resumed=False)
        record = run.resume(
            is_retry=self.identity.kind == "retry",
            step=self.step,
            resume_data=self.resume_data,
            for_each_index=as_index(self.for_each_index),
            suspended_at=suspended_at,
        )
        state.note(suspended_at, is_resumed=True)
        self.log.info("The step was resumed. %s", record)
        return run

    def _asked_at(self, run: Run) -> str | None:
        """Return when the matching suspension began; None unless exactly one matches."""
        from mastra_workflows.integration import ResumeOptions

        wanted = ResumeOptions(step=self.step, for_each_index=as_index(self.for_each_index))
        fitting = [item for item in run.read().suspensions if wanted.fits(item)]
        return to_iso(fitting[0].suspended_at) if len(fitting) == 1 else None


class MastraCancelWorkflowRunOperator(MastraBaseOperator):
    """Cancel a run and poll it until it has finished.

    A run that has already finished stays unchanged; if it succeeded, the task returns its result.
    The task succeeds even if the run continues because a step ignores its abort signal; the log and
    the XCom ``status`` show this.

    Args:
        workflow_id: the workflow's registry key. (templated)
        run_id: the id of the run. (templated)
        mastra_conn_id: the id of the Airflow connection to the server. (templated)
        **kwargs: all arguments of `BaseOperator`.
    """

    def __init__(
        self,
        *,
        workflow_id: str,
        run_id: str,
        mastra_conn_id: str = MastraHook.default_conn_name,
        **kwargs: Unpack[OperatorArguments],
    ) -> None:
        super().__init__(
            workflow_id=workflow_id, run_id=run_id, mastra_conn_id=mastra_conn_id, **kwargs
        )

    def execute(self, context: Context) -> JSON:
        """Cancel the run.

        Returns:
            The result of a run that succeeded before it was cancelled; otherwise None.
        """
        with as_airflow_errors(), self.hook:
            run = self.handle(context)
            cancellation = run.cancel()
            say = self.log.info if cancellation.is_confirmed else self.log.warning
            say("%s", cancellation)
            return self.result(cancellation.run, context)


def as_index(value: int | str | None) -> int | None:
    """Convert a templated ``for_each_index`` to an integer."""
    if value is None or isinstance(value, int):
        return value
    try:
        return int(value)
    except ValueError:
        raise ConfigurationError(
            f"for_each_index: expected an integer, got {value!r}. Nothing was sent."
        ) from None
