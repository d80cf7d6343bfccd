"""Test the signatures of the operators and the sensor: explicit, consistent and strict."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import fields
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk import DAG, BaseOperator, BaseSensorOperator

from airflow_provider_mastra.hitl.gates import ask_in_turn
from airflow_provider_mastra.hitl.inbox import mastra_pending_requests
from airflow_provider_mastra.operators._options import OperatorOptions
from airflow_provider_mastra.operators.hitl import (
    GateArguments,
    InboxArguments,
    MastraHITLOperator,
)
from airflow_provider_mastra.operators.inbox import MastraInboxOperator
from airflow_provider_mastra.operators.workflow import (
    MastraCancelWorkflowRunOperator,
    MastraResumeWorkflowOperator,
    MastraRunWorkflowOperator,
)
from airflow_provider_mastra.sensors.workflow import MastraWorkflowRunSensor
from airflow_provider_mastra.utils._arguments import (
    CommonArguments,
    OperatorArguments,
    SensorArguments,
)
from mastra_workflows.errors import ConfigurationError
from mastra_workflows.integration import WaitOptions

WAITING = [MastraRunWorkflowOperator, MastraResumeWorkflowOperator, MastraHITLOperator]
EVERY: list[Any] = [
    *WAITING,
    MastraCancelWorkflowRunOperator,
    MastraInboxOperator,
    MastraWorkflowRunSensor,
]


def parameters(cls: Any) -> Mapping[str, inspect.Parameter]:
    """The keyword arguments of a class, without ``self`` and ``**kwargs``."""
    found = inspect.signature(cls.__init__).parameters
    return {name: one for name, one in found.items() if one.kind is one.KEYWORD_ONLY}


def make(cls: Any, **arguments: Any) -> Any:
    """An operator with what it needs, and with more."""
    needed = {"run_id": "r"} if "run_id" in parameters(cls) else {}
    return cls(**{"task_id": "task", "workflow_id": "orderReport", **needed, **arguments})


@pytest.mark.parametrize("cls", WAITING)
def test_shared_options_have_one_order_and_one_default(cls: Any) -> None:
    shared = [field.name for field in fields(OperatorOptions)]
    model = parameters(MastraRunWorkflowOperator)
    mine = {name: one for name, one in parameters(cls).items() if name in shared}
    assert list(mine) == [name for name in shared if name in mine]
    assert mine == {name: model[name] for name in mine}


def test_the_defaults_are_those_of_the_client() -> None:
    client = {field.name: field.default for field in fields(WaitOptions)}
    del client["on_suspend"]  # a task that nobody reads must not pass over a suspension
    for cls in [*WAITING, MastraWorkflowRunSensor]:
        mine = {name: one.default for name, one in parameters(cls).items() if name in client}
        assert mine == {name: client[name] for name in mine}
        assert mine


@pytest.mark.parametrize("cls", EVERY)
def test_the_only_other_arguments_are_those_of_airflow(cls: Any) -> None:
    kind = SensorArguments if cls is MastraWorkflowRunSensor else OperatorArguments
    rest = inspect.signature(cls.__init__).parameters["kwargs"]
    assert rest.annotation == f"Unpack[{kind.__name__}]"
    assert not set(parameters(cls)) & set(CommonArguments.__annotations__)


def test_every_argument_of_airflows_base_classes_is_listed() -> None:
    assert set(parameters(BaseOperator)) <= set(OperatorArguments.__annotations__)
    own = {*SensorArguments.__annotations__, *parameters(MastraWorkflowRunSensor)}
    assert set(parameters(BaseSensorOperator)) <= own


def test_gates_and_inboxes_take_what_the_operator_takes() -> None:
    of_run = {
        "workflow_id",
        "run_id",
        "step",
        "for_each_index",
        "suspended_at",
        "pending_request_key",
    }
    options = set(parameters(MastraHITLOperator)) - of_run
    assert set(GateArguments.__annotations__) - set(CommonArguments.__annotations__) == options
    assert set(GateArguments.__annotations__) - set(InboxArguments.__annotations__) == {
        "mastra_conn_id",
        "poll_interval",
        "max_poll_interval",
    }


@pytest.mark.parametrize("cls", EVERY)
def test_an_unknown_argument_is_an_error_that_names_the_known_ones(cls: Any) -> None:
    with pytest.raises(TypeError) as caught:
        make(cls, mastra_con_id="other")
    message = str(caught.value)
    assert message.startswith(f"{cls.__name__} got an unexpected argument: 'mastra_con_id' (did")
    assert "'mastra_conn_id'" in message
    assert all(name in message for name in parameters(cls))
    assert "options" not in message.split()


def test_a_type_checker_finds_an_unknown_argument() -> None:
    # mypy reports a `type: ignore` that is not needed.
    with pytest.raises(TypeError, match=r"'timout' .did you mean 'timeout'"):
        MastraRunWorkflowOperator(task_id="t", workflow_id="w", timout=3)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"'soft_fial' .did you mean 'soft_fail'"):
        MastraWorkflowRunSensor(
            task_id="t",
            workflow_id="w",
            run_id="r",
            soft_fial=True,  # type: ignore[call-arg]
        )
    with DAG("gates", schedule=None):
        run = MastraRunWorkflowOperator(task_id="t", workflow_id="w", on_suspend="return")
        with pytest.raises(TypeError, match=r"'asigned_users' .did you mean 'assigned_users'"):
            ask_in_turn(run, asigned_users=[])  # type: ignore[call-arg]


def test_a_type_checker_finds_a_wrong_choice() -> None:
    with pytest.raises(ConfigurationError) as caught:
        MastraRunWorkflowOperator(
            task_id="t",
            workflow_id="w",
            on_suspend="bogus",  # type: ignore[arg-type]
        )
    assert str(caught.value) == (
        "MastraRunWorkflowOperator: on_suspend is 'bogus'; it can be 'fail', 'return', 'wait', "
        "'ask'."
    )


@pytest.mark.parametrize("name", ["on_stall", "on_failed_run", "on_other_input"])
def test_a_wrong_choice_names_the_class(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"MastraRunWorkflowOperator: {name} is 'x'; it"):
        make(MastraRunWorkflowOperator, **{name: "x"})


def test_an_error_names_the_class_of_a_user() -> None:
    class Report(MastraRunWorkflowOperator):
        def __init__(self, *, city: str, **kwargs: Any) -> None:
            super().__init__(workflow_id="orderReport", input_data={"city": city}, **kwargs)

    assert Report(task_id="task", city="Hamburg", timeout=5).timeout == 5
    with pytest.raises(TypeError, match="Report got an unexpected argument: 'ctiy'"):
        Report(task_id="task", city="Hamburg", ctiy="x")


DURATIONS = ["timeout", "poll_interval", "max_poll_interval", "outage_timeout", "stall_timeout"]


@pytest.mark.parametrize("cls", WAITING)
@pytest.mark.parametrize("name", DURATIONS)
def test_a_duration_is_seconds_or_a_timedelta(cls: Any, name: str) -> None:
    minute = make(cls, **{name: timedelta(minutes=1)})
    seconds = make(cls, **{name: 60})
    for task in (minute, seconds):
        assert {**task.wait_arguments, "timeout": task.timeout}[name] == 60.0


def test_durations_of_responses_inboxes_and_the_sensor() -> None:
    minute = timedelta(minutes=1)
    gate = make(MastraHITLOperator, response_timeout=minute, response_poll_interval=minute)
    assert (gate.response_timeout, gate.response_poll_interval) == (60.0, 60.0)
    sensor = make(MastraWorkflowRunSensor, poll_interval=minute, outage_timeout=minute)
    assert sensor.wait_arguments["poll_interval"] == 60.0
    assert sensor.wait_arguments["outage_timeout"] == 60.0
    asset = mastra_pending_requests(
        "w", poll_interval=minute, max_poll_interval=minute, lookback=minute, repeat_after=minute
    )
    trigger = asset.watchers[0].trigger
    _, stored = trigger.serialize()
    names = ("poll_interval", "max_poll_interval", "lookback", "repeat_after")
    assert [stored[name] for name in names] == [60.0] * 4


def test_default_arguments_of_a_dag_reach_every_option() -> None:
    with DAG("defaults", schedule=None, default_args={"poll_interval": 2, "on_suspend": "wait"}):
        task = make(MastraRunWorkflowOperator)
    assert task.wait_arguments["poll_interval"] == 2
    assert task.wait_arguments["on_suspend"] == "wait"
