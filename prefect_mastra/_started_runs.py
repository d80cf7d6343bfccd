"""Record the runs that a flow run starts, so that a hook can cancel them after a crash.

A killed process cannot cancel its runs, but Prefect's runner calls the flow's hooks in another
process. If a flow has such a hook, each run is therefore recorded before it starts, as an artifact
of the flow run. Labels are not suitable: Prefect's server reads, merges and writes them without a
lock. On PostgreSQL, most of ten concurrent tasks lose their label.
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
"""The artifact's type: a table of one row, shown on the flow run's page in Prefect."""

METADATA = {"mastra": "run"}
"""The artifact's metadata, which distinguishes it from the user's tables."""

PAGE_SIZE = 200
UNREACHABLE = (PrefectException, HTTPError, OSError)
"""Exceptions of Prefect's client for an unreachable or failing Prefect server."""


def record_run(run: MastraWorkflowRun) -> None:
    """Record a run that is about to start. If that fails, log a warning and continue."""
    for flow_run_id in _flow_runs_with_a_hook():
        try:
            with get_client(sync_client=True) as client:
                client.create_artifact(_artifact(run, flow_run_id))
        except UNREACHABLE as error:
            _log_not_recorded(run, error)


async def arecord_run(run: MastraWorkflowRun) -> None:
    """Record a run that is about to start; the asyncio version of `record_run`."""
    for flow_run_id in _flow_runs_with_a_hook():
        try:
            async with get_client() as client:
                await client.create_artifact(_artifact(run, flow_run_id))
        except UNREACHABLE as error:
            _log_not_recorded(run, error)


def recorded_runs(flow_run_id: UUID) -> Iterator[dict[str, Any]]:
    """Iterate the recorded runs of a flow run: the latest record of each run.

    Anybody may edit an artifact. One that is no record is skipped with a warning, so that it does
    not keep the hook from the other runs.
    """
    wanted = {"flow_run_id": {"any_": [str(flow_run_id)]}, "type": {"any_": [ARTIFACT_TYPE]}}
    seen: set[tuple[str, str]] = set()
    offset = 0
    with get_client(sync_client=True) as client:
        while page := _read_artifacts(client, wanted, offset):
            offset += len(page)
            for artifact in page:
                if artifact.metadata_ != METADATA:
                    continue
                note = _parse(artifact)
                if note is None:
                    log.warning("Artifact %s is not a valid record of a run; skipped.", artifact.id)
                    continue
                which = (note["workflow_id"], note["run_id"])
                if which not in seen:
                    seen.add(which)
                    yield note


def _parse(artifact: Artifact) -> dict[str, Any] | None:
    """Return the record in an artifact; None if the artifact was edited."""
    try:
        (note,) = json.loads(str(artifact.data))
        texts = (note["workflow_id"], note["run_id"], note["base_url"])
        is_record = all(isinstance(text, str) for text in texts) and (
            isinstance(note["server"], str | None) and isinstance(note["cancel"], bool)
        )
    except (KeyError, RecursionError, TypeError, ValueError):
        return None
    return note if is_record else None


def _read_artifacts(
    client: SyncPrefectClient, wanted: dict[str, Any], offset: int
) -> list[Artifact]:
    """Read a page of artifacts, newest first.

    The client method of Prefect 3.8 only works for artifacts of task runs: the server rejects the
    null that it sends as the task run filter.
    """
    body = {"artifacts": wanted, "sort": "CREATED_DESC", "limit": PAGE_SIZE, "offset": offset}
    response = client.request("POST", "/artifacts/filter", json=body)
    return Artifact.model_validate_list(response.json())


def _flow_runs_with_a_hook() -> Iterator[UUID]:
    """Iterate the ids of enclosing flow runs whose flow has a hook that may read the records.

    Other flow runs get no record, since each one costs a request. Any hook counts, because a
    user's hook may call `cancel_mastra_runs`.
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
        description="A Mastra run of this flow run, recorded for its hook `cancel_mastra_runs`.",
        data=json.dumps([note], ensure_ascii=False),
        metadata_=METADATA,
        flow_run_id=flow_run_id,
    )


def _log_not_recorded(run: MastraWorkflowRun, error: Exception) -> None:
    log.warning(
        "Run %r could not be recorded for the flow run (%s). If this process is killed, no hook "
        "cancels the run.",
        run.run_id,
        type(error).__name__,
    )
