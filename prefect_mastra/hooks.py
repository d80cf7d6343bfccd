"""Provide a flow hook that cancels the Mastra runs of a killed process."""

from __future__ import annotations

from typing import Any

from prefect.client.schemas.objects import FlowRun, State
from prefect.flows import Flow
from prefect.logging.loggers import flow_run_logger

from mastra_workflows.errors import UnknownRunError
from mastra_workflows.integration import safe_text
from prefect_mastra import _started_runs
from prefect_mastra.blocks import MastraServer


def cancel_mastra_runs(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Cancel the Mastra runs that a flow run left behind.

    Add the hook to a flow::

        @flow(on_cancellation=[cancel_mastra_runs], on_crashed=[cancel_mastra_runs])

    You can also add it to ``on_failure``, or call it from your own hook. `run_workflow` and
    `arun_workflow` include it. A flow that calls them as subflows needs the hook too, since Prefect
    only calls the hooks of the flow that the process was started for.

    The hook reads the runs from the flow run's artifacts, where each run is recorded before it
    starts. The server must be saved as a block (`MastraServer.load`) or work with its base URL
    alone, without credentials. For other servers the hook logs an error, and their runs continue.
    It leaves finished runs and runs with ``cancel_on_kill=False`` unchanged. It writes its actions
    to the flow run's log.
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
                # A manual retry of the flow run must be able to start the work again.
                log.warning("%s", workflow.cancel_work(note["run_id"], allow_retry=True))
        except UnknownRunError:
            continue  # the process was killed before it started the run
        except Exception as error:  # such as an outage of Prefect; the other runs are left
            text = safe_text(f"{type(error).__name__}: {error}")
            log.error("%s could not be cancelled and may still be running: %s", which, text)


def _server(note: dict[str, Any]) -> MastraServer:
    if note["server"] is None:
        return MastraServer(base_url=note["base_url"])
    block = MastraServer.load_from_ref({"block_document_id": note["server"]})
    assert isinstance(block, MastraServer)
    return block
