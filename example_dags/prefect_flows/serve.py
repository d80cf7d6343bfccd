"""Serve every flow of this folder as a deployment, to run it from Prefect's pages.

The script saves a ``MastraServer`` block for the server at ``$MASTRA_URL`` and passes it to each
flow with a parameter ``server``. The schedule of the inbox is paused; activate it on its page. To
try it, start a Prefect server, run `make server`, and then:

    MASTRA_URL=http://127.0.0.1:... python example_dags/prefect_flows/serve.py
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prefect import Flow, serve
from prefect.deployments.runner import RunnerDeployment

from prefect_mastra import MastraServer

NAME = "playground"
SCHEDULES = {"refund-inbox": 60.0}  # seconds between two flow runs
HERE = Path(__file__).resolve()


def flows() -> Iterator[tuple[str, Flow[..., Any]]]:
    """Find the flows that the files of this folder define, each with its entrypoint."""
    for path in sorted(HERE.parent.glob("*.py")):
        spec = importlib.util.spec_from_file_location(path.stem, path)
        if path == HERE or spec is None or spec.loader is None:
            continue
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for name, thing in vars(module).items():
            if isinstance(thing, Flow) and thing.fn.__module__ == path.stem:
                yield f"{path}:{name}", thing


def main() -> None:
    server = MastraServer(base_url=os.environ["MASTRA_URL"])
    server.save(NAME, overwrite=True)
    serve(
        *(
            RunnerDeployment.from_entrypoint(
                entrypoint,
                name=NAME,
                parameters={"server": server} if "server" in flow.parameters.properties else None,
                interval=SCHEDULES.get(flow.name),
                paused=flow.name in SCHEDULES or None,  # None keeps the current state
            )
            for entrypoint, flow in flows()
        )
    )


if __name__ == "__main__":
    main()
