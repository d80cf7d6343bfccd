"""Demo: an Airflow DAG runs a workflow on a real Mastra server.

The DAG starts a run, waits for it, reads the suspension, resumes the run with a response, and uses
the result. ``make demo`` calls this with the Python of the Airflow environment.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from testkit.sample_server import ROOT, SampleServer

HOME = ROOT / ".build" / "demo"
LOG = HOME / "airflow.log"
DAG_FILE = ROOT / "example_dags" / "refund_approval.py"
DAG_ID = "mastra_refund_approval"
REQUEST = {"order": "A-1042", "amount": 4200, "reason": "arrived broken"}
RETURNED = "Done. Returned value was: "
OUR_LOGGERS = ("airflow.task.operators.airflow_provider_mastra", "mastra_workflows")
START_OF_TASK = re.compile(r"\[DAG TEST\] starting task_id=(\S+)")


def main() -> int:
    began = time.monotonic()
    HOME.mkdir(parents=True, exist_ok=True)
    say("Starting a Mastra 1.x server with a new database")
    with SampleServer() as server:
        say(f"Mastra {server.version} is running at {server.url}")
        environment = airflow_environment(server.url)
        say("Creating Airflow's database (SQLite, in .build/demo)")
        migrate(environment)
        say(f"Running {DAG_FILE.relative_to(ROOT)} in Airflow with {json.dumps(REQUEST)}")
        succeeded = run_dag(environment)
    if not succeeded:
        say(f"The DAG run failed. Airflow's log: {LOG.relative_to(ROOT)}")
        return 1
    say(f"Done in {time.monotonic() - began:.0f} s. All processes have stopped.")
    say("Airflow's log: .build/demo/airflow.log. More DAGs: example_dags/.")
    return 0


def say(text: str) -> None:
    print(f"==> {text}", flush=True)


def airflow_environment(url: str) -> dict[str, str]:
    return {
        **os.environ,
        "AIRFLOW_HOME": str(HOME),
        "AIRFLOW__CORE__DAGS_FOLDER": str(DAG_FILE.parent),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{HOME / 'airflow.db'}",
        "AIRFLOW__LOGGING__JSON_LOGS": "True",
        "AIRFLOW_CONN_MASTRA_DEFAULT": json.dumps({"conn_type": "mastra", "host": url}),
        "PYTHONUNBUFFERED": "1",
    }


def airflow(*arguments: str) -> list[str]:
    return [str(Path(sys.executable).with_name("airflow")), *arguments]


def migrate(environment: dict[str, str]) -> None:
    command = airflow("db", "migrate")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"*** airflow db migrate failed:\n{done.stdout}\n{done.stderr}")


def run_dag(environment: dict[str, str]) -> bool:
    """Run the DAG with ``airflow dags test``, and print the log records about the workflow."""
    command = airflow("dags", "test", DAG_ID, "--conf", json.dumps(REQUEST))
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    task = "airflow"
    final = ""
    try:
        with LOG.open("w") as log:
            for line in process.stdout:
                log.write(line)
                record = parse(line)
                event = str(record.get("event", ""))
                if started := START_OF_TASK.search(event):
                    task = started[1]
                    print(f"    {task}", flush=True)
                elif is_of_interest(record):
                    print(f"    {task} | {event.replace(RETURNED, 'returned ')}", flush=True)
                if "DagRun Finished" in event:
                    final = event
        return process.wait() == 0 and "state=success" in final
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()


def parse(line: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def is_of_interest(record: dict[str, Any]) -> bool:
    """Whether a record is from our operators, reports a task's return value, or is an error."""
    logger, event = str(record.get("logger", "")), str(record.get("event", ""))
    return logger.startswith(OUR_LOGGERS) or event.startswith((RETURNED, "Task failed"))


if __name__ == "__main__":
    sys.exit(main())
