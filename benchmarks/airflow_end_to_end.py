"""From a workflow's end to its Airflow task's success, side by side: ``make bench-airflow``.

Every piece of work is one DAG run in a whole Airflow on PostgreSQL (api-server, scheduler with the
LocalExecutor, DAG processor and triggerer, at Airflow's own intervals). First each way has one
task in each round, and these end one after the other, in turns; then the ways that hold no worker
while they wait have many tasks at once, mixed, which end faster than Airflow wakes one.

What is measured is told in docs/performance.md.
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
# The stack's own are quicker than these, Airflow's, for the tests' sake.
DEFAULTS = {
    "AIRFLOW__SCHEDULER__JOB_HEARTBEAT_SEC": "5",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "5",
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "1",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "5",
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "5",
}
# From the triggering of DAGs to the first end of their work: by then all wait for it.
LEAD_SECONDS = 30.0
# Between two ends: by then the task of the first one is over. The rest is drawn, so that the ends
# meet every point of a polling interval.
GAP_SECONDS, DRAWN_SECONDS = 7.0, 3.0
PHASES = ("event", "scheduled", "queued", "worker", "success")


@dataclass(frozen=True)
class Work:
    """One DAG run.

    Attributes:
        way: how it waits.
        run_id: its id.
        ends_at: when its work is to end, in seconds since 1970.
    """

    way: str
    run_id: str
    ends_at: float


@dataclass(frozen=True)
class Measured:
    """What was seen of a DAG run, in seconds.

    Attributes:
        way: how it waited.
        late: from the workflow's end to the task's success.
        begun_after: from the first task's start to the workflow's; None where there is none.
        phases: how that time passed, to the end of each of these: the trigger's event, the task
            scheduled again, queued again, its worker's first line, its success.
    """

    way: str
    late: float
    begun_after: float | None
    phases: dict[str, float]


class Bench:
    """Runs DAGs, and measures them when they are over."""

    def __init__(self, airflow: AirflowStack, client: MastraClient) -> None:
        self._airflow = airflow
        self._workflow = client.get_workflow(WORKFLOW)

    def begin(self, way: str, ends_at: float) -> Work:
        """Trigger a DAG whose work ends at that time."""
        work = Work(way, f"end-{uuid.uuid4().hex[:12]}", ends_at)
        self._airflow.trigger_dag(way, conf={"ends_at": work.ends_at}, run_id=work.run_id)
        return work

    def finish(self, work: Work) -> Measured:
        """Wait for a DAG run, and measure it."""
        time.sleep(max(0.0, work.ends_at + 4 - time.time()))  # leave Airflow the machine
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
        """When each phase of the way back from the triggerer ended; empty if it never went."""
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
        """When something was logged, and what."""
        path = f"/dags/{work.way}/dagRuns/{quote(work.run_id)}/taskInstances/{task}/logs/1"
        content = self._airflow.api.request("GET", path, query={"full_content": True})["content"]
        return [
            (_seconds(one["timestamp"]), str(one["event"]))
            for one in content
            if one.get("timestamp")
        ]


class NotFoundUntilOver:
    """A server in front of Mastra's whose run records are 404 until the run is over.

    That is what the deferrable HttpSensor can wait for.

    Args:
        server: the base URL of Mastra's.
    """

    def __init__(self, server: str) -> None:
        session = requests.Session()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer = session.get(server + self.path, timeout=30)
                is_over = answer.ok and answer.json()["status"] == "success"
                self.send_response(200 if is_over else 404)
                self.send_header("Content-Length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

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
    parser.add_argument("--rounds", type=int, default=10, help="of one task of each way")
    parser.add_argument("--tasks", type=int, default=200, help="at once, of all ways together")
    parser.add_argument("--every", type=float, default=1.5, help="seconds between their ends")
    parser.add_argument("--parallelism", type=int, default=8, help="tasks that may execute at once")
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
    """Each way in turns; no two end together."""
    ways = [way for way in WAYS if way != ONCE_A_MINUTE]
    seen, once_a_minute = [], []
    for number in range(rounds):
        shift = number % len(ways)
        # The one that looks once a minute goes on while the next round does.
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
    """As many tasks as are asked for, begun together, of the ways that defer, mixed."""
    ways = [AT_ONCE[number % len(AT_ONCE)] for number in range(tasks)]
    draw.shuffle(ways)
    # Airflow takes about so long to start them all, while none is to end.
    first = time.time() + LEAD_SECONDS + tasks * 1.5
    works = [bench.begin(way, first + number * every) for number, way in enumerate(ways)]
    return [bench.finish(work) for work in works]


def table(measured: Sequence[Measured]) -> list[dict[str, Any]]:
    """A row for each way."""
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
