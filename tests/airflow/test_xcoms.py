"""Whatever a successful run holds: its task succeeds, and the next task gets it."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, cast

import pytest
from airflow.sdk import DAG, task

from airflow_provider_mastra.operators.workflow import MastraRunWorkflowOperator
from airflow_provider_mastra.sensors.workflow import MastraWorkflowRunSensor
from airflow_provider_mastra.utils.xcoms import PREFIX, RESERVED, escape_keys, unescape_keys
from mastra_workflows import MastraClient
from testkit.sample_server import SampleServer
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
def test_escaping_can_be_undone(seed: int) -> None:
    from airflow.sdk.serde import deserialize, serialize

    random = Random(seed)
    for _ in range(200):
        value: Any = some_json(random)
        escaped = escape_keys(value)
        assert unescape_keys(escaped) == value
        assert deserialize(serialize(escaped)) == escaped


def test_what_an_escaped_key_looks_like() -> None:
    assert escape_keys({"a": [{"__type": 1, "mastra.__var": 2, "__other": 3}]}) == {
        "a": [{"mastra.__type": 1, "mastra.mastra.__var": 2, "__other": 3}]
    }


@pytest.mark.parametrize("how", ["return", "suspend"])
@pytest.mark.parametrize("kind", KINDS)
def test_odd_results(
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
        def use(outcome: dict[str, Any], result: Any, suspensions: Any) -> Any:
            assert (result, suspensions) == (outcome["result"], outcome["suspensions"])
            return outcome

        use(cast(Any, sensor.output), outputs["result"], outputs["suspensions"])
    result = run_dag(dag)

    assert result.state == "success"
    used = unescape_keys(result.xcom("use"))
    with MastraClient(odd_server.url) as client:
        run = client.get_workflow("oddEnd").get_run(result.xcom("end", "run_id"))
        assert used == run.read().outcome(None) | {"url": used["url"]}


def test_a_form_of_reserved_keys(
    odd_server: SampleServer,
    connect: Connect,
    run_dag: RunDag,
    people: Callable[..., Person],
) -> None:
    connect(odd_server.url)
    answer = {"__type": "dict", "__var": "b", "__classname__": "c", "details": {"__id__": 1}}
    with DAG("reserved", schedule=None) as dag:
        MastraRunWorkflowOperator(
            task_id="ask", workflow_id="reserved", input_data={}, on_suspend="ask"
        )
    fields = {"type": "dict", "var": "b", "classname": "c", "details": {"mastra.__id__": 1}}
    with people(fields):
        result = run_dag(dag)
    assert unescape_keys(result.xcom("ask")["result"]) == answer
    assert unescape_keys(result.xcom("ask")["answers"][0]["answer"]) == answer
