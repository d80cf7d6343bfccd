"""The operator that creates one DAG run for each pending request of suspended runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from airflow.providers.common.compat.sdk import BaseOperator, DownstreamTasksSkipped

from airflow_provider_mastra.hooks.mastra import MastraHook
from airflow_provider_mastra.utils._arguments import naming, reject_unknown
from airflow_provider_mastra.utils._errors import as_airflow_errors
from mastra_workflows.hitl import InboxState, pending_request_reference
from mastra_workflows.integration import (
    LOOKBACK_SECONDS,
    as_seconds,
    from_iso,
    require_positive,
    safe_text,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_mastra.utils._arguments import OperatorArguments
    from mastra_workflows import Duration
    from mastra_workflows.hitl import PendingRequestReference

__all__ = ["MastraInboxOperator"]

PENDING_REQUEST = "mastra_pending_request"
"""The key of the pending request in a DAG run's conf."""


class MastraInboxOperator(BaseOperator):
    """Create a DAG run for each pending request of a workflow's suspended runs; see `mastra_inbox`.

    In a DAG run that was triggered by asset events or by hand, the operator polls the server,
    creates a DAG run of the same DAG for each pending request, and skips its downstream tasks. The
    request's key is the DAG run's id, which is unique in Airflow's database. Each request is
    therefore deduplicated, even if the triggerer reports it again after a crash or the task is
    retried. The operator does not rely on the content of the events, because Airflow may withhold
    some of them.

    In the DAG run of a pending request, the operator returns the request for the downstream tasks,
    and pushes each of its fields as a separate XCom.

    Args:
        workflow_id: the workflow's registry key. (templated)
        mastra_conn_id: the id of the Airflow connection to the server. (templated)
        lookback: the maximum age of the runs to read on a 0.x server, in seconds or as a timedelta.
            Used if the events contain no lower bound.
        **kwargs: all arguments of `BaseOperator`.
    """

    template_fields: Sequence[str] = ("workflow_id", "mastra_conn_id")

    def __init__(
        self,
        *,
        workflow_id: str,
        mastra_conn_id: str = MastraHook.default_conn_name,
        lookback: Duration = LOOKBACK_SECONDS,
        **kwargs: Unpack[OperatorArguments],
    ) -> None:
        reject_unknown(type(self), kwargs)
        kwargs.setdefault("multiple_outputs", True)
        super().__init__(**kwargs)
        self.workflow_id = workflow_id
        self.mastra_conn_id = mastra_conn_id
        with naming(self):
            self.lookback = as_seconds("lookback", lookback)
            require_positive(lookback=self.lookback)

    def execute(self, context: Context) -> PendingRequestReference:
        """Return the DAG run's pending request, or create the DAG runs and skip downstream tasks.

        Returns:
            ``key, workflow_id, run_id, step, for_each_index, suspended_at``.
        """
        conf: dict[str, Any] = context["dag_run"].conf or {}
        pending_request: PendingRequestReference | None = conf.get(PENDING_REQUEST)
        if pending_request is not None:
            return pending_request
        since = _since(context["triggering_asset_events"])
        with as_airflow_errors():
            for pending_request in self._pending_requests(since):
                self._hand_out(context["ti"].dag_id, pending_request)
        skipped = sorted(self.downstream_task_ids)
        raise DownstreamTasksSkipped(tasks=skipped)  # type: ignore[no-untyped-call]

    def _pending_requests(self, since: datetime | None) -> list[PendingRequestReference]:
        with MastraHook(self.mastra_conn_id) as hook:
            workflow = hook.get_conn().get_workflow(self.workflow_id)
            look = workflow.new_pending_requests(
                InboxState(since=since), lookback=self.lookback, most=None
            )
        return [
            pending_request_reference(pending_request) for pending_request in look.pending_requests
        ]

    def _hand_out(self, dag_id: str, pending_request: PendingRequestReference) -> None:
        step = ".".join(pending_request["step"])
        if trigger_dag_run(dag_id, pending_request["key"], {PENDING_REQUEST: pending_request}):
            what = "Step %r of run %r waits for a response; created DAG run %r."
            run_id = safe_text(pending_request["run_id"])
            self.log.info(what, safe_text(step), run_id, pending_request["key"])
        else:
            self.log.debug("DAG run %r exists already.", pending_request["key"])


def _since(triggering_asset_events: Any) -> datetime | None:
    """Return the time before which all runs have finished, according to the events."""
    extras = [
        event.extra or {} for of_asset in triggering_asset_events.values() for event in of_asset
    ]
    payloads = [extra.get("payload") for extra in extras]
    times = [payload.get("since") for payload in payloads if isinstance(payload, dict)]
    return max((time for time in map(from_iso, times) if time is not None), default=None)


def trigger_dag_run(dag_id: str, run_id: str, conf: dict[str, Any]) -> bool:
    """Create a DAG run the way Airflow's TriggerDagRunOperator does, which creates only one.

    Returns:
        True if the DAG run is new; False if the id already exists.

    Raises:
        AirflowRuntimeError: Airflow refused the request.
    """
    # Not needed to import a DAG file.
    from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
    from airflow.sdk.execution_time.comms import ErrorResponse, TriggerDagRun
    from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

    request = TriggerDagRun(dag_id=dag_id, run_id=run_id, conf=conf)
    try:
        response: Any = SUPERVISOR_COMMS.send(request)
    except AirflowRuntimeError as error:
        response = error.error
    if not isinstance(response, ErrorResponse):
        return True
    if response.error == ErrorType.DAGRUN_ALREADY_EXISTS:
        return False
    raise AirflowRuntimeError(response)
