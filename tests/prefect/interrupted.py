"""Execute a flow run in a separate process that a test interrupts.

Usage: interrupted.py {flow|tasks} BASE_URL WORKFLOW_ID RUN_ID {cancel|leave}
"""

from __future__ import annotations

import signal
import sys

from prefect import flow

from prefect_mastra import (
    MastraServer,
    cancel_mastra_runs,
    run_workflow,
    start_workflow,
    wait_for_workflow_run,
)

# A shell that starts something in the background has it ignore Ctrl-C, and its children too.
signal.signal(signal.SIGINT, signal.default_int_handler)

what, base_url, workflow_id, run_id, then = sys.argv[1:]
server = MastraServer(base_url=base_url)
cancel_on_kill = then == "cancel"
seconds = {"seconds": 60}


@flow(on_cancellation=[cancel_mastra_runs], on_crashed=[cancel_mastra_runs])
def of_tasks() -> None:
    run = start_workflow(server, workflow_id, seconds, run_id=run_id, cancel_on_kill=cancel_on_kill)
    wait_for_workflow_run(server, run, cancel_on_kill=cancel_on_kill)


if what == "tasks":
    of_tasks()
else:
    run_workflow(server, workflow_id, seconds, run_id=run_id, cancel_on_kill=cancel_on_kill)
