"""Test the launcher of Prefect that the system tests use."""

from __future__ import annotations

import os
import signal

from testkit.prefect_stack import PrefectStack

DEPLOYMENT = "stack-probe/probe"


def test_a_flow_run_completes(prefect_stack: PrefectStack) -> None:
    flow_run_id = prefect_stack.api.create_flow_run(DEPLOYMENT, {"name": "Ada"})

    assert prefect_stack.wait_for_flow_run(flow_run_id) == "COMPLETED"

    wait_for_greeting(prefect_stack, flow_run_id)
    states = [state["type"] for state in prefect_stack.api.states(flow_run_id)]
    assert (states[0], states[-1]) == ("SCHEDULED", "COMPLETED")
    assert prefect_stack.api.task_runs(flow_run_id) == []


def test_a_flow_run_is_cancelled(prefect_stack: PrefectStack) -> None:
    flow_run_id = start_slow_run(prefect_stack)
    prefect_stack.api.cancel_flow_run(flow_run_id)

    assert prefect_stack.wait_for_flow_run(flow_run_id) == "CANCELLED"


def test_a_killed_flow_run_has_crashed(prefect_stack: PrefectStack) -> None:
    flow_run_id = start_slow_run(prefect_stack)
    os.kill(prefect_stack.flow_run_pid(flow_run_id), signal.SIGKILL)

    assert prefect_stack.wait_for_flow_run(flow_run_id) == "CRASHED"


def test_a_flow_run_outlives_its_runner(prefect_stack: PrefectStack) -> None:
    flow_run_id = start_slow_run(prefect_stack, seconds=5)
    pid = prefect_stack.flow_run_pid(flow_run_id)
    prefect_stack.kill_runner()

    assert pid in prefect_stack.service("runner").members

    prefect_stack.start_runner()

    assert prefect_stack.wait_for_flow_run(flow_run_id) == "COMPLETED"


def test_terminated_runner_ends_its_flow_runs(prefect_stack: PrefectStack) -> None:
    start_slow_run(prefect_stack)
    prefect_stack.terminate_runner()

    assert prefect_stack.service("runner").members == []

    prefect_stack.start_runner()


def start_slow_run(stack: PrefectStack, seconds: float = 60) -> str:
    """Start a flow run and wait until the flow itself is at work: before, it may not be killed
    without Prefect's own start-up failing in one of many ways."""
    parameters = {"name": "Ada", "seconds": seconds}
    flow_run_id = stack.api.create_flow_run(DEPLOYMENT, parameters)
    stack.wait_for_flow_run(flow_run_id, {"RUNNING"})
    wait_for_greeting(stack, flow_run_id)
    return flow_run_id


def wait_for_greeting(stack: PrefectStack, flow_run_id: str) -> None:
    stack.wait_until("the flow's log", lambda: "Hello, Ada" in stack.api.log(flow_run_id))
