"""A hook for flows, for what a process that was killed could not do itself."""

from __future__ import annotations

from typing import Any

from prefect.client.schemas.objects import FlowRun, State
from prefect.flows import Flow
from prefect.logging.loggers import flow_run_logger

from mastra_workflows.errors import MastraError, UnknownRunError
from prefect_mastra import _started_runs
from prefect_mastra.blocks import MastraServer


def cancel_mastra_runs(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Cancel the runs that a flow run has left behind; add it in one line::

        @flow(on_cancellation=[cancel_mastra_runs], on_crashed=[cancel_mastra_runs])

    It may also stand in ``on_failure``, and a hook of your own may call it. `run_workflow` and
    `arun_workflow` have it already; a flow that calls them needs it itself, since Prefect calls
    only the hooks of the flow that the ended process was started for.

    It finds them among the flow run's artifacts, where each was noted before it was started. It
    reaches servers that are saved as blocks (`MastraServer.load`), and servers without a token; of
    others it says that their runs go on. Runs with ``cancel_on_kill`` off, and runs that are over,
    it leaves alone. What it does is told in the flow run's log.
    """
    log = flow_run_logger(flow_run, flow)
    for note in _started_runs.recorded_runs(flow_run.id):
        which = f"Run {note['run_id']!r} of workflow {note['workflow_id']!r}"
        if not note["cancel"]:
            log.warning("%s continues, since cancel_on_kill is off.", which)
            continue
        try:
            server = _server(note)
            with server.get_client() as client:
                workflow = client.get_workflow(note["workflow_id"])
                # A person who retries the flow run wants the work done after all.
                log.warning("%s", workflow.cancel_work(note["run_id"], allow_retry=True))
        except UnknownRunError:
            continue  # it was killed before it started the run
        except (MastraError, ValueError) as error:
            log.error("%s could not be cancelled and may go on: %s", which, error)


def _server(note: dict[str, Any]) -> MastraServer:
    if note["server"] is None:
        return MastraServer(base_url=note["base_url"])
    block = MastraServer.load_from_ref({"block_document_id": note["server"]})
    assert isinstance(block, MastraServer)
    return block
