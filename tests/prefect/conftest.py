"""Fixtures for the Prefect tests: a separate Prefect server, and blocks."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

# Prefect reads its settings on import.
if "PREFECT_HOME" not in os.environ:
    HOME = tempfile.TemporaryDirectory(prefix="prefect-home-", ignore_cleanup_errors=True)
    os.environ["PREFECT_HOME"] = HOME.name
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")

from prefect import State
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
from prefect.client.schemas.sorting import LogSort
from prefect.logging.handlers import APILogHandler
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
from prefect.testing.utilities import prefect_test_harness

from mastra_workflows import MastraClient
from mastra_workflows.errors import UnknownRunError
from prefect_mastra import MastraServer, arun_workflow, run_workflow
from testkit.sample_server import SampleServer
from tests.prefect.person import Person


@pytest.fixture(scope="session", autouse=True)
def _prefect_server() -> Iterator[None]:
    # Prefect creates the folder, but not its parent, which a new checkout does not have.
    Path(os.environ["PREFECT_HOME"]).mkdir(parents=True, exist_ok=True)
    # Without heartbeats: their thread takes a second to end after each flow.
    with (
        temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}),
        prefect_test_harness(server_startup_timeout=240),
    ):
        yield


@pytest.fixture
def api() -> Iterator[SyncPrefectClient]:
    """A client of Prefect's API."""
    with get_client(sync_client=True) as client:
        yield client


@pytest.fixture
def mastra(server: SampleServer) -> MastraServer:
    """The block of a sample server. Each test that uses it runs on both generations."""
    return MastraServer(base_url=server.url, studio_url="http://studio.example")


@pytest.fixture
def mastra_1(servers: Callable[[Any], SampleServer]) -> MastraServer:
    """The block of the 1.x server, for tests that do not depend on the generation."""
    return MastraServer(base_url=servers("1").url)


@pytest.fixture
def logs_of(api: SyncPrefectClient) -> Callable[[State[Any] | UUID], str]:
    """Read the log of a flow run and its task runs from Prefect's API."""

    def read(of: State[Any] | UUID) -> str:
        flow_run_id = of if isinstance(of, UUID) else of.state_details.flow_run_id
        assert flow_run_id is not None
        APILogHandler().flush()
        logs = api.read_logs(
            LogFilter(flow_run_id=LogFilterFlowRunId(any_=[flow_run_id])),
            limit=200,
            offset=0,
            sort=LogSort.TIMESTAMP_ASC,
        )
        return "\n".join(log.message for log in logs)

    return read


@pytest.fixture
def has_run(client: MastraClient) -> Callable[[str, str], bool]:
    """Check whether the server has a run."""

    def look(workflow_id: str, run_id: str) -> bool:
        try:
            client.get_workflow(workflow_id).get_run(run_id).read()
        except UnknownRunError:
            return False
        return True

    return look


@pytest.fixture
def person(api: SyncPrefectClient, key: str) -> Iterator[Person]:
    """A person who responds to the pending requests of the flow run named like the test's key."""
    person = Person(api, key)
    yield person
    person.leave()


@pytest.fixture(params=["sync", "asyncio"])
def packaged(request: pytest.FixtureRequest) -> Callable[..., Callable[..., Any]]:
    """Create `run_workflow` or `arun_workflow` with options, callable as a synchronous function.

    Each test that uses it runs with both flows.
    """

    def make(**options: Any) -> Callable[..., Any]:
        if request.param == "sync":
            return run_workflow.with_options(**options)
        twin: Any = arun_workflow.with_options(**options)
        return lambda *args, **arguments: asyncio.run(twin(*args, **arguments))

    return make
