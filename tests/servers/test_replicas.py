"""Two servers on one database behind a load balancer: what a client can do about them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.servers.rig import TARGETS, Endpoint, running


@pytest.fixture(scope="module")
def replicas() -> Iterator[Endpoint]:
    """Two replicas on PostgreSQL behind nginx."""
    [target] = [target for target in TARGETS if "replicas" in target.name]
    with ExitStack() as stack:
        yield stack.enter_context(running(target))


def test_a_cancel_reaches_the_replica_that_executes_the_run(replicas: Endpoint, key: str) -> None:
    """The other one only writes the status, which the run's end then overwrites."""
    with replicas.client() as client:
        runs = [client.get_workflow("slowExport").run(f"{key}-{number}") for number in range(8)]
        for run in runs:
            run.ensure_started(input_data={"seconds": 10})
            assert not run.cancel(look_for=30).goes_on
        time.sleep(11)  # after which none of them can still be executed
        assert {run.read().status for run in runs} == {"canceled"}
