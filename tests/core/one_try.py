"""Make one attempt at a piece of work in a separate process.

`test_ten_processes_at_once_execute_once` uses it. ``python -m tests.core.one_try URL RUN_ID INPUT``
reports that it is ready, waits for a line on its standard input, starts the run or attaches to it,
and prints the id of the run that does the work.
"""

from __future__ import annotations

import json
import sys

from mastra_workflows import MastraClient


def main(url: str, run_id: str, input_data: str) -> None:
    with MastraClient(url) as client:
        workflow = client.get_workflow("countedCharge")
        print("ready", flush=True)
        sys.stdin.readline()
        print(workflow.attach_or_start(run_id, input_data=json.loads(input_data)).run_id)


if __name__ == "__main__":
    main(*sys.argv[1:])
