"""Airflow for these tests, and the connection to the sample servers."""

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
    """Remove the home folder, which was made before the first test was known."""
    shutil.rmtree(HOME, ignore_errors=True)


@pytest.fixture(scope="session")
def airflow_database() -> None:
    """Airflow's database."""
    harness.make_database()


@pytest.fixture(autouse=True)
def nothing_to_settle(monkeypatch: pytest.MonkeyPatch) -> None:
    """No executor takes part here, and none can be late to say that a process has ended."""
    monkeypatch.setattr("airflow_provider_mastra.triggers.workflow.SETTLE_SECONDS", 0.0)


@pytest.fixture
def run_dag(
    airflow_database: None,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> RunDag:
    """Runs a DAG to its end by `dag.test()`."""

    def run(dag: Any, **arguments: Any) -> DagResult:
        harness.store(dag)
        capfd.readouterr()
        caplog.clear()
        # Airflow leaves its own handler behind, by which nothing could end these tests.
        handler = signal.getsignal(signal.SIGTERM)
        try:
            with Patience():
                dag_run = dag.test(**arguments)
        finally:
            signal.signal(signal.SIGTERM, handler)
        # Airflow's own loggers write to the one, those of other libraries to the other.
        log = "".join(capfd.readouterr()) + caplog.text
        print(log)  # for the report of a test that fails
        return DagResult(dag_run, log)

    return run


@pytest.fixture(scope="session")
def api(airflow_database: None) -> Any:
    """A client of Airflow's REST API, served in this process."""
    from airflow.api_fastapi.app import create_app
    from fastapi.testclient import TestClient

    return TestClient(create_app(apps="core"))


@pytest.fixture
def people(api: Any) -> Callable[..., Person]:
    """Makes people who answer forms, each a context manager."""
    from airflow_provider_mastra.hitl._required_action import SUPPORTS_AWAITING_INPUT

    if not SUPPORTS_AWAITING_INPUT:
        pytest.skip(NOBODY_IS_ASKED)

    def person(*replies: Reply, name: str = "ann") -> Person:
        return Person(api, name, replies)

    return person


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Connect:
    """Makes `mastra_default` lead to a server."""

    def connect(host: str, **fields: Any) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_MASTRA_DEFAULT", harness.connection(host, **fields))

    return connect


@pytest.fixture
def connected(server: SampleServer, connect: Connect) -> SampleServer:
    """The server that `mastra_default` leads to, with a Studio."""
    connect(server.url, studio_url=STUDIO)
    return server


@pytest.fixture
def own_server(server: SampleServer) -> Iterator[SampleServer]:
    """A server of the same generation that the test may stop and start."""
    with SampleServer(server.generation) as own:
        yield own


@pytest.fixture(scope="session")
def guarded_servers() -> Iterator[Callable[[Generation], SampleServer]]:
    """Boots each generation, with authentication, when it is first asked for."""
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
    """A server that asks for `TOKEN`; each test that asks for it runs on both generations."""
    return guarded_servers(server.generation)


@pytest.fixture
def start_run(client: MastraClient, key: str) -> Iterator[StartRun]:
    """Starts runs beside Airflow, and cancels at the end what still goes on of them."""
    runs: list[Run] = []

    def start(workflow_id: str, **input_data: Any) -> str:
        run = client.get_workflow(workflow_id).get_run(f"{key}-{len(runs)}")
        runs.append(run)
        run.ensure_started(input_data=input_data)
        return run.run_id

    yield start
    for run in runs:
        run.cancel(confirm_timeout=0)
