"""Real orchestrators for the system tests, each booted once for the session when first asked for.

One environment has Airflow, the other Prefect: a test of the one that is missing is skipped.
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
from tests.support.reliability import ReliabilityTable
from tests.system.airflow_work import Plan, PlanBoth, Work

HERE = Path(__file__).parent
HELD_WORKFLOWS = HERE.parent / "support" / "held_workflows.mjs"
"""A workflow that ends when a test lets it go."""
SECONDS = 900
"""For one test with its fixtures: a busy machine boots an orchestrator in minutes."""

NewDatabase = Callable[[str], str | None]
"""Makes a database of that name, and gives its URL; None stands for an SQLite file."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Allow each system test more time than other tests have."""
    for item in items:
        if HERE in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(SECONDS))


@pytest.fixture(scope="session")
def servers() -> Iterator[Callable[[Generation], SampleServer]]:
    """Boots each generation when it is first asked for, with `HELD_WORKFLOWS`."""
    with new_servers(HELD_WORKFLOWS) as get:
        yield get


@pytest.fixture(scope="session")
def airflow_database(request: pytest.FixtureRequest) -> NewDatabase:
    """Makes databases for whole Airflows, by name: on PostgreSQL.

    Those of the oldest one that is supported are SQLite files, its stack's default: it would need
    another driver for PostgreSQL than the environment has.
    """
    if find_spec("airflow") is None:
        pytest.skip("Airflow is not in this environment")
    if find_spec("psycopg") is None:
        return lambda name: None
    postgres: PostgresServer = request.getfixturevalue("postgres")
    return postgres.create_database


@pytest.fixture(scope="session")
def airflow_stack(airflow_database: NewDatabase) -> Iterator[AirflowStack]:
    """A whole Airflow with the DAGs of ``tests/system/dags``."""
    with AirflowStack(HERE / "dags", database_url=airflow_database("airflow")) as stack:
        yield stack


@pytest.fixture(scope="session")
def prefect_stack() -> Iterator[PrefectStack]:
    """A Prefect server and a runner of the deployments in ``tests/system/flows/serve.py``."""
    if find_spec("prefect") is None:
        pytest.skip("Prefect is not in this environment")
    with PrefectStack(HERE / "flows" / "serve.py") as stack:
        yield stack


@pytest.fixture(scope="session")
def airflow_table() -> Iterator[ReliabilityTable]:
    """What becomes of the work that the tests of Airflow break."""
    table = ReliabilityTable("airflow")
    yield table
    table.write()


@pytest.fixture
def plan_on(
    airflow_stack: AirflowStack,
    servers: Callable[[Generation], SampleServer],
    airflow_table: ReliabilityTable,
) -> Iterator[Callable[..., Work]]:
    """Makes pieces of work for Airflow on a server of a generation, and cleans up after them."""
    planned: list[Work] = []

    def plan(generation: Generation, mode: str, fault: str, **options: Any) -> Work:
        server = servers(generation)
        planned.append(Work(airflow_stack, server, airflow_table, mode, fault, **options))
        return planned[-1]

    yield plan
    with ExitStack() as stack:
        for work in planned:
            stack.callback(work.close)


@pytest.fixture(params=EVERY_SERVER)
def plan(request: pytest.FixtureRequest, plan_on: Callable[..., Work]) -> Plan:
    """Makes pieces of work; each test that asks for it runs on both generations."""
    return partial(plan_on, request.param)


@pytest.fixture
def plan_both(plan_on: Callable[..., Work]) -> PlanBoth:
    """Makes pieces of work on both generations at once, where they do not disturb each other."""
    return lambda *args, **options: [plan_on(one, *args, **options) for one in SERVERS]
