"""Measure the latency from a workflow's end to its Airflow task's success: ``make bench-airflow``.

Each measurement is one DAG run in a complete Airflow on PostgreSQL (api-server, scheduler with the
LocalExecutor, DAG processor and triggerer, at Airflow's default intervals). The first part runs one
task of each way per round, and these end one after the other. The second part runs many concurrent
tasks of the ways that do not occupy a worker while they wait, in random order. They end faster than
Airflow wakes one task.

docs/performance.md describes the measurement.
"""

from __future__ import annotations

import argparse
import json
import random
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import requests

from benchmarks import figures
from mastra_workflows import MastraClient, WorkflowRun
from testkit.airflow_stack import AirflowStack
from testkit.json_api import quote
from testkit.postgres import PostgresServer
from testkit.sample_server import SampleServer

HERE = Path(__file__).resolve().parent
WORKFLOW = "slowExport"
FLOOR = "floor"
WAYS = {
    FLOOR: "floor: a trigger that knows the instant",
    "ended_by_trigger": "the same, ending the task from the triggerer",
    "ours_deferrable": "MastraRunWorkflowOperator, deferrable",
    "ours_sync": "MastraRunWorkflowOperator",
    "http_5": "HttpOperator + deferrable HttpSensor, 5 s",
    "http_60": "HttpOperator + deferrable HttpSensor, 60 s",
    "http_checked_5": "HttpOperator + HttpSensor with response_check, 5 s",
}
ONCE_A_MINUTE = "http_60"
AT_ONCE = (FLOOR, "ended_by_trigger", "ours_deferrable", "http_5")
# Airflow's defaults. The test stack uses shorter intervals.
DEFAULTS = {
    "AIRFLOW__SCHEDULER__JOB_HEARTBEAT_SEC": "5",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "5",
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "1",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "5",
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "5",
}
# From triggering the DAGs to the end of the first workflow. By then all tasks are waiting.
LEAD_SECONDS = 30.0
# Between the ends of two workflows. GAP_SECONDS suffices for the first task to finish. The random
# rest distributes the ends over the polling interval.
GAP_SECONDS, DRAWN_SECONDS = 7.0, 3.0
PHASES = ("event", "scheduled", "queued", "worker", "success")


@dataclass(frozen=True)
class Work:
    """One DAG run.

    Attributes:
        way: the way of waiting; a key of `WAYS`.
        run_id: the DAG run's id.
        ends_at: the planned end of its workflow, as a Unix timestamp.
    """

    way: str
    run_id: str
    ends_at: float


@dataclass(frozen=True)
class Measured:
    """The latencies of one DAG run, in seconds.

    Attributes:
        way: the way of waiting; a key of `WAYS`.
        late: from the workflow's end to the task's success.
        begun_after: from the first task's start to the workflow's start; None without a workflow.
        phases: from the workflow's end to the trigger's event, to the task scheduled again, queued
            again, to its worker's first log line and to its success.
    """

    way: str
    late: float
    begun_after: float | None
    phases: dict[str, float]


class Bench:
    """Triggers DAG runs and measures them when they have finished."""

    def __init__(self, airflow: AirflowStack, client: MastraClient) -> None:
        self._airflow = airflow
        self._workflow = client.get_workflow(WORKFLOW)

    def begin(self, way: str, ends_at: float) -> Work:
        """Trigger a DAG whose workflow ends at the given time."""
        work = Work(way, f"end-{uuid.uuid4().hex[:12]}", ends_at)
        self._airflow.trigger_dag(way, conf={"ends_at": work.ends_at}, run_id=work.run_id)
        return work

    def finish(self, work: Work) -> Measured:
        """Wait for a DAG run and measure it."""
        time.sleep(max(0.0, work.ends_at + 4 - time.time()))  # do not load the machine by polling
        state = self._airflow.wait_for_dag_run(work.way, work.run_id, timeout=300)
        if state != "success":
            raise SystemExit(f"{work} is {state}: {self._log(work, 'wait')}")
        tasks = {
            one["task_id"]: one for one in self._airflow.api.task_instances(work.way, work.run_id)
        }
        task = tasks["wait"]
        record = self._record(work)
        ended = work.ends_at
        begun_after = None
        if record is not None:
            (step,) = record.steps
            assert step.started_at is not None
            assert step.ended_at is not None
            ended = step.ended_at.timestamp()
            begun = min(_seconds(one["start_date"]) for one in tasks.values())
            begun_after = step.started_at.timestamp() - begun
        return Measured(
            work.way,
            _seconds(task["end_date"]) - ended,
            begun_after,
            {name: at - ended for name, at in self._phases(work, task).items()},
        )

    def _record(self, work: Work) -> WorkflowRun | None:
        if work.way.startswith("http"):
            return self._workflow.run_execution_result(work.run_id)
        if work.way.startswith("ours"):
            run_id = self._airflow.api.xcom(work.way, work.run_id, "wait", "run_id")
            return self._workflow.run_execution_result(run_id)
        return None

    def _phases(self, work: Work, task: dict[str, Any]) -> dict[str, float]:
        """Return the time of each phase after the trigger's event; empty if no trigger fired."""
        log = self._log(work, "wait")
        fired = [at for at, event in log if event == "Trigger fired event"]
        if not fired:
            return {}
        phases = {"event": fired[-1]}
        if work.way != "ended_by_trigger":
            phases["scheduled"] = _seconds(task["scheduled_when"])
            phases["queued"] = queued = _seconds(task["queued_when"])
            phases["worker"] = min(at for at, _ in log if at > queued)
        return {**phases, "success": _seconds(task["end_date"])}

    def _log(self, work: Work, task: str) -> list[tuple[float, str]]:
        """Return the timestamps and events of a task's log."""
        path = f"/dags/{work.way}/dagRuns/{quote(work.run_id)}/taskInstances/{task}/logs/1"
        content = self._airflow.api.request("GET", path, query={"full_content": True})["content"]
        return [
            (_seconds(one["timestamp"]), str(one["event"]))
            for one in content
            if one.get("timestamp")
        ]


class NotFoundUntilOver:
    """A proxy to a Mastra server that responds with 404 to a run's record until it has succeeded.

    The deferrable HttpSensor can only wait for a status other than 404.

    Args:
        server: the base URL of the Mastra server.
    """

    def __init__(self, server: str) -> None:
        session = requests.Session()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                response = session.get(server + self.path, timeout=30)
                is_over = response.ok and response.json()["status"] == "success"
                self.send_response(200 if is_over else 404)
                self.send_header("Content-Length", str(len(response.content)))
                self.end_headers()
                self.wfile.write(response.content)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> NotFoundUntilOver:
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="rounds with one task of each way")
    parser.add_argument(
        "--tasks", type=int, default=200, help="number of concurrent tasks, of all ways"
    )
    parser.add_argument(
        "--every", type=float, default=1.5, help="seconds between two ends of workflows"
    )
    parser.add_argument(
        "--parallelism", type=int, default=8, help="maximum number of executing tasks"
    )
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    draw = random.Random(options.seed)

    with (
        SampleServer() as server,
        NotFoundUntilOver(server.url) as gate,
        PostgresServer() as postgres,
        AirflowStack(
            HERE / "airflow_dags",
            database_url=postgres.create_database("airflow"),
            parallelism=options.parallelism,
            environment={
                **DEFAULTS,
                "PYTHONPATH": str(HERE.parent),
                "AIRFLOW_CONN_MASTRA": json.dumps({"conn_type": "mastra", "host": server.url}),
                "AIRFLOW_CONN_HTTP": json.dumps({"conn_type": "http", "host": server.url}),
                "AIRFLOW_CONN_HTTP_404_UNTIL_OVER": json.dumps(
                    {"conn_type": "http", "host": gate.url}
                ),
            },
        ) as airflow,
        MastraClient(server.url) as client,
    ):
        for way in WAYS:
            airflow.wait_for_dag(way)
        bench = Bench(airflow, client)
        alone = one_at_a_time(bench, options.rounds, draw)
        together = at_once(bench, options.tasks, options.every, draw)

    comparisons = {
        "one task of each way": table(alone),
        f"{len(together)} tasks at once": table(together),
    }
    what = "seconds from the workflow's end to the task's success"
    measured = [*alone, *together]
    figures.publish("airflow", what, comparisons, measured, parallelism=options.parallelism)


def one_at_a_time(bench: Bench, rounds: int, draw: random.Random) -> list[Measured]:
    """Run each way once per round, so that no two workflows end at the same time."""
    ways = [way for way in WAYS if way != ONCE_A_MINUTE]
    seen, once_a_minute = [], []
    for number in range(rounds):
        shift = number % len(ways)
        # The way that polls once a minute continues during the next round.
        order = [*ways[shift:], *ways[:shift], ONCE_A_MINUTE]
        first = time.time() + LEAD_SECONDS
        works = [
            bench.begin(
                way, first + place * (GAP_SECONDS + DRAWN_SECONDS) + draw.uniform(0, DRAWN_SECONDS)
            )
            for place, way in enumerate(order)
        ]
        once_a_minute.append(works.pop())
        seen += [bench.finish(work) for work in works]
        print(f"  round {number + 1} of {rounds}", flush=True)
    return [*seen, *(bench.finish(work) for work in once_a_minute)]


def at_once(bench: Bench, tasks: int, every: float, draw: random.Random) -> list[Measured]:
    """Run many tasks of the deferrable ways concurrently, in random order."""
    ways = [AT_ONCE[number % len(AT_ONCE)] for number in range(tasks)]
    draw.shuffle(ways)
    # Airflow needs about this long to start all tasks. No workflow may end before that.
    first = time.time() + LEAD_SECONDS + tasks * 1.5
    works = [bench.begin(way, first + number * every) for number, way in enumerate(ways)]
    return [bench.finish(work) for work in works]


def table(measured: Sequence[Measured]) -> list[dict[str, Any]]:
    """Build a table with a row for each way."""
    late = {
        way: [one.late for one in measured if one.way == way]
        for way in WAYS
        if any(one.way == way for one in measured)
    }
    floor = figures.spread(late[FLOOR])["median"]
    rows = []
    for way, values in late.items():
        spread = figures.spread(values)
        mine = [one for one in measured if one.way == way]
        begun = [one.begun_after for one in mine if one.begun_after is not None]
        row: dict[str, Any] = {
            "way": WAYS[way],
            "tasks": len(values),
            "median": spread["median"],
            "p95": spread["p95"],
            "of the floor": spread["median"] / floor,
            "start to start": figures.spread(begun)["median"] if begun else None,
        }
        for phase in PHASES:
            times = [one.phases[phase] for one in mine if phase in one.phases]
            row[f"to {phase}"] = figures.spread(times)["median"] if times else None
        rows.append(row)
    return rows


def _seconds(when: str) -> float:
    return datetime.fromisoformat(when).timestamp()


if __name__ == "__main__":
    main()
