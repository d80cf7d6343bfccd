"""The operator that creates one DAG run for each pending request of suspended runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from airflow.providers.common.compat.sdk import BaseOperator, DownstreamTasksSkipped

from airflow_provider_mastra.hooks.mastra import MastraHook
from airflow_provider_mastra.utils._arguments import naming, reject_unknown
from airflow_provider_mastra.utils._errors import as_airflow_errors
from mastra_workflows.hitl import InboxState, question_reference
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
    from mastra_workflows.hitl import QuestionReference

QUESTION = "mastra_question"
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

    def execute(self, context: Context) -> QuestionReference:
        """Return the DAG run's pending request, or create the DAG runs and skip downstream tasks.

        Returns:
            ``key, workflow_id, run_id, step, for_each_index, suspended_at``.
        """
        conf: dict[str, Any] = context["dag_run"].conf or {}
        question: QuestionReference | None = conf.get(QUESTION)
        if question is not None:
            return question
        since = _since(context["triggering_asset_events"])
        with as_airflow_errors():
            for question in self._open_questions(since):
                self._hand_out(context["ti"].dag_id, question)
        skipped = sorted(self.downstream_task_ids)
        raise DownstreamTasksSkipped(tasks=skipped)  # type: ignore[no-untyped-call]

    def _open_questions(self, since: datetime | None) -> list[QuestionReference]:
        with MastraHook(self.mastra_conn_id) as hook:
            workflow = hook.get_conn().get_workflow(self.workflow_id)
            look = workflow.new_questions(
                InboxState(since=since), lookback=self.lookback, most=None
            )
        return [question_reference(question) for question in look.questions]

    def _hand_out(self, dag_id: str, question: QuestionReference) -> None:
        step = ".".join(question["step"])
        if trigger_dag_run(dag_id, question["key"], {QUESTION: question}):
            what = "Step %r of run %r asks for an answer: DAG run %r"
            run_id = safe_text(question["run_id"])
            self.log.info(what, safe_text(step), run_id, question["key"])
        else:
            self.log.debug("DAG run %r exists already.", question["key"])


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
        answer: Any = SUPERVISOR_COMMS.send(request)
    except AirflowRuntimeError as error:
        answer = error.error
    if not isinstance(answer, ErrorResponse):
        return True
    if answer.error == ErrorType.DAGRUN_ALREADY_EXISTS:
        return False
    raise AirflowRuntimeError(answer)
