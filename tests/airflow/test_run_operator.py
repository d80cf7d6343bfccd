"""Test MastraRunWorkflowOperator with `dag.test()` against real servers."""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from airflow.sdk import DAG, Asset, Context, task
from sqlalchemy import event

from airflow_provider_mastra.links.mastra import MastraRunLink
from airflow_provider_mastra.operators.workflow import MastraRunWorkflowOperator
from mastra_workflows import MastraClient, Run, RunStatus
from mastra_workflows.errors import ConfigurationError, UnknownRunError
from testkit.sample_server import SampleServer
from tests.airflow.harness import STUDIO, TOKEN, Connect, RunDag


@pytest.mark.smoke
@pytest.mark.version_specific
def test_returns_the_result_and_logs_each_step(connected: SampleServer, run_dag: RunDag) -> None:
    with DAG("outcome", schedule=None) as dag:
        MastraRunWorkflowOperator(
            task_id="report", workflow_id="orderReport", input_data={"city": "Oslo", "limit": 2}
        )
    result = run_dag(dag)

    run_id = result.xcom("report", "run_id")
    url = f"{STUDIO}/workflows/orderReport/graph/{run_id}"
    report = {"city": "Oslo", "orders": 2, "total": 2250, "text": "Oslo: 2 orders, 22.5 EUR"}
    assert result.xcoms("report") == {
        "return_value": report,
        "run_id": run_id,
        "status": "success",
        "mastra_run_url": url,
    }
    assert run_id.startswith("outcome.report.manual__")
    lines = [
        f"Run '{run_id}' of workflow 'orderReport': {url}",
        "Step 'fetch-orders' started at ",
        "Step 'fetch-orders' succeeded after ",
        "Step 'summarise' succeeded after ",
        "Step 'render' succeeded after ",
        f"Run '{run_id}' of workflow 'orderReport' succeeded. Steps: fetch-orders ",
    ]
    places = [result.log.index(line) for line in lines]
    assert places == sorted(places)


@pytest.fixture
def stored(airflow_database: None) -> Iterator[list[str]]:
    """The keys of the XComs that Airflow's database gets from now on."""
    from airflow.models.xcom import XComModel

    keys: list[str] = []

    def note(mapper: object, connection: object, xcom: XComModel) -> None:
        keys.append(xcom.key)

    event.listen(XComModel, "before_insert", note)
    yield keys
    event.remove(XComModel, "before_insert", note)


@pytest.mark.parametrize("deferrable", [False, True])
def test_one_xcom_is_pushed_between_the_end_of_the_run_and_the_success(
    connected: SampleServer, run_dag: RunDag, stored: list[str], deferrable: bool
) -> None:
    """Each is a request to Airflow, and what comes after the wait makes the success late."""
    with DAG("stored_once", schedule=None) as dag:
        MastraRunWorkflowOperator(
            task_id="export",
            workflow_id="slowExport",
            input_data={"seconds": 2},
            deferrable=deferrable,
        )
    result = run_dag(dag)

    assert result.state == "success"
    parts = [key for key in stored if key != MastraRunLink.xcom_key]
    assert parts == ["run_id", "status", "return_value"]
    # Once by the task while the run works, and by Airflow as each of the task's processes ends.
    assert stored.count(MastraRunLink.xcom_key) == (3 if deferrable else 2)


def test_failed_task_pushes_the_error_of_its_run(connected: SampleServer, run_dag: RunDag) -> None:
    with DAG("error_stored", schedule=None) as dag:
        MastraRunWorkflowOperator(
            task_id="fail", workflow_id="failingImport", input_data={}, retries=0
        )
    result = run_dag(dag)
    assert result.xcoms("fail").keys() == {"run_id", "status", "error", "mastra_run_url"}
    assert result.xcom("fail", key="status") == "failed"
    assert "disk full on import-7" in result.xcom("fail", key="error")["message"]


@pytest.mark.parametrize("deferrable", [False, True])
def test_without_do_xcom_push_only_airflow_stores_its_link(
    connected: SampleServer, run_dag: RunDag, deferrable: bool
) -> None:
    with DAG("no_xcom", schedule=None) as dag:
        MastraRunWorkflowOperator(
            task_id="export",
            workflow_id="slowExport",
            input_data={"seconds": 2},
            deferrable=deferrable,
            do_xcom_push=False,
        )
    result = run_dag(dag)

    assert result.state == "success"
    [(key, link)] = result.xcoms("export").items()
    assert key == MastraRunLink.xcom_key
    assert link.startswith(f"{STUDIO}/workflows/slowExport/graph/no_xcom.export.")


def test_without_do_xcom_push_a_retry_attaches_to_the_run(
    connected: SampleServer, run_dag: RunDag, key: str
) -> None:
    with DAG("no_xcom_retried", schedule=None) as dag:
        Crashing(
            task_id="charge",
            workflow_id="countedCharge",
            input_data={"key": key, "amount": 42, "seconds": 1},
            retries=2,
            retry_delay=timedelta(0),
            do_xcom_push=False,
        )
    result = run_dag(dag)

    assert (result.state, result.tries("charge")) == ("success", 2)
    assert connected.executions(key) == 1


def test_multiple_outputs_pushes_each_key_of_the_result(
    connected: SampleServer, run_dag: RunDag
) -> None:
    with DAG("parts", schedule=None) as dag:
        report: Any = MastraRunWorkflowOperator(
            task_id="report",
            workflow_id="orderReport",
            input_data={"city": "Oslo"},
            multiple_outputs=True,
        )

        @task
        def read(city: str, result: dict[str, Any]) -> list[str]:
            return [city, result["city"]]

        read(report.output["city"], report.output)
    assert run_dag(dag).xcom("read") == ["Oslo", "Oslo"]


def test_a_key_that_was_not_pushed_fails_the_task_that_reads_it(
    connected: SampleServer, run_dag: RunDag
) -> None:
    with DAG("no_such_key", schedule=None) as dag:
        report: Any = MastraRunWorkflowOperator(
            task_id="report", workflow_id="orderReport", input_data={"city": "Oslo"}
        )

        @task
        def read(city: str) -> str:
            return city

        read(report.output["city"])
    result = run_dag(dag)
    assert (result.task_state("report"), result.task_state("read")) == ("success", "failed")
    assert "XComNotFound" in result.log


@pytest.mark.parametrize("deferrable", [False, True])
def test_the_asset_events_of_outlets_name_the_run(
    connected: SampleServer, run_dag: RunDag, deferrable: bool
) -> None:
    from airflow.models.asset import AssetEvent
    from airflow.utils.session import create_session
    from sqlalchemy import select

    asset = Asset(f"exports_{deferrable}")
    with DAG(f"outlets_{deferrable}", schedule=None) as dag:
        MastraRunWorkflowOperator(
            task_id="export",
            workflow_id="slowExport",
            input_data={"seconds": 2},
            outlets=[asset],
            deferrable=deferrable,
            post_execute=lambda context, result: context["outlet_events"][asset].extra.update(
                {"by": "the author"}
            ),
        )
    result = run_dag(dag)

    with create_session() as session:
        extras = list(
            session.scalars(
                select(AssetEvent.extra).where(AssetEvent.source_run_id == result.dag_run.run_id)
            )
        )
    assert extras == [
        {
            "mastra_run_id": result.xcom("export", "run_id"),
            "mastra_run_url": result.xcom("export", MastraRunLink.xcom_key),
            "by": "the author",
        }
    ]


def test_structured_fields_are_read_from_json_files(
    connected: SampleServer, run_dag: RunDag, tmp_path: Path
) -> None:
    (tmp_path / "input.json").write_text('{"city": "{{ dag.dag_id }}.json", "limit": 2}')
    with DAG("file", schedule=None, template_searchpath=str(tmp_path)) as dag:
        MastraRunWorkflowOperator(
            task_id="report", workflow_id="orderReport", input_data="input.json"
        )
    assert run_dag(dag).xcom("report")["text"] == "file.json: 2 orders, 22.5 EUR"


def test_a_file_that_is_not_json_fails_the_import_of_the_dag(tmp_path: Path) -> None:
    (tmp_path / "input.json").write_text("{")
    with DAG("broken_file", schedule=None, template_searchpath=str(tmp_path)) as dag:
        MastraRunWorkflowOperator(
            task_id="report", workflow_id="orderReport", input_data="input.json"
        )
    with pytest.raises(ConfigurationError, match=r"input_data: input\.json is not JSON"):
        dag.resolve_template_files()  # type: ignore[no-untyped-call]


def test_without_waiting_nothing_is_returned(
    connected: SampleServer, run_dag: RunDag, client: MastraClient
) -> None:
    with DAG("no_wait", schedule=None) as dag:
        MastraRunWorkflowOperator(
            task_id="export",
            workflow_id="slowExport",
            input_data={"seconds": 60},
            wait_for_completion=False,
        )
    result = run_dag(dag)

    assert result.xcoms("export").keys() == {"run_id", "status", "mastra_run_url"}
    assert result.xcom("export", "status") == "running"
    run = client.get_workflow("slowExport").get_run(result.xcom("export", "run_id"))
    assert run.cancel().run.status == RunStatus.CANCELED


def test_a_failed_run_fails_the_task_which_may_be_retried(
    connected: SampleServer, run_dag: RunDag
) -> None:
    with DAG("failing", schedule=None) as dag:
        MastraRunWorkflowOperator(
            task_id="import",
            workflow_id="failingImport",
            input_data={"file": "orders.csv"},
            retries=1,
            retry_delay=timedelta(0),
        )
    result = run_dag(dag)

    assert (result.state, result.tries("import")) == ("failed", 2)
    assert "RunFailedError" in result.log
    assert "failed in step 'store-rows': Error: disk full on import-7" in result.log
    assert "Steps: read-file" in result.log
    assert "Continuing with the next run." in result.log
    assert "-2' of workflow 'failingImport'" in result.log


def test_a_suspension_fails_the_task_by_default(
    connected: SampleServer, run_dag: RunDag, client: MastraClient
) -> None:
    with DAG("suspended_fail", schedule=None) as dag:
        MastraRunWorkflowOperator(
            task_id="approve",
            workflow_id="refundApproval",
            input_data={"order": "A-1", "amount": 100, "reason": "broken"},
            retries=2,
            retry_delay=timedelta(0),
        )
    result = run_dag(dag)

    # Another try would meet the same suspension.
    assert (result.task_state("approve"), result.tries("approve")) == ("failed", 1)
    assert "is suspended at 'approve'. It executes nothing until it is resumed" in result.log
    assert result.xcom("approve") is None


def test_a_suspension_can_end_the_task(connected: SampleServer, run_dag: RunDag) -> None:
    refund = {"order": "A-2", "amount": 100, "reason": "broken"}
    with DAG("suspended_return", schedule=None) as dag:
        MastraRunWorkflowOperator(
            task_id="approve",
            workflow_id="refundApproval",
            input_data=refund,
            on_suspend="return",
        )
    result = run_dag(dag)

    assert result.xcom("approve") is None
    assert result.xcom("approve", "status") == "suspended"
    (suspension,) = result.xcom("approve", "suspensions")
    assert (suspension["step"], suspension["payload"]) == (["approve"], refund)
    assert set(suspension["resume_schema"]["properties"]) == {"approved", "note"}


class Resumed(MastraRunWorkflowOperator):
    """Has its run resumed by somebody else, a second after it began."""

    def start_or_resume(self, run: Run, context: Context) -> Run:
        """Start the run, and have it resumed later."""
        started = super().start_or_resume(run, context)
        resume = functools.partial(resume_when_it_waits, started)
        threading.Timer(1.0, resume).start()
        return started


def resume_when_it_waits(run: Run) -> None:
    run.wait(timeout=120)
    run.resume(resume_data={"approved": True})


@pytest.mark.smoke
def test_a_suspension_can_be_waited_through(connected: SampleServer, run_dag: RunDag) -> None:
    with DAG("suspended_wait", schedule=None) as dag:
        Resumed(
            task_id="approve",
            workflow_id="refundApproval",
            input_data={"order": "A-3", "amount": 100, "reason": "broken"},
            on_suspend="wait",
            max_poll_interval=0.5,
        )
    result = run_dag(dag)

    assert result.xcom("approve")["refunded"] == 100
    suspended = result.log.index("Step 'approve' is suspended")
    assert suspended < result.log.index("Step 'approve' succeeded")


def test_arguments_are_templates_and_keep_their_types(
    connected: SampleServer, run_dag: RunDag, key: str
) -> None:
    with DAG("templates", schedule=None, params={"city": "Århus", "key": key}) as dag:

        @task
        def limit() -> int:
            return 3

        MastraRunWorkflowOperator(
            task_id="report",
            workflow_id="{{ 'order' }}Report",
            input_data={"city": "{{ params.city }}", "limit": limit()},
            request_context={"tenant": "{{ params.city }}"},
            run_id="{{ params.key }}",
        )
    result = run_dag(dag)

    assert result.xcom("report", "run_id") == key
    assert (result.xcom("report")["city"], result.xcom("report")["orders"]) == ("Århus", 3)


def test_mapped_tasks_have_runs_of_their_own(connected: SampleServer, run_dag: RunDag) -> None:
    cities = ["Oslo", "Bergen", "Tromsø"]
    with DAG("mapped", schedule=None) as dag:
        reports = MastraRunWorkflowOperator.partial(
            task_id="report", workflow_id="orderReport"
        ).expand(input_data=[{"city": city} for city in cities])

        @task
        def collect(results: Any) -> list[str]:
            return [result["city"] for result in results]

        collect(reports.output)
    result = run_dag(dag)

    assert result.xcom("collect") == cities
    run_ids = {result.xcom("report", "run_id", map_index=index) for index in range(3)}
    assert len(run_ids) == 3
    assert all(run_id.startswith("mapped.report.") for run_id in run_ids)


class Crashing(MastraRunWorkflowOperator):
    """Fails once for each run, as soon as the run is running."""

    crashed: ClassVar[set[str]] = set()

    def start_or_resume(self, run: Run, context: Context) -> Run:
        """Start the run, and fail."""
        started = super().start_or_resume(run, context)
        if run.run_id not in self.crashed:
            self.crashed.add(run.run_id)
            raise OSError("the worker has no memory left")
        return started


@pytest.mark.smoke
def test_a_retry_attaches_to_the_run_and_executes_nothing_again(
    connected: SampleServer, run_dag: RunDag, key: str
) -> None:
    with DAG("retried", schedule=None) as dag:
        Crashing(
            task_id="charge",
            workflow_id="countedCharge",
            input_data={"key": key, "amount": 42, "seconds": 2},
            retries=2,
            retry_delay=timedelta(0),
        )
    result = run_dag(dag)

    assert result.xcom("charge") == {"charged": 42}
    assert result.tries("charge") == 2
    assert connected.executions(key) == 1
    # A late retry finds a finished run and reuses its result.
    assert "An earlier attempt started it." in result.log


def test_timeout_ends_the_wait(connected: SampleServer, run_dag: RunDag, key: str) -> None:
    with DAG("timeout", schedule=None) as dag:
        MastraRunWorkflowOperator(
            task_id="charge",
            workflow_id="countedCharge",
            input_data={"key": key, "amount": 42, "seconds": 3},
            timeout=timedelta(seconds=1),
        )
    result = run_dag(dag)

    assert result.task_state("charge") == "failed"
    assert "WaitTimeoutError" in result.log
    assert " s. It continues; wait again for its result." in result.log


@pytest.mark.parametrize(("cancels", "status"), [(True, "canceled"), (False, "running")])
def test_cancel_on_timeout_decides_about_the_run(
    connected: SampleServer,
    run_dag: RunDag,
    client: MastraClient,
    key: str,
    cancels: bool,
    status: str,
) -> None:
    with DAG("timed_out", schedule=None) as dag:
        MastraRunWorkflowOperator(
            task_id="export",
            workflow_id="slowExport",
            input_data={"seconds": 60},
            run_id=key,
            timeout=1,
            cancel_on_timeout=cancels,
        )
    result = run_dag(dag)

    assert result.task_state("export") == "failed"
    assert ("cancel_on_timeout is on. Run" in result.log) == cancels
    assert result.xcom("export", key="status") == status
    run = client.get_workflow("slowExport").get_run(key)
    assert run.read().status == status
    run.cancel()


def test_invalid_input_starts_nothing_and_is_not_retried(
    connected: SampleServer, run_dag: RunDag, client: MastraClient, key: str
) -> None:
    with DAG("invalid", schedule=None) as dag:
        MastraRunWorkflowOperator(
            task_id="charge",
            workflow_id="countedCharge",
            input_data={"key": key},
            run_id=key,
            retries=3,
            retry_delay=timedelta(0),
        )
    result = run_dag(dag)

    assert (result.task_state("charge"), result.tries("charge")) == ("failed", 1)
    assert "$.amount: required" in result.log
    assert connected.executions(key) == 0
    with pytest.raises(UnknownRunError):
        client.get_workflow("countedCharge").run_execution_result(key)


def test_unknown_workflow_is_not_retried_and_existing_ones_are_named(
    connected: SampleServer, run_dag: RunDag
) -> None:
    with DAG("unknown", schedule=None) as dag:
        MastraRunWorkflowOperator(
            task_id="report", workflow_id="orderRepot", retries=3, retry_delay=timedelta(0)
        )
    result = run_dag(dag)

    assert (result.task_state("report"), result.tries("report")) == ("failed", 1)
    assert "The server has no workflow 'orderRepot'. It has" in result.log
    assert "the closest are 'orderReport'," in result.log


@pytest.mark.parametrize("run_id", ["{{ none }}", "{{ '' }}"])
def test_empty_rendered_run_id_is_rejected(
    connected: SampleServer, run_dag: RunDag, run_id: str
) -> None:
    with DAG("no_run_id", schedule=None) as dag:
        MastraRunWorkflowOperator(
            task_id="report",
            workflow_id="orderReport",
            input_data={"city": "Oslo"},
            run_id=run_id,
        )
    result = run_dag(dag)

    assert result.task_state("report") == "failed"
    assert "expected a string, got" in result.log


def test_a_result_of_several_megabytes_arrives(connected: SampleServer, run_dag: RunDag) -> None:
    with DAG("big", schedule=None) as dag:
        MastraRunWorkflowOperator(
            task_id="rows", workflow_id="bigReport", input_data={"megabytes": 4}
        )
    rows = run_dag(dag).xcom("rows")["rows"]

    assert len(rows) == 4000
    assert len(json.dumps(rows)) > 4_000_000


def test_keys_and_data_in_any_script(connected: SampleServer, run_dag: RunDag) -> None:
    with DAG("odd", schedule=None) as dag:
        MastraRunWorkflowOperator(
            task_id="echo",
            workflow_id='odd key/50% + "quotes" é',
            input_data={"text": "日本語 🦊 \"'\\"},
        )
    result = run_dag(dag)

    assert result.xcom("echo") == {"text": "日本語 🦊 \"'\\"}
    link = result.xcom("echo", MastraRunLink.xcom_key)
    assert "/workflows/odd%20key%2F50%25%20%2B%20%22quotes%22%20%C3%A9/graph/" in link


@pytest.mark.parametrize("password", [TOKEN, "wrong-token-0815"])
def test_log_contains_no_secret(
    guarded: SampleServer, connect: Connect, run_dag: RunDag, password: str
) -> None:
    headers = {"X-Team-Key": "team-key-of-the-tests"}
    connect(guarded.url, password=password, secret_headers=headers)
    with DAG("secrets", schedule=None) as dag:
        MastraRunWorkflowOperator(
            task_id="report",
            workflow_id="orderReport",
            input_data={"city": "Oslo"},
            retries=2,
            retry_delay=timedelta(0),
        )
    result = run_dag(dag)

    assert result.task_state("report") == ("success" if password == TOKEN else "failed")
    assert result.tries("report") == 1
    assert ("Set a valid token." in result.log) == (password != TOKEN)
    for secret in (password, *headers.values()):
        assert secret not in result.log
        assert secret not in json.dumps(result.xcoms("report"))


@pytest.mark.parametrize(
    "option",
    [
        {"on_suspend": "never"},
        {"poll_interval": 0},
        {"max_poll_interval": -1},
        {"timeout": timedelta(seconds=-1)},
        {"outage_timeout": -1},
        {"stall_timeout": 0},
        {"on_stall": "pray"},
        {"on_failed_run": "pray"},
    ],
    ids=lambda option: next(iter(option)),
)
def test_invalid_option_fails_the_dag_import(option: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(option))):
        MastraRunWorkflowOperator(task_id="report", workflow_id="orderReport", **option)
