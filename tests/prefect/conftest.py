"""What the tests of the Prefect integration share: a Prefect server of their own, and blocks."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

# Before Prefect is imported, which reads its settings then.
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
    # Prefect makes the folder, but not the one around it, which a new checkout has not.
    Path(os.environ["PREFECT_HOME"]).mkdir(parents=True, exist_ok=True)
    # Without heartbeats, whose thread takes a second to end with each flow.
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
    """The block of a sample server; each test that asks for it runs on both generations."""
    return MastraServer(base_url=server.url, studio_url="http://studio.example")


@pytest.fixture
def mastra_1(servers: Callable[[Any], SampleServer]) -> MastraServer:
    """The block of the 1.x server, for what does not depend on the generation."""
    return MastraServer(base_url=servers("1").url)


@pytest.fixture
def logs_of(api: SyncPrefectClient) -> Callable[[State[Any] | UUID], str]:
    """What the log of a flow run and of its task runs holds, as Prefect's API has it."""

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
    """Whether the server knows a run."""

    def look(workflow_id: str, run_id: str) -> bool:
        try:
            client.get_workflow(workflow_id).get_run(run_id).read()
        except UnknownRunError:
            return False
        return True

    return look


@pytest.fixture
def person(api: SyncPrefectClient, key: str) -> Iterator[Person]:
    """Who answers what the flow run of that name asks."""
    person = Person(api, key)
    yield person
    person.leave()


@pytest.fixture(params=["sync", "asyncio"])
def packaged(request: pytest.FixtureRequest) -> Callable[..., Callable[..., Any]]:
    """Makes `run_workflow` or its twin for asyncio, with options; either is called as a function.

    A test that asks for it runs with both.
    """

    def make(**options: Any) -> Callable[..., Any]:
        if request.param == "sync":
            return run_workflow.with_options(**options)
        twin: Any = arun_workflow.with_options(**options)
        return lambda *args, **arguments: asyncio.run(twin(*args, **arguments))

    return make
