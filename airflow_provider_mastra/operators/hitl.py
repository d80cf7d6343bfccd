"""A gate: an operator that requests human input for the run of another task."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Unpack

from airflow_provider_mastra.hitl._downstream_gates import source_task_ids
from airflow_provider_mastra.hooks.mastra import MastraHook
from airflow_provider_mastra.operators._hitl import MastraHITLBaseOperator
from airflow_provider_mastra.operators._options import DEFAULT_DEFERRABLE, OperatorOptions
from airflow_provider_mastra.operators.workflow import as_index
from airflow_provider_mastra.utils._arguments import CommonArguments

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import Context
    from airflow.sdk.bases.notifier import BaseNotifier
    from airflow.sdk.execution_time.hitl import HITLUser

    from airflow_provider_mastra.utils._arguments import OperatorArguments
    from mastra_workflows import JSON, Duration, OnStall, Run
    from mastra_workflows.hitl import OnResponseTimeout, PendingRequest, Responses

__all__ = ["MastraHITLOperator"]


class InboxArguments(CommonArguments, total=False):
    """Arguments of the gate in an inbox: see `MastraHITLOperator`."""

    check_data: bool
    timeout: Duration | None
    responses: Responses | str | None
    assigned_users: HITLUser | Sequence[HITLUser] | None
    notifiers: BaseNotifier | Sequence[BaseNotifier] | None
    response_timeout: Duration | None
    on_response_timeout: OnResponseTimeout
    default_response: JSON
    response_poll_interval: Duration
    outage_timeout: Duration
    stall_timeout: Duration | None
    on_stall: OnStall
    observe: bool
    deferrable: bool
    defer_after: Duration
    cancel_on_kill: bool
    cancel_on_timeout: bool


class GateArguments(InboxArguments, total=False):
    """Arguments of gates: see `MastraHITLOperator`."""

    mastra_conn_id: str
    poll_interval: Duration
    max_poll_interval: Duration


class MastraHITLOperator(MastraHITLBaseOperator):
    """Request human input for a suspended run, resume the run, wait for it and return its result.

    Such a task is called a gate. The run may belong to another task, to another DAG or to another
    application. The gate returns the result of a run that has already finished. If the run has no
    pending request that the gate is responsible for, the gate succeeds without a result.

    A gate without ``step`` handles the run's first pending request, and further rounds of it whose
    form looks the same. It leaves other requests to the next gate for this run, and fails if there
    is none. A gate with ``step`` handles only the requests of that step; a run that is suspended at
    another step stays unchanged.

    Args:
        workflow_id: the workflow's registry key, such as ``refundApproval``. (templated)
        run_id: the id of the run. (templated)
        step: the step's path as a list, or its name, such as ``inner.approve``; None for any step.
            (templated)
        for_each_index: the index of a ``foreach`` item, starting at 0; None for any item.
            (templated)
        suspended_at: when the step was suspended, as in its entry in ``suspensions``; None for any
            time. (templated)
        pending_request_key: the `PendingRequest.key` of the pending request, used instead of
            ``step``, ``for_each_index`` and ``suspended_at``; None for any request. It is not
            templated: unlike a step's name, it can be mapped with ``expand_kwargs``, whose values
            Airflow renders.
        mastra_conn_id: the id of the Airflow connection to the server. (templated)
        **kwargs: all arguments of `BaseOperator`.

    The other arguments are those of `MastraRunWorkflowOperator` with ``on_suspend="ask"``.
    """

    is_gate: ClassVar[bool] = True
    has_started_run: ClassVar[bool] = False
    template_fields: Sequence[str] = (
        "workflow_id",
        "run_id",
        "step",
        "for_each_index",
        "suspended_at",
        "responses",
        "default_response",
        "mastra_conn_id",
    )
    template_fields_renderers = {  # noqa: RUF012 - as BaseOperator has it
        "responses": "json",
        "default_response": "json",
    }

    def __init__(
        self,
        *,
        workflow_id: str,
        run_id: str,
        step: str | Sequence[str] | None = None,
        for_each_index: int | str | None = None,
        suspended_at: str | None = None,
        pending_request_key: str | None = None,
        mastra_conn_id: str = MastraHook.default_conn_name,
        check_data: bool = True,
        timeout: Duration | None = None,
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
                wait_for_completion=True,
                timeout=timeout,
                on_suspend="ask",
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
        self.gated_task_ids = source_task_ids(run_id)
        self.step = step
        self.for_each_index = for_each_index
        self.suspended_at = suspended_at
        self.pending_request_key = pending_request_key

    @property
    def place(self) -> str:
        """A label for the suspended step: ``inner.approve``, ``review[2]`` or ``review-2``."""
        if self.pending_request_key is not None:
            return self.pending_request_key.rpartition("-")[0]
        step = self.step or ""
        item = "" if self.for_each_index is None else f"[{self.for_each_index}]"
        return (step if isinstance(step, str) else ".".join(step)) + item

    def start_or_resume(self, run: Run, context: Context) -> Run:
        """Return the run unchanged: it was started elsewhere."""
        return run

    def should_respond_to(self, pending_request: PendingRequest) -> bool:
        """Whether the gate is responsible for the pending request."""
        if self.pending_request_key is not None:
            return pending_request.key == self.pending_request_key
        from mastra_workflows.integration import ResumeOptions

        wanted = ResumeOptions(
            step=self.step,
            for_each_index=as_index(self.for_each_index),
            suspended_at=self.suspended_at,
        )
        return wanted.fits(pending_request.suspension)
