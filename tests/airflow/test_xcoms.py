"""Test that a task succeeds with any result of its run and passes it to the next task."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest
from airflow.sdk import DAG, task

from airflow_provider_mastra.operators.workflow import MastraRunWorkflowOperator
from airflow_provider_mastra.sensors.workflow import MastraWorkflowRunSensor
from airflow_provider_mastra.utils.xcoms import PREFIX, RESERVED, escape_keys, unescape_keys
from mastra_workflows import MastraClient
from testkit.sample_server import ROOT, SampleServer
from tests.airflow.harness import Connect, RunDag
from tests.airflow.person import Person

KINDS = ("half-emoji", "nul", "forged", "template", "reserved", "tuple", "deep", "numbers")


def some_json(random: Random, depth: int = 0) -> Any:
    """JSON with many reserved keys, and with keys that look like escaped ones."""
    size = random.randrange(4)
    match random.randrange(3 if depth < 5 else 1):
        case 0:
            return random.choice([None, True, -1, 2**63 - 1, 1.5, "", "__type", "text"])
        case 1:
            return [some_json(random, depth + 1) for _ in range(size)]
    keys = (random.choice(["", "a", "type", *RESERVED]) for _ in range(size))
    return {PREFIX * random.randrange(3) + key: some_json(random, depth + 1) for key in keys}


@pytest.mark.parametrize("seed", range(20))
def test_escaping_round_trip(seed: int) -> None:
    is_new = find_spec("airflow.sdk.serde") is not None  # from Airflow 3.2 on
    serde = import_module("airflow.sdk.serde" if is_new else "airflow.serialization.serde")
    random = Random(seed)
    for _ in range(200):
        value: Any = some_json(random)
        escaped = escape_keys(value)
        assert unescape_keys(escaped) == value
        assert serde.deserialize(serde.serialize(escaped)) == escaped


def test_escaped_keys() -> None:
    assert escape_keys({"a": [{"__type": 1, "mastra.__var": 2, "__other": 3}]}) == {
        "a": [{"mastra.__type": 1, "mastra.mastra.__var": 2, "__other": 3}]
    }


@pytest.mark.parametrize("how", ["return", "suspend"])
@pytest.mark.parametrize("kind", KINDS)
def test_unusual_results_are_stored(
    odd_server: SampleServer, connect: Connect, run_dag: RunDag, kind: str, how: str
) -> None:
    connect(odd_server.url)
    with DAG("odd_results", schedule=None) as dag:
        end = MastraRunWorkflowOperator(
            task_id="end",
            workflow_id="oddEnd",
            input_data={"kind": kind, "how": how},
            on_suspend="return",
        )
        outputs: Any = end.output
        sensor = MastraWorkflowRunSensor(
            task_id="wait", workflow_id="oddEnd", run_id=outputs["run_id"], on_suspend="return"
        )

        @task
        def use(from_operator: Any, from_sensor: Any) -> Any:
            assert from_operator == from_sensor
            return from_operator

        key = "return_value" if how == "return" else "suspensions"
        use(outputs[key], cast(Any, sensor.output)[key])
    result = run_dag(dag)

    assert result.state == "success"
    used = unescape_keys(result.xcom("use"))
    with MastraClient(odd_server.url) as client:
        run = client.get_workflow("oddEnd").get_run(result.xcom("end", "run_id"))
        record = run.read()
    suspensions = [suspension.to_dict() for suspension in record.suspensions]
    assert used == (record.result if how == "return" else suspensions)


def test_a_large_result_is_stored_once_in_an_object_store(
    connected: SampleServer, airflow_database: None, tmp_path: Path
) -> None:
    work = [sys.executable, "-m", "tests.airflow.object_storage"]
    done = subprocess.run(
        [*work, "bigReport", '{"megabytes": 1}'],
        cwd=ROOT,
        env={
            **os.environ,
            "AIRFLOW__CORE__XCOM_BACKEND": (
                "airflow.providers.common.io.xcom.backend.XComObjectStorageBackend"
            ),
            "AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_PATH": f"file://{tmp_path}",
            "AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_THRESHOLD": "100000",
            "AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_COMPRESSION": "gzip",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert "The DAG run is success; the next task counted 1000 rows" in done.stdout, done.stdout
    [stored] = [path for path in tmp_path.rglob("*") if path.is_file()]
    with gzip.open(stored) as file:
        assert len(json.load(file)["rows"]) == 1000


def test_form_with_reserved_keys(
    odd_server: SampleServer,
    connect: Connect,
    run_dag: RunDag,
    people: Callable[..., Person],
) -> None:
    connect(odd_server.url)
    response = {"__type": "dict", "__var": "b", "__classname__": "c", "details": {"__id__": 1}}
    with DAG("reserved", schedule=None) as dag:
        MastraRunWorkflowOperator(
            task_id="ask", workflow_id="reserved", input_data={}, on_suspend="ask"
        )
    fields = {"type": "dict", "var": "b", "classname": "c", "details": {"mastra.__id__": 1}}
    with people(fields):
        result = run_dag(dag)
    assert unescape_keys(result.xcom("ask")) == response
    assert unescape_keys(result.xcom("ask", "responses")[0]["resume_data"]) == response
