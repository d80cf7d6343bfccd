"""Fixtures for the Airflow tests: Airflow itself, and connections to the sample servers."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mastra_workflows import MastraClient, Run
from testkit.sample_server import Generation, SampleServer
from tests.airflow import harness
from tests.airflow.harness import STUDIO, TOKEN, Connect, DagResult, RunDag, StartRun
from tests.airflow.person import NOBODY_IS_ASKED, Patience, Person, Reply

HOME = harness.configure()


def pytest_unconfigure() -> None:
    """Remove the home folder, which is created when this module is imported."""
    shutil.rmtree(HOME, ignore_errors=True)


@pytest.fixture(scope="session")
def airflow_database() -> None:
    """Create Airflow's database."""
    harness.make_database()


@pytest.fixture(autouse=True)
def nothing_to_settle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait for an executor: `dag.test()` has none that could report a process end late."""
    monkeypatch.setattr("airflow_provider_mastra.triggers.workflow.SETTLE_SECONDS", 0.0)


@pytest.fixture
def run_dag(
    airflow_database: None,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> RunDag:
    """Run a DAG with `dag.test()` until it has finished."""

    def run(dag: Any, **arguments: Any) -> DagResult:
        harness.store(dag)
        capfd.readouterr()
        caplog.clear()
        # Airflow does not restore the SIGTERM handler, and its own would keep the tests running.
        handler = signal.getsignal(signal.SIGTERM)
        try:
            with Patience():
                dag_run = dag.test(**arguments)
        finally:
            signal.signal(signal.SIGTERM, handler)
        # Airflow's loggers write to stdout and stderr, those of other libraries to caplog.
        log = "".join(capfd.readouterr()) + caplog.text
        print(log)  # for the report of a failed test
        return DagResult(dag_run, log)

    return run


@pytest.fixture(scope="session")
def api(airflow_database: None) -> Any:
    """A client of Airflow's REST API, which is served in this process."""
    from airflow.api_fastapi.app import create_app
    from fastapi.testclient import TestClient

    return TestClient(create_app(apps="core"))


@pytest.fixture
def people(api: Any) -> Callable[..., Person]:
    """Create people who respond to forms. Each one is a context manager."""
    from airflow_provider_mastra.hitl._required_action import SUPPORTS_AWAITING_INPUT

    if not SUPPORTS_AWAITING_INPUT:
        pytest.skip(NOBODY_IS_ASKED)

    def person(*replies: Reply, name: str = "ann") -> Person:
        return Person(api, name, replies)

    return person


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Connect:
    """Set the connection `mastra_default` to a server."""

    def connect(host: str, **fields: Any) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_MASTRA_DEFAULT", harness.connection(host, **fields))

    return connect


@pytest.fixture
def connected(server: SampleServer, connect: Connect) -> SampleServer:
    """The server of `mastra_default`, with a Studio URL."""
    connect(server.url, studio_url=STUDIO)
    return server


@pytest.fixture
def own_server(server: SampleServer) -> Iterator[SampleServer]:
    """A separate server of the same generation, which the test may stop and start."""
    with SampleServer(server.generation) as own:
        yield own


@pytest.fixture(scope="session")
def guarded_servers() -> Iterator[Callable[[Generation], SampleServer]]:
    """Start a server with authentication of each generation on first use."""
    running: dict[Generation, SampleServer] = {}

    def get(generation: Generation) -> SampleServer:
        if generation not in running:
            server = running[generation] = SampleServer(generation, token=TOKEN)
            server.start()
        return running[generation]

    yield get
    for server in running.values():
        server.__exit__(None, None, None)


@pytest.fixture
def guarded(
    server: SampleServer, guarded_servers: Callable[[Generation], SampleServer]
) -> SampleServer:
    """A server that requires `TOKEN`. Each test that uses it runs on both generations."""
    return guarded_servers(server.generation)


@pytest.fixture
def start_run(client: MastraClient, key: str) -> Iterator[StartRun]:
    """Start runs outside Airflow, and cancel those that are still running after the test."""
    runs: list[Run] = []

    def start(workflow_id: str, **input_data: Any) -> str:
        run = client.get_workflow(workflow_id).get_run(f"{key}-{len(runs)}")
        runs.append(run)
        run.start(input_data=input_data)
        return run.run_id

    yield start
    for run in runs:
        run.cancel(confirm_timeout=0)
