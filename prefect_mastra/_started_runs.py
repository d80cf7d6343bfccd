"""Which runs a flow run has started, kept where a hook finds it after the process is gone.

A killed process can cancel nothing. But Prefect's runner calls the flow's hooks in a process of its
own. So where a flow has such a hook, each run is noted before it starts, as an artifact of the flow
run. (Its labels would not do: the server reads, merges and writes these without a lock, and of ten
tasks that note a run at once on PostgreSQL most lose theirs.)
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from httpx import HTTPError
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import ArtifactCreate
from prefect.client.schemas.objects import Artifact
from prefect.context import FlowRunContext
from prefect.exceptions import PrefectException

from prefect_mastra._run_ids import enclosing_runs

if TYPE_CHECKING:
    from uuid import UUID

    from prefect_mastra.runs import MastraWorkflowRun

log = logging.getLogger("mastra_workflows.prefect")

ARTIFACT_TYPE = "table"
"""The artifact's type: a table of one row, which Prefect's page of the flow run shows."""

METADATA = {"mastra": "run"}
"""The artifact's metadata: what tells it from tables of the user's own."""

PAGE_SIZE = 200
UNREACHABLE = (PrefectException, HTTPError, OSError)
"""What Prefect's client raises when its server does not answer, or not well."""


def record_run(run: MastraWorkflowRun) -> None:
    """Note a run that is about to be started; a note that cannot be taken is no reason not to."""
    for flow_run_id in _flow_runs_with_a_hook():
        try:
            with get_client(sync_client=True) as client:
                client.create_artifact(_artifact(run, flow_run_id))
        except UNREACHABLE as error:
            _log_not_recorded(run, error)


async def arecord_run(run: MastraWorkflowRun) -> None:
    """As `record_run`."""
    for flow_run_id in _flow_runs_with_a_hook():
        try:
            async with get_client() as client:
                await client.create_artifact(_artifact(run, flow_run_id))
        except UNREACHABLE as error:
            _log_not_recorded(run, error)


def recorded_runs(flow_run_id: UUID) -> Iterator[dict[str, Any]]:
    """The runs of a flow run, each once, as `record_run` noted them last."""
    wanted = {"flow_run_id": {"any_": [str(flow_run_id)]}, "type": {"any_": [ARTIFACT_TYPE]}}
    seen: set[tuple[str, str]] = set()
    offset = 0
    with get_client(sync_client=True) as client:
        while page := _read_artifacts(client, wanted, offset):
            offset += len(page)
            for artifact in page:
                if artifact.metadata_ != METADATA:
                    continue
                (note,) = json.loads(str(artifact.data))
                which = (note["workflow_id"], note["run_id"])
                if which not in seen:
                    seen.add(which)
                    yield note


def _read_artifacts(
    client: SyncPrefectClient, wanted: dict[str, Any], offset: int
) -> list[Artifact]:
    """A page of artifacts, the newest first. (The client's own method for it, in Prefect 3.8, works
    only for artifacts of task runs: its server refuses the null in the place of their filter.)"""
    body = {"artifacts": wanted, "sort": "CREATED_DESC", "limit": PAGE_SIZE, "offset": offset}
    response = client.request("POST", "/artifacts/filter", json=body)
    return Artifact.model_validate_list(response.json())


def _flow_runs_with_a_hook() -> Iterator[UUID]:
    """The flow runs around this call whose flow has a hook, which may read a note.

    Taking a note costs a request. Which hooks read it cannot be seen from outside: the user's own
    may call `cancel_mastra_runs`.
    """
    for context in enclosing_runs():
        if isinstance(context, FlowRunContext) and context.flow is not None:
            flow = context.flow
            hooks = flow.on_cancellation_hooks, flow.on_crashed_hooks, flow.on_failure_hooks
            if context.flow_run is not None and any(hooks):
                yield context.flow_run.id


def _artifact(run: MastraWorkflowRun, flow_run_id: UUID) -> ArtifactCreate:
    block = run.server._block_document_id
    note = {
        "workflow_id": run.workflow_id,
        "run_id": run.run_id,
        "server": str(block) if block else None,
        "base_url": run.server.base_url,
        "cancel": run.cancels_on_kill,
    }
    return ArtifactCreate(
        type=ARTIFACT_TYPE,
        description="A Mastra run of this flow run, noted for its hook `cancel_mastra_runs`.",
        data=json.dumps([note], ensure_ascii=False),
        metadata_=METADATA,
        flow_run_id=flow_run_id,
    )


def _log_not_recorded(run: MastraWorkflowRun, error: Exception) -> None:
    log.warning(
        "Run %r could not be noted with the flow run (%s): if this process is killed, no "
        "hook will find it.",
        run.run_id,
        type(error).__name__,
    )
