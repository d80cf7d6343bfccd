"""An inbox: a DAG that asks people what the suspended runs of a workflow ask, whoever started them.

One line makes it::

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

REPEAT_SECONDS = 3600.0
RETRY_DELAY = timedelta(seconds=10)


def mastra_questions(
    workflow_id: str,
    *,
    mastra_conn_id: str = MastraHook.default_conn_name,
    poll_interval: Duration = 10.0,
    max_poll_interval: Duration = 60.0,
    lookback: Duration = LOOKBACK_SECONDS,
    repeat_after: Duration | None = None,
) -> Asset:
    """An asset that is updated when suspended runs of a workflow ask something new.

    For a DAG of one's own: ``DAG(…, schedule=mastra_questions("refundApproval"))``. What is in an
    event, and what it is worth, `MastraSuspensionTrigger` tells. Airflow looks at the server only
    while a DAG that waits for the asset is not paused.

    Args:
        workflow_id: the workflow's registry key, such as ``refundApproval``.
        mastra_conn_id: the connection to the server.
        poll_interval: as those of `MastraSuspensionTrigger`.
        max_poll_interval: likewise.
        lookback: likewise.
        repeat_after: likewise.
    """
    name = f"mastra-questions/{quote(mastra_conn_id, safe='')}/{quote(workflow_id, safe='')}"
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
    dag_id: str,  # by keyword: Airflow passes over a file without the word "dag" in it
    workflow_id: str,
    mastra_conn_id: str = MastraHook.default_conn_name,
    poll_interval: Duration = 10.0,
    max_poll_interval: Duration = 60.0,
    lookback: Duration = LOOKBACK_SECONDS,
    repeat_after: Duration | None = REPEAT_SECONDS,
    dag_arguments: Mapping[str, Any] | None = None,
    **options: Unpack[InboxArguments],
) -> DAG:
    """A DAG that asks a person whatever a suspended run of a workflow asks.

    Whoever started the run: this Airflow, another one, the application. Each question gets a DAG
    run of its own, with one form, whose id is the question's key: a step's next round is another
    one, and so are parallel steps and the items of a ``foreach``. The task ``ask`` shows the form,
    resumes the run and returns its result, for tasks that you put after it::

        with mastra_inbox(dag_id="refund_inbox", workflow_id="refundApproval") as dag:
            tell(dag.get_task("ask").output)

    A question that is answered elsewhere passes through. The DAG runs that Airflow starts when
    there is something new only hand the questions out (``hand_out``); one that you start by hand
    does so, too.

    Args:
        dag_id: the DAG's id.
        workflow_id: the workflow's registry key, such as ``refundApproval``.
        mastra_conn_id: the connection to the server.
        poll_interval: seconds until the next look at the server; each one without news doubles it.
        max_poll_interval: the longest time between two looks, in seconds.
        lookback: how old a run of a 0.x server may be that is looked at, in seconds.
        repeat_after: after how many seconds the open questions are handed out again. That asks
            nothing twice, but what was lost: what a watcher tells a DAG that is being paused.
        dag_arguments: more arguments of the DAG. By default it has up to 100 active runs, that is
            open questions; further ones wait until one of those is answered.
        **options: ``assigned_users``, ``response_timeout``, ``answers`` and more: see
            `MastraHITLOperator`. A retry asks nothing anew; there are 3 by default.

    Returns:
        The DAG. Airflow finds it in the DAG file by itself.
    """
    asset = mastra_questions(
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
        question: Any = hand_out.output
        MastraHITLOperator(
            task_id="ask",
            workflow_id=workflow_id,
            mastra_conn_id=mastra_conn_id,
            run_id=question["run_id"],
            step=question["step"],
            for_each_index=question["for_each_index"],
            suspended_at=question["suspended_at"],
            **{"retries": 3, "retry_delay": RETRY_DELAY, **options},  # type: ignore[arg-type]
        )
    return dag
