"""Run Airflow for the tests: a temporary home folder, an SQLite database, and `dag.test()`."""

from __future__ import annotations

import importlib
import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EXAMPLE_DAGS = Path(__file__).parents[2] / "example_dags"
STUDIO = "http://studio.example"
TOKEN = "token-4711-of-the-tests"
PEOPLE = ("ann", "bob")
"""Who can log in to this Airflow, each with the name as password."""


def configure() -> Path:
    """Make the home folder, and set what Airflow reads when it is imported, not later.

    Processes that a test starts inherit it.
    """
    home = Path(tempfile.mkdtemp(prefix="mastra-airflow-"))
    os.environ["AIRFLOW_HOME"] = str(home)
    ad_hoc_dags().mkdir()
    (home / "passwords.json").write_text(json.dumps({name: name for name in PEOPLE}))
    bundles = [
        {
            "name": name,
            "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
            "kwargs": {"path": str(folder)},
        }
        for name, folder in {"examples": EXAMPLE_DAGS, "tests": ad_hoc_dags()}.items()
    ]
    os.environ.update(
        {
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            # Or a DAG that is stored again within 30 s, such as an edited one, stays as it was.
            "AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "0",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(bundles),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(
                f"{name}:admin" for name in PEOPLE
            ),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
        }
    )
    return home


def ad_hoc_dags() -> Path:
    """An empty folder: what the DAGs that are in no file belong to."""
    return Path(os.environ["AIRFLOW_HOME"]) / "dags"


def make_database() -> None:
    """Make the database, with the DAG folders in it."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.utils.db import initdb

    initdb()
    DagBundlesManager().sync_bundles_to_db()  # type: ignore[no-untyped-call]


def store(dag: Any) -> None:
    """Make Airflow's database know a DAG that is in no file."""
    bag = read_dags(ad_hoc_dags())
    bag.bag_dag(dag)
    dag_bags().sync_bag_to_db(bag, "tests", None)


def read_dags(folder: Path) -> Any:
    """The DAGs of every file that Airflow sees in a folder, whatever the file looks like."""
    return dag_bags().DagBag(str(folder), safe_mode=False)


def dag_bags() -> Any:
    """Airflow's module about reading DAGs, wherever this Airflow has it."""
    try:
        return importlib.import_module("airflow.dag_processing.dagbag")
    except ImportError:  # Airflow 3.1
        return importlib.import_module("airflow.models.dagbag")


def try_again(dag: Any, ti: Any, *, clear: bool = False) -> None:
    """Run a finished task instance once more, as a retry or after it was cleared.

    Args:
        dag: its DAG.
        ti: its row.
        clear: whether a person clears it first, which makes the next try new work.
    """
    from airflow.models.taskinstance import TaskInstance, clear_task_instances
    from airflow.sdk.definitions.dag import _run_task
    from airflow.utils.session import create_session
    from sqlalchemy import select

    this = select(TaskInstance).where(
        TaskInstance.dag_id == ti.dag_id,
        TaskInstance.task_id == ti.task_id,
        TaskInstance.run_id == ti.run_id,
        TaskInstance.map_index == ti.map_index,
    )
    if clear:
        with create_session() as session:
            # The DAG run stays as it is: there is no scheduler here that would start it again.
            found = session.scalars(this).one()
            clear_task_instances([found], session, dag_run_state=False, run_on_latest_version=True)
            found.dag_run.clear_number += 1
    with create_session() as session:
        ti = session.scalars(this).one()
        ti.try_number += 1
        ti.state = "scheduled"
    _run_task(ti=ti, task=dag.get_task(ti.task_id))


def mark(dag_id: str, task_id: str, state: str | None) -> None:
    """Set the state of a DAG's task instances, as a person does who marks or clears them."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import update

    of_task = (TaskInstance.dag_id == dag_id, TaskInstance.task_id == task_id)
    with create_session() as session:
        session.execute(update(TaskInstance).where(*of_task).values(state=state))


def tested_dag_run() -> tuple[str, str]:
    """The ids of the DAG, and of the DAG run, that `dag.test()` has begun last."""
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from airflow.utils.types import DagRunTriggeredByType
    from sqlalchemy import select

    newest = (
        select(DagRun.dag_id, DagRun.run_id)
        .where(DagRun.triggered_by == DagRunTriggeredByType.TEST)
        .order_by(DagRun.id.desc())
        .limit(1)
    )
    with create_session() as session:
        dag_id, run_id = session.execute(newest).one()
    return dag_id, run_id


def until_state(dag_id: str, task_id: str, state: str, *, timeout: float = 120.0) -> None:
    """Wait until the newest instance of a task has a state."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import select

    newest = (
        select(TaskInstance.state)
        .where(TaskInstance.dag_id == dag_id, TaskInstance.task_id == task_id)
        .order_by(TaskInstance.run_id.desc())
    )
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        with create_session() as session:
            if session.scalars(newest).first() == state:
                return
        time.sleep(0.05)
    raise TimeoutError(f"{dag_id}.{task_id} was not {state} in {timeout:g} s")


def connection(host: str, *, port: int | None = None, password: str = "", **extra: Any) -> str:
    """A connection as AIRFLOW_CONN_MASTRA_DEFAULT takes it."""
    fields = {"host": host, "port": port, "password": password, "extra": extra}
    return json.dumps({"conn_type": "mastra", **fields})


@dataclass(frozen=True)
class DagResult:
    """What a DAG run left behind.

    Attributes:
        dag_run: Airflow's row.
        log: everything that was logged meanwhile.
    """

    dag_run: Any
    log: str

    @property
    def state(self) -> str:
        """The DAG run's state."""
        return str(self.dag_run.state)

    def task(self, task_id: str, map_index: int = -1) -> Any:
        """The row of a task instance."""
        return self.dag_run.get_task_instance(task_id, map_index=map_index)

    def task_state(self, task_id: str) -> str:
        """A task's state."""
        return str(self.task(task_id).state)

    def tries(self, task_id: str) -> int:
        """How often a task was tried."""
        return int(self.task(task_id).try_number)

    def xcom(self, task_id: str, key: str = "return_value", map_index: int = -1) -> Any:
        """What a task returned, or stored under another key."""
        return self.task(task_id, map_index).xcom_pull(
            task_ids=task_id, key=key, map_indexes=map_index
        )

    def xcoms(self, task_id: str, map_index: int = -1) -> dict[str, Any]:
        """All that a task has stored, by key."""
        from airflow.models.xcom import XComModel
        from airflow.utils.session import create_session
        from sqlalchemy import select

        ti = self.task(task_id, map_index)
        keys = select(XComModel.key).where(
            XComModel.dag_id == ti.dag_id,
            XComModel.run_id == ti.run_id,
            XComModel.task_id == task_id,
            XComModel.map_index == map_index,
        )
        with create_session() as session:
            found = list(session.scalars(keys))
        return {key: self.xcom(task_id, key, map_index) for key in found}


RunDag = Callable[..., DagResult]
Connect = Callable[..., None]
StartRun = Callable[..., str]
