"""Test the client with two servers on one database behind a load balancer."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from mastra_workflows.errors import NotSuspendedError
from tests.core.samples import suspended_refund
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
        runs = [client.get_workflow("slowExport").get_run(f"{key}-{number}") for number in range(8)]
        for run in runs:
            run.start(input_data={"seconds": 10})
            assert run.cancel(confirm_timeout=30).is_confirmed
        time.sleep(11)  # after which none of them can still be executed
        assert {run.read().status for run in runs} == {"canceled"}


def test_response_that_loses_to_another_one_is_reported(
    replicas: Endpoint, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Mastra 1.71 claims a suspension in the database, so that one resume executes."""
    lost = 0
    for number in range(5):
        with replicas.client() as client:
            run_id = suspended_refund(client, f"{key}-{number}").run_id
        barrier = threading.Barrier(8)
        with ThreadPoolExecutor(8) as pool:
            resumes = [pool.submit(_resume, replicas, run_id, note, barrier) for note in "abcdefgh"]
        returned = {note for note, is_resumed in (each.result() for each in resumes) if is_resumed}
        with replicas.client() as client:
            run = client.get_workflow("refundApproval").get_run(run_id)
            winner = run.wait(timeout=60).raise_for_status().result["note"]
        assert winner in returned
        lost += len(returned) - 1
    assert caplog.text.count("was resumed with other data than that of this call") == lost


def _resume(
    replicas: Endpoint, run_id: str, note: str, barrier: threading.Barrier
) -> tuple[str, bool]:
    with replicas.client() as client:
        run = client.get_workflow("refundApproval").get_run(run_id)
        barrier.wait()
        try:
            run.resume(resume_data={"approved": True, "note": note})
        except NotSuspendedError:
            return note, False
        return note, True
