"""Test runs that finish at about the time when their tasks defer.

Airflow fails a task that is woken before the executor has reported the end of its process to the
scheduler, although the task has done nothing wrong. Every task must succeed in its first attempt.
"""

from __future__ import annotations

import re
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from testkit.airflow_stack import AirflowStack
from testkit.postgres import PostgresServer
from testkit.sample_server import Generation, SampleServer

DAG_ID, TASK_ID = "short_runs", "charge"
DAG_RUNS, TASKS = 4, 50  # as tests/system/dags/mastra_short_runs.py
SECONDS = 900
MISMATCH = re.compile(r"ERROR.*finished with state success, but the task instance's state")


@pytest.fixture(params=["sqlite", "postgresql"])
def stack(request: pytest.FixtureRequest, server: SampleServer) -> Iterator[AirflowStack]:
    """A separate Airflow on either database, without another one on the machine."""
    database_url = None
    if request.param == "postgresql":
        postgres: PostgresServer = request.getfixturevalue("postgres")
        database_url = postgres.create_database("short_runs")
    connection = f'{{"conn_type": "mastra", "host": "{server.url}"}}'
    with AirflowStack(
        Path(__file__).parent / "dags",
        database_url=database_url,
        environment={"AIRFLOW_CONN_SHORT_RUNS": connection},
    ) as stack:
        yield stack


@pytest.fixture
def server(servers: Callable[[Generation], SampleServer]) -> SampleServer:
    return servers("1")


@pytest.mark.matrix
@pytest.mark.timeout(SECONDS)
def test_every_try_of_a_short_run_succeeds(stack: AirflowStack, server: SampleServer) -> None:
    key = uuid.uuid4().hex
    run_ids = [f"{key}-{number}" for number in range(DAG_RUNS)]
    for run_id in run_ids:
        conf = {"server": "short_runs", "key": run_id}
        stack.trigger_dag(DAG_ID, conf=conf, run_id=run_id)
    for run_id in run_ids:
        stack.wait_for_dag_run(DAG_ID, run_id, timeout=SECONDS)

    came_of_it = Counter(
        (
            one["state"],
            len(stack.api.task_tries(DAG_ID, run_id, TASK_ID, one["map_index"])),
            server.executions(f"{run_id}-{one['map_index']}"),
        )
        for run_id in run_ids
        for one in stack.api.task_instances(DAG_ID, run_id)
    )
    log = stack.service("scheduler").log_path.read_text(errors="replace")
    stale = [line for line in log.splitlines() if MISMATCH.search(line)]
    # Succeeded, in one try, by one execution.
    assert came_of_it == {("success", 1, 1): DAG_RUNS * TASKS}, "\n".join(stale)
