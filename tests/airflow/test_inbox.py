"""Test the inbox's DAG: each request gets one DAG run, however often it is handed out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_provider_mastra.hitl.inbox import mastra_inbox, mastra_pending_requests
from airflow_provider_mastra.operators.inbox import PENDING_REQUEST
from mastra_workflows import MastraClient
from mastra_workflows.hitl import pending_requests
from testkit.sample_server import SampleServer
from tests.airflow import harness
from tests.airflow.harness import RunDag

PHOTOS = ["a.jpg", "b.jpg"]
APPROVED = {"approved": True}


@pytest.fixture
def dag(key: str) -> DAG:
    """An inbox of photos, where code responds."""
    return mastra_inbox(
        dag_id=f"inbox-{key}", workflow_id="photoReview", responses=lambda pending_request: APPROVED
    )


@pytest.fixture
def run_id(connected: SampleServer, client: MastraClient, key: str) -> Iterator[str]:
    """A run that asks about its first photo."""
    run = client.get_workflow("photoReview").get_run(key)
    run.start_async(input_data={"photos": PHOTOS})
    yield key
    while run.read().is_suspended:
        run.resume(resume_data=APPROVED)


def dag_runs(dag_id: str) -> dict[str, Any]:
    """The conf of every DAG run of requests, by its id."""
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        rows = session.scalars(select(DagRun).where(DagRun.dag_id == dag_id)).all()
        return {row.run_id: row.conf for row in rows if PENDING_REQUEST in (row.conf or {})}


def of_run(dag: DAG, run_id: str) -> dict[str, Any]:
    """Those that are about one run: other tests have left some, too."""
    return {
        key: conf
        for key, conf in dag_runs(dag.dag_id).items()
        if conf[PENDING_REQUEST]["run_id"] == run_id
    }


def test_each_request_creates_one_dag_run(
    dag: DAG, run_id: str, client: MastraClient, run_dag: RunDag
) -> None:
    run = client.get_workflow("photoReview").get_run(run_id)
    (first,) = pending_requests(run.read())
    for _ in range(2):
        result = run_dag(dag)
        assert result.state == "success"
        assert (result.task_state("hand_out"), result.task_state("ask")) == ("success", "skipped")
        handed_out = of_run(dag, run_id)
        assert list(handed_out) == [first.key]
    assert handed_out[first.key][PENDING_REQUEST]["step"] == ["review"]
    assert handed_out[first.key][PENDING_REQUEST]["for_each_index"] == 0

    run.resume(resume_data=APPROVED)
    (second,) = pending_requests(run.read())
    run_dag(dag)
    assert set(of_run(dag, run_id)) == {first.key, second.key}


def test_dag_run_of_a_request_handles_only_that_request(
    dag: DAG, run_id: str, client: MastraClient, run_dag: RunDag
) -> None:
    run_dag(dag)
    (conf,) = of_run(dag, run_id).values()
    result = run_dag(dag, run_conf=conf)
    assert result.xcom("ask", "run_id") == run_id
    assert [one["for_each_index"] for one in result.xcom("ask", "suspensions")] == [1]
    assert [one["resume_data"] for one in result.xcom("ask", "responses")] == [APPROVED]

    again = run_dag(dag, run_conf=conf)  # responded to by now: it passes through
    assert [one["for_each_index"] for one in again.xcom("ask", "suspensions")] == [1]
    assert again.xcom("ask", "responses") is None


def test_inbox_of_an_unknown_workflow(connected: SampleServer, run_dag: RunDag, key: str) -> None:
    result = run_dag(mastra_inbox(dag_id=f"inbox-{key}", workflow_id="nope"))
    assert result.task_state("hand_out") == "failed"
    assert "The server has no workflow 'nope'. It has " in result.log


def test_dag_file_with_an_inbox_is_parsed(airflow_database: None) -> None:
    """Without its safe mode switched off, and without the DAG being given a name there."""
    path = harness.ad_hoc_dags() / "inbox_only.py"
    path.write_text(
        "from airflow_provider_mastra.hitl.inbox import mastra_inbox\n"
        'mastra_inbox(dag_id="only", workflow_id="refundApproval")\n'
    )
    try:
        bag = harness.dag_bags().DagBag(str(path.parent), safe_mode=True)
    finally:
        path.unlink()
    assert bag.import_errors == {}
    assert bag.dags["only"].fileloc == str(path)


def test_two_inboxes_of_a_workflow_share_their_watcher() -> None:
    one, other = (mastra_pending_requests("odd key/50%", mastra_conn_id="m") for _ in range(2))
    assert one.name == other.name == "mastra-pending-requests/m/odd%20key%2F50%25"
    assert one.watchers[0].trigger.serialize() == other.watchers[0].trigger.serialize()
    assert mastra_pending_requests("w").name != one.name
