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
    from mastra_workflows.hitl import Answers, OnResponseTimeout

OnClear = Literal["new_run", "reuse_run"]
"""What the first try after a clear does about the run from before."""

ON_CLEAR_VARIABLE = "mastra_on_clear"
"""The Airflow Variable that decides where an operator's ``on_clear`` is None."""


class MastraRunWorkflowOperator(MastraHITLBaseOperator):
    """Runs a workflow, once for one piece of scheduled work, and returns its result.

    The run's id is chosen before the first request, and kept through retries. So a retry finds the
    run of the try before: it attaches to one that is still running, takes the result of one that
    has succeeded, and handles a failed one by ``on_failed_run``. A run that somebody has cancelled
    fails the task, without retries. Clearing the task starts a new run, after cancelling the one
    before if that is still running; ``on_clear`` changes this.

    Args:
        workflow_id: the workflow's registry key, such as ``orderReport``. (templated)
        input_data: the workflow's input. (templated)
        initial_state: the workflow's state at its start, on Mastra 1.x. (templated)
        request_context: values that steps read from their request context. (templated)
        tracing_options: passed to Mastra's tracing. (templated)
        resource_id: whom the run belongs to, on Mastra 1.x. (templated)
        run_id: the id to run under; None for one of the task's own. A run of that id with the same
            input is attached to, whoever started it. After a clear the number of the try is
            appended (``<run_id>-try-3``); the XCom ``run_id`` holds the id. (templated)
        on_failed_run: what a try does about a run that an earlier try has left failed:
            ``"new_run"`` starts the next one in line (``<run_id>-2``), ``"from_failed_step"`` sends
            it back to the step that failed and keeps what was done before, ``"fail"`` fails.
        on_other_input: what to do if the run that is found was started with other input, and not by
            an earlier try of this task: ``"fail"`` fails the task, without retries, ``"attach"``
            uses the run and logs a warning.
        on_clear: what the first try after a clear does: ``"new_run"`` starts a new run,
            ``"reuse_run"`` takes the result of the run from before, or attaches to it if it is
            still running or suspended, and starts a new one only if it failed, was cancelled or is
            gone. None reads the Airflow Variable ``mastra_on_clear`` at that moment, and is
            ``"new_run"`` if there is none. (templated)
        mastra_conn_id: the connection to the server. (templated)
        check_data: whether input and resume data are validated against the workflow's own JSON
            Schemas before they are sent. A missing field is an error; what ``z.coerce`` or
            ``z.preprocess`` may convert is sent, with a warning.
        wait_for_completion: whether to wait for the run. Otherwise the task succeeds as soon as the
            server shows that the run executes, and has no return value.
        timeout: how long to wait; None for as long as it takes.
        on_suspend: what the task does when the run is suspended: ``"fail"`` fails, ``"return"``
            ends it without a result and pushes the ``suspensions``, ``"wait"`` waits until somebody
            resumes the run, ``"ask"`` shows a form to a person and resumes the run with the
            response.
        answers: responses by code, so that a person is asked only for the rest. Resume data, or a
            callable that takes the `Question` and returns it, by the step's name (``approve``,
            ``inner.approve``, ``review[2]``); or one callable for all. A callable that returns
            `mastra_workflows.hitl.ASK` leaves the question to a person. (templated)
        assigned_users: who may respond, as ``{"id": …, "name": …}``, one or several; None for
            everybody whom Airflow permits.
        notifiers: called when a person is asked, with the `Question` as ``mastra_question`` in the
            context; and again when a response was refused, with the reason as ``mastra_refusal``.
            What the question holds is text of the server: no template renders it, but a notifier
            has to escape it for HTML or Markdown, as `Question.body` does for Markdown.
        response_timeout: how long to wait for a person; None for as long as it takes. It begins
            anew with each try.
        on_response_timeout: what happens then: ``"fail"`` fails the task and leaves the run
            suspended, ``"cancel"`` cancels the run and fails, ``"answer"`` resumes the run with the
            ``default_answer``.
        default_answer: the resume data for that. (templated)
        response_poll_interval: the time between two polls of the run while the task waits for a
            response: whether the step was resumed elsewhere, or the run has finished.
        poll_interval: the time between the first polls of the run.
        max_poll_interval: what the interval grows to, exponentially.
        outage_timeout: how long the server may be unreachable while the task waits.
        stall_timeout: after how long without any change in the run's record its server is asked
            whether it still executes the run; None for never.
        on_stall: what to do when it does not, since it was restarted: ``"fail"``, ``"restart"`` the
            run, or ``"wait"`` on.
        observe: whether to subscribe to the server's events as well, which report the end within
            milliseconds.
        deferrable: whether to wait in the triggerer, holding no worker. The default is Airflow's
            own option ``[operators] default_deferrable``. An ``execution_timeout`` holds then too.
            The task stays deferred for ten seconds at least, which is what Airflow needs to settle
            it.
        defer_after: how long a deferrable task waits on its worker first. A run that finishes
            sooner does not defer, which would take Airflow longer.
        cancel_on_kill: whether the run is cancelled when the task is killed, marked as failed or
            successful, or cleared. Otherwise the log says that it continues. A worker that ends for
            a deploy leaves it: a retry attaches to it.
        cancel_on_timeout: whether the run is cancelled when the time to wait is over: ``timeout``,
            or ``execution_timeout``.
        **kwargs: everything that a `BaseOperator` takes.

    Durations are seconds or a timedelta.

    Raises:
        ConfigurationError: an option is out of its range, or two do not fit together.
        TypeError: an argument that no operator has.
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
        "answers",
        "default_answer",
        "mastra_conn_id",
    )
    template_fields_renderers = {  # noqa: RUF012 - as BaseOperator has it
        "input_data": "json",
        "initial_state": "json",
        "request_context": "json",
        "tracing_options": "json",
        "answers": "json",
        "default_answer": "json",
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
        answers: Answers | str | None = None,
        assigned_users: HITLUser | Sequence[HITLUser] | None = None,
        notifiers: BaseNotifier | Sequence[BaseNotifier] | None = None,
        response_timeout: Duration | None = None,
        on_response_timeout: OnResponseTimeout = "fail",
        default_answer: JSON = None,
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
                answers=answers,
                assigned_users=assigned_users,
                notifiers=notifiers,
                response_timeout=response_timeout,
                on_response_timeout=on_response_timeout,
                default_answer=default_answer,
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
        """The run that is this task instance's own, under the given id or one made for it."""
        given = MastraBaseOperator.choose_run_id(self, context) if self._has_run_id else None
        return identify(context, given)

    def start_or_resume(self, run: Run, context: Context) -> Run:
        """Start the run, or attach to what an earlier try has started."""
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
        """What to do about a run with other input: between retries, templated input may change."""
        is_own = identity.is_attached if identity.given is not None else identity.kind == "retry"
        return "attach" if is_own else self.on_other_input

    def _reuse_earlier(self, context: Context, identity: Identity) -> Identity | None:
        """The identity from before a clear, with ``on_clear="reuse_run"`` and a run worth it."""
        if not identity.earlier or self._choice_on_clear() != "reuse_run":
            return None
        workflow = self.hook.get_conn().get_workflow(self.workflow_id)
        if _record(workflow, identity.run_id) is not None:
            return None  # an attempt since the clear has decided otherwise
        # Some may have been chosen or derived, but never started.
        begun = (one for one in reversed(identity.earlier) if _record(workflow, one) is not None)
        before = next(begun, None)
        found = None if before is None else workflow.find_work(before)
        if before is None or found is None:
            self.log.info(
                "The task was cleared. on_clear is 'reuse_run', but the run from before failed, was"
                " cancelled or is gone; starting a new run."
            )
            return None
        self.log.warning("The task was cleared. on_clear is 'reuse_run': using %s.", found)
        self.identity = adopt(context, identity, before)
        return self.identity

    def check_rendered(self) -> None:
        """As the base class, and ``on_clear``."""
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
        """Cancel the runs of this task instance from before it was cleared, if it may do so.

        A task that is cleared while it is deferred is gone before anybody can act on its run.
        """
        workflow = self.hook.get_conn().get_workflow(self.workflow_id)
        for run_id in identity.earlier if self.cancel_on_kill else ():
            with contextlib.suppress(UnknownRunError):
                cancellation = workflow.cancel_work(run_id)
                if cancellation.requested:
                    self.log.warning(
                        "The task was cleared, but its run was not over. %s", cancellation
                    )
                elif cancellation.run.is_success and identity.kind == "cleared":
                    self.log.info(
                        "The task was cleared: starting a new run, although %s. To take such a "
                        "run's result instead, set on_clear='reuse_run', or the Airflow Variable "
                        "%r to 'reuse_run', before clearing.",
                        cancellation.run,
                        ON_CLEAR_VARIABLE,
                    )

    def stop(self, workflow: Workflow, run_id: str, *, confirm_timeout: float) -> Cancellation:
        """Cancel the task's run, or the one in line that took its place."""
        work = self.identity.run_id if self.identity else run_id
        return workflow.cancel_work(work, confirm_timeout=confirm_timeout, allow_retry=True)


def _record(workflow: Workflow, run_id: str) -> WorkflowRun | None:
    """A run's record; None if it was never started."""
    try:
        record = workflow.get_run(run_id).read()
    except UnknownRunError:
        return None
    return None if record.is_pending else record


def _started_after(context: Context, identity: Identity) -> datetime | None:
    """Before when no run of the task can have begun; None where runs of others are attached to."""
    dag_run: Any = context.get("dag_run")
    if identity.given is not None or identity.kind == "retry" or dag_run is None:
        return None
    # A clear of any task sets the start of a DAG run that was over anew.
    has_first_start = not dag_run.clear_number and dag_run.start_date is not None
    start: datetime = dag_run.start_date if has_first_start else dag_run.run_after
    return start


class MastraResumeWorkflowOperator(MastraHITLBaseOperator):
    """Resumes a suspended step of a run, waits for the run again, and returns its result.

    A retry, or another task, that has the same answer for the same step resumes nothing a second
    time; it waits for the run. On Airflow 3.3 and later the task's state stores which suspension an
    earlier try resumed. Before 3.3 a retry has only the run's record, which cannot distinguish the
    rounds of a loop: give ``suspended_at`` there.

    Args:
        workflow_id: the workflow's registry key. (templated)
        run_id: the suspended run. (templated)
        step: the step's path as a list, or its name, such as ``inner.approve``; None for the only
            one that waits. (templated)
        resume_data: the answer to what the step asked. (templated)
        for_each_index: which item of a ``foreach``, counted from 0; None for the only one that
            waits. (templated)
        suspended_at: since when the step waits, as its entry in ``suspensions`` says; None for
            whenever. In a loop it tells one round's question from the next one's. (templated)
        mastra_conn_id: the connection to the server. (templated)
        **kwargs: everything that a `BaseOperator` takes.

    The other arguments are those of `MastraRunWorkflowOperator`.
    """

    template_fields: Sequence[str] = (
        "workflow_id",
        "run_id",
        "step",
        "resume_data",
        "for_each_index",
        "suspended_at",
        "answers",
        "default_answer",
        "mastra_conn_id",
    )
    template_fields_renderers = {  # noqa: RUF012 - as BaseOperator has it
        "resume_data": "json",
        "answers": "json",
        "default_answer": "json",
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
        answers: Answers | str | None = None,
        assigned_users: HITLUser | Sequence[HITLUser] | None = None,
        notifiers: BaseNotifier | Sequence[BaseNotifier] | None = None,
        response_timeout: Duration | None = None,
        on_response_timeout: OnResponseTimeout = "fail",
        default_answer: JSON = None,
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
                answers=answers,
                assigned_users=assigned_users,
                notifiers=notifiers,
                response_timeout=response_timeout,
                on_response_timeout=on_response_timeout,
                default_answer=default_answer,
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
        """Resume the step, unless an earlier try has done so."""
        assert self.identity is not None
        state = ResumeState(context, self.identity)
        if state.is_resumed:
            self.log.info("An earlier try resumed the step; it is not resumed again.")
            return run
        suspended_at = state.suspended_at or self.suspended_at
        if state.is_kept:
            suspended_at = suspended_at or self._asked_at(run)
            state.note(suspended_at, is_resumed=False)
        record = run.attach_or_resume(
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
        """Since when the one suspension waits that is meant; None if there is none, or several."""
        from mastra_workflows.integration import Answer

        answer = Answer(step=self.step, for_each_index=as_index(self.for_each_index))
        fitting = [item for item in run.read().suspensions if answer.fits(item)]
        return to_iso(fitting[0].suspended_at) if len(fitting) == 1 else None


class MastraCancelWorkflowRunOperator(MastraBaseOperator):
    """Cancels a run, and polls it until it is finished.

    A finished run is left as it is, and its result is returned if it succeeded. The task succeeds
    even if the run continues, because a step ignores its abort signal; the log and the XCom
    ``status`` show that.

    Args:
        workflow_id: the workflow's registry key. (templated)
        run_id: the run. (templated)
        mastra_conn_id: the connection to the server. (templated)
        **kwargs: everything that a `BaseOperator` takes.
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
            The result of a run that succeeded before it was cancelled; None for any other.
        """
        with as_airflow_errors(), self.hook:
            run = self.handle(context)
            cancellation = run.cancel()
            say = self.log.info if cancellation.is_confirmed else self.log.warning
            say("%s", cancellation)
            return self.result(cancellation.run, context)


def as_index(value: int | str | None) -> int | None:
    """A templated number as a number."""
    if value is None or isinstance(value, int):
        return value
    try:
        return int(value)
    except ValueError:
        raise ConfigurationError(
            f"for_each_index is {value!r}; it must be a number. Nothing was sent."
        ) from None
