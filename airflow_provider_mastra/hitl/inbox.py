"""An inbox: a DAG that requests human input for all suspended runs of a workflow.

The runs may have been started by any client. One call creates the DAG::

    mastra_inbox(dag_id="refund_inbox", workflow_id="refundApproval")
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Unpack
from urllib.parse import quote

from airflow.sdk import DAG, Asset, AssetWatcher

from airflow_provider_mastra.hooks.mastra import MastraHook
from airflow_provider_mastra.operators.hitl import MastraHITLOperator
from airflow_provider_mastra.operators.inbox import MastraInboxOperator
from airflow_provider_mastra.triggers.suspension import MastraSuspensionTrigger
from mastra_workflows.integration import LOOKBACK_SECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_mastra.operators.hitl import InboxArguments
    from mastra_workflows import Duration

__all__ = ["mastra_inbox", "mastra_pending_requests"]

REPEAT_SECONDS = 3600.0
RETRY_DELAY = timedelta(seconds=10)


def mastra_pending_requests(
    workflow_id: str,
    *,
    mastra_conn_id: str = MastraHook.default_conn_name,
    poll_interval: Duration = 10.0,
    max_poll_interval: Duration = 60.0,
    lookback: Duration = LOOKBACK_SECONDS,
    repeat_after: Duration | None = None,
) -> Asset:
    """Create an asset that is updated for new pending requests of a workflow's suspended runs.

    Use it to schedule your own DAG: ``DAG(…, schedule=mastra_pending_requests("refundApproval"))``.
    `MastraSuspensionTrigger` describes the events and their guarantees. Airflow polls the server
    only while a DAG that is scheduled on the asset is not paused.

    Args:
        workflow_id: the workflow's registry key, such as ``refundApproval``.
        mastra_conn_id: the id of the Airflow connection to the server.
        poll_interval: see `MastraSuspensionTrigger`.
        max_poll_interval: see `MastraSuspensionTrigger`.
        lookback: see `MastraSuspensionTrigger`.
        repeat_after: see `MastraSuspensionTrigger`.
    """
    name = f"mastra-pending-requests/{quote(mastra_conn_id, safe='')}/{quote(workflow_id, safe='')}"
    trigger = MastraSuspensionTrigger(
        workflow_id=workflow_id,
        mastra_conn_id=mastra_conn_id,
        poll_interval=poll_interval,
        max_poll_interval=max_poll_interval,
        lookback=lookback,
        repeat_after=repeat_after,
    )
    return Asset(name, watchers=[AssetWatcher(name=name, trigger=trigger)])


def mastra_inbox(
    *,
    dag_id: str,  # a keyword, because Airflow ignores files without the word "dag"
    workflow_id: str,
    mastra_conn_id: str = MastraHook.default_conn_name,
    poll_interval: Duration = 10.0,
    max_poll_interval: Duration = 60.0,
    lookback: Duration = LOOKBACK_SECONDS,
    repeat_after: Duration | None = REPEAT_SECONDS,
    dag_arguments: Mapping[str, Any] | None = None,
    **options: Unpack[InboxArguments],
) -> DAG:
    """Create a DAG that requests human input for all suspended runs of a workflow.

    The runs may have been started by this Airflow, by another one or by an application. Each
    pending request gets a separate DAG run with one form; the request's key is the DAG run's id.
    The next round of a step is a separate request, and so are parallel steps and the items of a
    ``foreach``. The task ``ask`` shows the form, resumes the run and returns its result, for tasks
    that you add after it::

        with mastra_inbox(dag_id="refund_inbox", workflow_id="refundApproval") as dag:
            report(dag.get_task("ask").output)

    A request that somebody responds to elsewhere passes through. The DAG runs that Airflow triggers
    for new requests only create the DAG runs of those requests (task ``hand_out``); so do DAG runs
    that you trigger by hand.

    Args:
        dag_id: the DAG's id.
        workflow_id: the workflow's registry key, such as ``refundApproval``.
        mastra_conn_id: the id of the Airflow connection to the server.
        poll_interval: the initial poll interval in seconds; each poll without new requests doubles
            it.
        max_poll_interval: the upper limit of the poll interval, in seconds.
        lookback: the maximum age of the runs to read on a 0.x server, in seconds.
        repeat_after: after how many seconds to report the pending requests again. This creates no
            duplicate DAG runs, but recovers lost events, such as those of a DAG that was just being
            paused.
        dag_arguments: further arguments of the DAG. By default, the DAG has at most 100 active
            runs, which are pending requests; further ones are queued.
        **options: ``assigned_users``, ``response_timeout``, ``responses`` and more: see
            `MastraHITLOperator`. There are 3 retries by default; a retry does not show the form
            again.

    Returns:
        The DAG. Airflow discovers it in the DAG file without further code.
    """
    asset = mastra_pending_requests(
        workflow_id,
        mastra_conn_id=mastra_conn_id,
        poll_interval=poll_interval,
        max_poll_interval=max_poll_interval,
        lookback=lookback,
        repeat_after=repeat_after,
    )
    arguments: dict[str, Any] = {
        "max_active_runs": 100,
        "tags": ["mastra"],
        "doc_md": f"Asks people what suspended runs of the Mastra workflow `{workflow_id}` ask.",
        **(dag_arguments or {}),
    }
    with DAG(dag_id, schedule=asset, **arguments) as dag:
        hand_out = MastraInboxOperator(
            task_id="hand_out",
            workflow_id=workflow_id,
            mastra_conn_id=mastra_conn_id,
            lookback=lookback,
            retries=3,
            retry_delay=RETRY_DELAY,
        )
        pending_request: Any = hand_out.output
        MastraHITLOperator(
            task_id="ask",
            workflow_id=workflow_id,
            mastra_conn_id=mastra_conn_id,
            run_id=pending_request["run_id"],
            step=pending_request["step"],
            for_each_index=pending_request["for_each_index"],
            suspended_at=pending_request["suspended_at"],
            **{"retries": 3, "retry_delay": RETRY_DELAY, **options},  # type: ignore[arg-type]
        )
    return dag
