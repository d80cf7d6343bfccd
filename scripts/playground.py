"""Playground: a sample Mastra server with a complete Airflow or Prefect.

The examples of ``example_dags/`` are loaded, and one of them is started and waits for a response.
``make playground`` and ``make playground-prefect`` call this with the Python of their environment.
Ctrl-C (or SIGTERM) stops all processes and removes all files.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import NoReturn

from testkit.airflow_stack import AirflowStack
from testkit.json_api import ApiError, quote
from testkit.prefect_stack import PrefectStack
from testkit.processes import ProcessStack, ServiceError, TemporaryFolder
from testkit.sample_server import ROOT, SampleServer, SampleServerError

BUILD = ROOT / ".build"
EXAMPLES = ROOT / "example_dags"
FLOWS_FILE = EXAMPLES / "prefect_flows" / "serve.py"
STILL_AT_IT_SECONDS = 10.0

# Started at boot: a DAG whose task waits for a response, and a deployed flow.
FIRST_DAG, FIRST_TASK = "mastra_approval_by_a_person", "refund"
FIRST_DEPLOYMENT = "refund-approval/playground"

Playground = Iterator[tuple[ProcessStack, str]]
"""The stack and its introduction for the user."""


class Teller:
    """Print progress, including the elapsed time of long operations."""

    def __init__(self) -> None:
        self._began = self._last = time.monotonic()
        self._quiet = threading.Event()
        threading.Thread(target=self._still_at_it, daemon=True).start()

    @property
    def seconds(self) -> float:
        """The elapsed seconds since the start."""
        return time.monotonic() - self._began

    def say(self, text: str) -> None:
        self._last = time.monotonic()
        print(f"==> {text}", flush=True)

    def be_quiet(self) -> None:
        self._quiet.set()

    def _still_at_it(self) -> None:
        while not self._quiet.wait(1):
            if time.monotonic() - self._last >= STILL_AT_IT_SECONDS:
                self._last = time.monotonic()
                print(f"    … {self.seconds:.0f} s", flush=True)


@contextlib.contextmanager
def airflow(folder: Path, server: SampleServer, teller: Teller) -> Playground:
    """Start Airflow with the example DAGs and their connection, on SQLite."""
    teller.say("Starting Airflow: API server, scheduler, DAG processor, triggerer (about a minute)")
    with AirflowStack(
        EXAMPLES,
        connections={"mastra_default": {"conn_type": "mastra", "host": server.url}},
        folder=folder,
        say=teller.say,
    ) as stack:
        teller.say(f"Triggering the DAG {FIRST_DAG}")
        run_id = stack.trigger_dag(FIRST_DAG)
        stack.wait_for_task(FIRST_DAG, run_id, FIRST_TASK, {"awaiting_input"})
        task = f"{stack.url}/dags/{FIRST_DAG}/runs/{quote(run_id)}/tasks/{FIRST_TASK}"
        yield (
            stack,
            f"""
  Airflow   {stack.url}   user {stack.username}, password {stack.password}

A run on the Mastra server is suspended, and an Airflow task waits for a response. Log in, fill in
the form and press Resume; the DAG run then finishes:

  {task}/required_actions

More DAGs: {stack.url}/dags?tags=mastra
Airflow reloads their files, in {EXAMPLES.relative_to(ROOT)}/, a few seconds after each change.
""",
        )


@contextlib.contextmanager
def prefect(folder: Path, server: SampleServer, teller: Teller) -> Playground:
    """Start Prefect with the example flows, deployed and served, and their block."""
    teller.say("Starting Prefect: a server, and a runner of the example flows (about a minute)")
    with PrefectStack(
        FLOWS_FILE, environment={"MASTRA_URL": server.url}, folder=folder, say=teller.say
    ) as stack:
        teller.say(f"Running the deployment {FIRST_DEPLOYMENT}")
        flow_run_id = stack.api.create_flow_run(FIRST_DEPLOYMENT)
        stack.wait_for_flow_run(flow_run_id, {"PAUSED"})
        yield (
            stack,
            f"""
  Prefect   {stack.url}   (no login)

A run on the Mastra server is suspended, and a flow run is paused and waits for a response. Press
Resume, fill in the form and submit it; the flow run then finishes:

  {stack.url}/runs/flow-run/{flow_run_id}

More deployments: {stack.url}/deployments
""",
        )


HOSTS = {"airflow": airflow, "prefect": prefect}


def main(arguments: list[str] | None = None) -> int:
    """Run the playground until Ctrl-C and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m scripts.playground", description=__doc__)
    parser.add_argument("--with", dest="host", choices=sorted(HOSTS), default="airflow")
    parser.add_argument("--generation", choices=["0", "1"], default="1", help="Mastra 0.x or 1.x")
    options = parser.parse_args(arguments)
    # Also SIGINT, which shells ignore for background jobs.
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, _interrupt)
    teller = Teller()
    try:
        with contextlib.ExitStack() as exits:
            BUILD.mkdir(exist_ok=True)
            folder = TemporaryFolder("playground", BUILD)
            exits.callback(folder.remove)
            exits.callback(teller.be_quiet)
            server = SampleServer(options.generation, database=folder.path / "mastra")
            run(options.host, folder.path, server, teller)
    except (ServiceError, SampleServerError, ApiError, OSError) as error:
        print(f"*** {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        teller.say("All processes have stopped, and their files are removed.")
        return 0


def run(host: str, folder: Path, server: SampleServer, teller: Teller) -> NoReturn:
    """Start everything, print the introduction, and wait until a process ends unexpectedly.

    Raises:
        ServiceError: a process ended, or was not ready in time.
    """
    teller.say("Starting a Mastra server with the sample workflows")
    with server:
        teller.say(f"Mastra {server.version} is running at {server.url}")
        with HOSTS[host](folder / host, server, teller) as (stack, introduction):
            teller.be_quiet()
            teller.say(f"Ready after {teller.seconds:.0f} s")
            print(f"  Mastra    {server.url}/api/workflows{introduction}")
            print("Press Ctrl-C to stop.", flush=True)
            stack.wait_until(
                "the end of the Mastra server", lambda: not server.running, timeout=math.inf
            )
            raise ServiceError(f"The Mastra server ended unexpectedly:\n{server.log_tail()}")


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    # Ignore further signals, so that a second Ctrl-C does not interrupt the cleanup.
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, signal.SIG_IGN)
    print("\n==> Stopping all processes", flush=True)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
