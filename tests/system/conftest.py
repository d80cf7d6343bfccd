"""Fixtures for the system tests: real orchestrators, each started once per session on first use.

One environment has Airflow, another one Prefect. Tests of the missing one are skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from testkit.airflow_stack import AirflowStack
from testkit.postgres import PostgresServer
from testkit.prefect_stack import PrefectStack
from testkit.sample_server import Generation, SampleServer
from tests.conftest import EVERY_SERVER, SERVERS, new_servers
from tests.support.fault_matrix import FaultMatrix
from tests.system.airflow_work import Plan, PlanBoth, Work

HERE = Path(__file__).parent
HELD_WORKFLOWS = HERE.parent / "support" / "held_workflows.mjs"
"""A workflow that runs until a test releases it."""
SECONDS = 900
"""The timeout of a test with its fixtures. Starting an orchestrator can take minutes."""

NewDatabase = Callable[[str], str | None]
"""Creates a database by name and returns its URL; None stands for an SQLite file."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give system tests a longer timeout than other tests."""
    for item in items:
        if HERE in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(SECONDS))


@pytest.fixture(scope="session")
def servers() -> Iterator[Callable[[Generation], SampleServer]]:
    """Start a server of each generation on first use, with `HELD_WORKFLOWS`."""
    with new_servers(HELD_WORKFLOWS) as get:
        yield get


@pytest.fixture(scope="session")
def airflow_database(request: pytest.FixtureRequest) -> NewDatabase:
    """Create PostgreSQL databases for complete Airflows, by name.

    The oldest supported Airflow uses its stack's default, an SQLite file: its PostgreSQL driver is
    not in the environment.
    """
    if find_spec("airflow") is None:
        pytest.skip("Airflow is not installed")
    if find_spec("psycopg") is None:
        return lambda name: None
    postgres: PostgresServer = request.getfixturevalue("postgres")
    return postgres.create_database


@pytest.fixture(scope="session")
def airflow_stack(airflow_database: NewDatabase) -> Iterator[AirflowStack]:
    """A complete Airflow with the DAGs of ``tests/system/dags``."""
    with AirflowStack(HERE / "dags", database_url=airflow_database("airflow")) as stack:
        yield stack


@pytest.fixture(scope="session")
def prefect_stack() -> Iterator[PrefectStack]:
    """A Prefect server and a runner of the deployments in ``tests/system/flows/serve.py``."""
    if find_spec("prefect") is None:
        pytest.skip("Prefect is not installed")
    with PrefectStack(HERE / "flows" / "serve.py") as stack:
        yield stack


@pytest.fixture(scope="session")
def airflow_matrix() -> Iterator[FaultMatrix]:
    """The results of the Airflow fault tests."""
    matrix = FaultMatrix("airflow")
    yield matrix
    matrix.write()


@pytest.fixture
def plan_on(
    airflow_stack: AirflowStack,
    servers: Callable[[Generation], SampleServer],
    airflow_matrix: FaultMatrix,
) -> Iterator[Callable[..., Work]]:
    """Create pieces of work for Airflow on a server of a generation, and clean up after them."""
    planned: list[Work] = []

    def plan(generation: Generation, mode: str, fault: str, **options: Any) -> Work:
        server = servers(generation)
        planned.append(Work(airflow_stack, server, airflow_matrix, mode, fault, **options))
        return planned[-1]

    yield plan
    with ExitStack() as stack:
        for work in planned:
            stack.callback(work.close)


@pytest.fixture(params=EVERY_SERVER)
def plan(request: pytest.FixtureRequest, plan_on: Callable[..., Work]) -> Plan:
    """Create pieces of work. Each test that uses it runs on both generations."""
    return partial(plan_on, request.param)


@pytest.fixture
def plan_both(plan_on: Callable[..., Work]) -> PlanBoth:
    """Create pieces of work on both generations at once, for tests where they are independent."""
    return lambda *args, **options: [plan_on(one, *args, **options) for one in SERVERS]
