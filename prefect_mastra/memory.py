"""Which runs a flow run has started, kept where a hook finds it after the process is gone.

A killed process can cancel nothing. But Prefect's runner calls the flow's hooks in a process of its
own. So where a flow has such a hook, each run is noted in the flow run's labels before it starts.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext
from prefect.exceptions import PrefectException

from prefect_mastra.identity import enclosing_runs

if TYPE_CHECKING:
    from uuid import UUID

    from prefect_mastra.runs import MastraWorkflowRun

log = logging.getLogger("mastra_workflows.prefect")

PREFIX = "mastra.run."
HOOKS = "prefect_mastra.hooks"


def remember(run: MastraWorkflowRun) -> None:
    """Note a run that is about to be started; a note that cannot be taken is no reason not to."""
    for flow_run_id in _flow_runs_with_a_hook():
        try:
            with get_client(sync_client=True) as client:
                client.update_flow_run_labels(flow_run_id, _labels(run))
        except (PrefectException, OSError) as error:
            _say_not_noted(run, error)


async def aremember(run: MastraWorkflowRun) -> None:
    """As `remember`."""
    for flow_run_id in _flow_runs_with_a_hook():
        try:
            async with get_client() as client:
                await client.update_flow_run_labels(flow_run_id, _labels(run))
        except (PrefectException, OSError) as error:
            _say_not_noted(run, error)


def recall(labels: dict[str, Any]) -> list[dict[str, Any]]:
    """The runs that a flow run's labels tell of, as `remember` noted them."""
    return [json.loads(value) for name, value in labels.items() if name.startswith(PREFIX)]


def _flow_runs_with_a_hook() -> Iterator[UUID]:
    """The flow runs around this call whose flow would read a note; taking one costs a request."""
    for context in enclosing_runs():
        if isinstance(context, FlowRunContext) and context.flow is not None:
            hooks = [*context.flow.on_cancellation_hooks, *context.flow.on_crashed_hooks]
            if context.flow_run is not None and any(_reads_notes(hook) for hook in hooks):
                yield context.flow_run.id


def _reads_notes(hook: Any) -> bool:
    return getattr(hook, "__module__", None) == HOOKS


def _labels(run: MastraWorkflowRun) -> dict[str, Any]:
    block = run.server._block_document_id
    note = {
        "workflow_id": run.workflow_id,
        "run_id": run.run_id,
        "server": str(block) if block else None,
        "base_url": run.server.base_url,
        "cancel": run.cancels_on_kill,
    }
    return {PREFIX + run.run_id: json.dumps(note, ensure_ascii=False)}


def _say_not_noted(run: MastraWorkflowRun, error: Exception) -> None:
    log.warning(
        "Run %r could not be noted in the flow run's labels (%s): if this process is killed, no "
        "hook will find it.",
        run.run_id,
        type(error).__name__,
    )
