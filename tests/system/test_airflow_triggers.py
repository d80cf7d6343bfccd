"""Test triggers in a complete Airflow: killed together at a slow server, and woken by odd text."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import pytest

from mastra_workflows import MastraClient
from testkit.airflow_stack import AirflowStack
from testkit.sample_server import Generation, SampleServer
from tests.support.fault_proxy import FaultProxy
from tests.support.faults import Delay

pytest.importorskip("airflow", reason="Airflow is not installed")

TASKS = 20
KINDS = ("half-emoji", "nul", "forged", "reserved", "tuple", "deep", "numbers")
HOWS = ("throw", "return", "suspend")


@pytest.fixture
def odd(
    odd_servers: Callable[[Generation], SampleServer], airflow_stack: AirflowStack
) -> Iterator[tuple[SampleServer, FaultProxy, str]]:
    """A server, a proxy before it, and a connection that leads there."""
    server, name = odd_servers("1"), f"odd-{uuid.uuid4().hex[:8]}"
    with FaultProxy(server.url) as proxy:
        connection = {"connection_id": name, "conn_type": "mastra", "host": proxy.url}
        airflow_stack.api.request("POST", "/connections", connection)
        yield server, proxy, name
        airflow_stack.api.request("DELETE", f"/connections/{name}")


def test_tasks_killed_together_leak_no_run(
    airflow_stack: AirflowStack, odd: tuple[SampleServer, FaultProxy, str]
) -> None:
    """Cancelling takes seconds, in which Airflow cancels each trigger again and again."""
    server, proxy, name = odd
    ids = [f"{name}-{index}" for index in range(TASKS)]
    run_id = airflow_stack.trigger_dag("killed_together", conf={"server": name, "key": name})
    for index in range(TASKS):
        airflow_stack.wait_for_task(
            "killed_together", run_id, "export", {"deferred"}, map_index=index
        )
    airflow_stack.kill("triggerer")
    before = len(proxy.seen)
    proxy.on("", "", Delay(3))
    airflow_stack.start_component("triggerer")
    airflow_stack.wait_until(
        "a triggerer that waits for each run",
        lambda: all(any(one in seen.path for seen in proxy.seen[before:]) for one in ids),
        timeout=180,
    )
    airflow_stack.api.set_dag_run_state("killed_together", run_id, "failed")
    with MastraClient(server.url) as client:
        runs = [client.get_workflow("slowExport").get_run(one) for one in ids]
        try:
            airflow_stack.wait_until(
                "the end of every run",
                lambda: {str(run.read().status) for run in runs} == {"canceled"},
                timeout=120,
            )
        finally:
            for run in runs:
                run.cancel(confirm_timeout=0)

    def is_said(index: int) -> bool:
        said = f"Run '{ids[index]}' of workflow 'slowExport' was cancelled"
        log = airflow_stack.api.task_log("killed_together", run_id, "export", map_index=index)
        return said in log or said in airflow_stack.service("triggerer").log_tail(100_000)

    airflow_stack.wait_until("every outcome in a log", lambda: all(map(is_said, range(TASKS))))


def test_server_text_does_not_crash_the_triggerer(
    airflow_stack: AirflowStack, odd: tuple[SampleServer, FaultProxy, str]
) -> None:
    """The runs end while the triggerer waits for them; each task ends as its run has."""
    _, _, name = odd
    triggerer = airflow_stack.pid("triggerer")
    run_id = airflow_stack.trigger_dag("odd_ends", conf={"server": name, "key": name})
    airflow_stack.wait_for_dag_run("odd_ends", run_id, timeout=240)

    assert airflow_stack.pid("triggerer") == triggerer
    ends = [(kind, how) for kind in KINDS for how in HOWS]
    states = {
        (kind, how): airflow_stack.api.task_instance("odd_ends", run_id, "end", map_index=index)
        for index, (kind, how) in enumerate(ends)
    }
    expected = {end: "failed" if end[1] == "throw" else "success" for end in ends}
    assert {end: ti and ti["state"] for end, ti in states.items()} == expected
    assert "Task failed with exception" in airflow_stack.api.task_log(
        "odd_ends", run_id, "end", map_index=0
    )
    for index, (kind, how) in enumerate(ends):
        log = airflow_stack.api.task_log("odd_ends", run_id, "end", map_index=index)
        assert "Deferring: the triggerer waits for the run." in log
        if (kind, how) == ("half-emoji", "throw"):
            assert "Error: cut \N{REPLACEMENT CHARACTER}" in log
