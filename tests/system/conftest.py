"""Real orchestrators for the system tests, each booted once for the session when first asked for.

One environment has Airflow, the other Prefect: a test of the one that is missing is skipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from scripts.airflow_stack import AirflowStack
from scripts.postgres import PostgresServer
from scripts.prefect_stack import PrefectStack

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server."""
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="session")
def airflow_stack(request: pytest.FixtureRequest) -> Iterator[AirflowStack]:
    """A whole Airflow on PostgreSQL, with the DAGs of ``tests/system/dags``."""
    if find_spec("airflow") is None:
        pytest.skip("Airflow is not in this environment")
    postgres: PostgresServer = request.getfixturevalue("postgres")
    database_url = postgres.create_database("airflow")
    with AirflowStack(HERE / "dags", database_url=database_url) as stack:
        yield stack


@pytest.fixture(scope="session")
def prefect_stack() -> Iterator[PrefectStack]:
    """A Prefect server and a runner of the deployments in ``tests/system/flows/serve.py``."""
    if find_spec("prefect") is None:
        pytest.skip("Prefect is not in this environment")
    with PrefectStack(HERE / "flows" / "serve.py") as stack:
        yield stack
