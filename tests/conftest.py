"""Fixtures shared by all suites: real Mastra 0.x and 1.x servers, and a PostgreSQL server."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mastra_workflows import MastraClient
from testkit.postgres import PostgresServer, ensure_postgres
from testkit.processes import ServiceError
from testkit.sample_server import Generation, SampleServer

SERVERS: dict[Generation, str] = {"1": "mastra-1.x", "0": "mastra-0.x"}
ODD_WORKFLOWS = Path(__file__).parent / "support" / "odd_workflows.mjs"
"""Workflows with hostile names, and with invalid text as real programs produce it."""
WAITING_WORKFLOWS = ODD_WORKFLOWS.with_name("waiting_workflows.mjs")
"""Workflows with a slow step after an approval, and with a step that a deploy renames."""
EVERY_SERVER = [
    pytest.param("1", id=SERVERS["1"]),
    pytest.param("0", id=SERVERS["0"], marks=pytest.mark.legacy_server),
]
"""Parameters for fixtures and tests that run on both server versions.

`make test` deselects the second one unless the test is marked as `version_specific`.
"""


@contextmanager
def new_servers(workflows: Path | None = None) -> Iterator[Callable[[Generation], SampleServer]]:
    """Start a server of each generation on first use, and stop all servers on exit.

    Args:
        workflows: a module with additional workflows; see `SampleServer`.
    """
    running: dict[Generation, SampleServer] = {}

    def get(generation: Generation) -> SampleServer:
        if generation not in running:
            server = running[generation] = SampleServer(generation, workflows=workflows)
            server.start()
        return running[generation]

    yield get
    for server in running.values():
        server.__exit__(None, None, None)


@pytest.fixture(scope="session")
def servers() -> Iterator[Callable[[Generation], SampleServer]]:
    """Start a server of each generation on first use."""
    with new_servers() as get:
        yield get


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server. Skip the test if PostgreSQL is neither installed nor installable."""
    try:
        ensure_postgres()
    except ServiceError as error:
        pytest.skip(str(error))
    with PostgresServer() as server:
        yield server


@pytest.fixture(params=EVERY_SERVER)
def server(
    request: pytest.FixtureRequest, servers: Callable[[Generation], SampleServer]
) -> SampleServer:
    """A running server. Each test that uses it runs on both generations."""
    generation: Generation = request.param
    return servers(generation)


@pytest.fixture(scope="session")
def odd_servers() -> Iterator[Callable[[Generation], SampleServer]]:
    """Start servers like `servers`, with `ODD_WORKFLOWS` in addition to the sample workflows."""
    with new_servers(ODD_WORKFLOWS) as get:
        yield get


@pytest.fixture(params=EVERY_SERVER)
def odd_server(
    request: pytest.FixtureRequest, odd_servers: Callable[[Generation], SampleServer]
) -> SampleServer:
    """A running server with `ODD_WORKFLOWS`. Each test that uses it runs on both generations."""
    generation: Generation = request.param
    return odd_servers(generation)


@pytest.fixture
def client(server: SampleServer) -> Iterator[MastraClient]:
    """A client of `server`."""
    with MastraClient(server.url) as client:
        yield client


@pytest.fixture
def key(request: pytest.FixtureRequest) -> str:
    """A string unique to the test, for run ids and for counting executions."""
    return f"{request.node.originalname}-{uuid.uuid4().hex[:12]}"
