"""Test that work is executed once whichever process of a complete Airflow dies, and whenever."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import pytest

from testkit.processes import parent_pid
from tests.support.faults import Hold
from tests.system.airflow_work import MODES, Plan, PlanBoth, Work

pytest.importorskip("airflow", reason="Airflow is not installed")


@dataclass(frozen=True)
class Moment:
    """When a task's process is killed: while one of its requests is held.

    Attributes:
        method, path: which request; the first one of that kind.
        at: whether the server has got it.
        arrives: whether the request reaches the server after its sender's death.
    """

    method: str
    path: str
    at: Literal["request", "response"] = "request"
    arrives: bool = False


STARTING = {
    "before its first request": Moment("GET", "/packages$"),
    "between read and start": Moment("POST", "/stream$"),
    "while its start is on the way": Moment("POST", "/stream$", arrives=True),
    "after its start": Moment("POST", "/stream$", at="response"),
}
STARTING_TASK = {"sync": "charge", "deferrable": "charge", "sensor": "start"}


@pytest.mark.parametrize("mode", MODES)
def test_run_without_a_fault(plan: Plan, mode: str) -> None:
    work = plan(mode, "no fault").begin()
    work.check()
    work.check_undisturbed()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "when",
    [
        pytest.param(when, marks=pytest.mark.essential) if "between" in when else when
        for when in STARTING
    ],
)
def test_task_is_killed_while_it_starts_the_run(plan: Plan, mode: str, when: str) -> None:
    moment, task = STARTING[when], STARTING_TASK[mode]
    work = plan(mode, f"task SIGKILLed {when}")
    hold = Hold(moment.at)
    work.proxy.on(moment.method, moment.path, hold, nth=1)
    work.begin()
    work.until("the request to be held", hold.held.is_set)
    work.kill_task(task)
    if moment.arrives:
        hold.release()
    else:
        hold.drop()
    work.check()
    work.check_retried(task)
    assert len(work.runs()) == 1


@pytest.mark.parametrize("mode", MODES)
def test_start_of_a_killed_task_arrives_after_the_next_try(plan: Plan, mode: str) -> None:
    work = plan(mode, "task SIGKILLed, its start arrives after that of the next try", seconds=8)
    hold = Hold()
    work.proxy.on("POST", "/stream$", hold, nth=1)
    work.begin()
    work.until("the request to be held", hold.held.is_set)
    work.kill_task(STARTING_TASK[mode])
    work.until_active()
    hold.release()
    work.check()
    assert work.proxy.count("POST", "/stream$") == 2


@pytest.mark.essential
@pytest.mark.parametrize("mode", ["sync", "sensor"])
def test_the_task_is_killed_while_it_waits(plan: Plan, mode: str) -> None:
    work = plan(mode, "task SIGKILLed while it waits", held=True).begin()
    work.until_awaited()
    work.kill_task()
    work.until_awaited_again()
    work.check()
    work.check_retried()


WAKING = {"deferrable": 3, "sensor": 2}
"""Which of the processes that ask for the server's generation is the task's that takes the result:
a deferred task has one before and one in the triggerer."""


@pytest.mark.parametrize("mode", list(WAKING))
def test_task_is_killed_before_its_first_poll(plan: Plan, mode: str) -> None:
    fault = {
        "deferrable": "task SIGKILLed as it resumes from its deferral",
        "sensor": "sensor SIGKILLed before its first request",
    }
    work = plan(mode, fault[mode])
    hold = Hold()
    work.proxy.on("GET", "/packages$", hold, nth=WAKING[mode])
    work.begin()
    work.until("the request to be held", hold.held.is_set)
    work.kill_task()
    hold.drop()
    work.check()
    work.check_retried()


@pytest.mark.parametrize("mode", MODES)
def test_the_task_is_killed_between_the_end_and_the_xcom(plan: Plan, mode: str) -> None:
    work = plan(mode, "task SIGKILLed between the end and the XCom", linger=True)
    hold = Hold()
    work.proxy.on("GET", "/end-of/charge$", hold, nth=1)
    work.begin()
    work.until("the request to be held", hold.held.is_set)
    assert work.is_finished
    work.kill_task()
    hold.drop()
    work.check()
    work.check_retried()


@pytest.mark.parametrize(
    "how", [pytest.param("SIGKILLed", marks=pytest.mark.essential), "SIGTERMed"]
)
def test_the_triggerer_ends(plan: Plan, how: str) -> None:
    work = plan("deferrable", f"triggerer {how}", held=True).begin()
    work.until_awaited()
    if how == "SIGKILLed":
        work.airflow.kill("triggerer")
    else:
        work.airflow.terminate("triggerer")
    work.airflow.start_component("triggerer")
    work.until_awaited_again()
    work.check()
    work.check_undisturbed()


def test_triggerer_freezes_and_resumes(plan_both: PlanBoth) -> None:
    """Its triggers are another one's by then, and Airflow tells it that they were killed."""
    fault = "triggerer frozen until another one has taken over, then thawed"
    works = [work.begin() for work in plan_both("deferrable", fault, held=True)]
    for work in works:
        work.until_awaited()
    first = {work.triggerer() for work in works}
    airflow = works[0].airflow
    with airflow.another_triggerer():
        with frozen(airflow.service("triggerer").members):
            for work in works:
                until_taken_over(work, first)
        for work in works:
            until_released(work)
            work.check()
            work.check_undisturbed()


@contextlib.contextmanager
def frozen(pids: list[int]) -> Iterator[None]:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def until_taken_over(work: Work, first: set[int | None]) -> None:
    work.until("another triggerer", lambda: work.triggerer() not in {None, *first})
    work.until_awaited_again()


def until_released(work: Work) -> None:
    work.until(
        "the first triggerer to let go",
        lambda: "continues, since the task is deferred" in work.log(),
    )


@pytest.mark.parametrize("mode", MODES)
def test_the_scheduler_is_killed(plan: Plan, mode: str) -> None:
    work = plan(mode, "scheduler SIGKILLed with its tasks", held=True).begin()
    work.until_active()
    work.airflow.kill("scheduler", with_children=True)
    work.airflow.start_component("scheduler")
    work.check()


def test_worker_shutdown_cancels_nothing(plan: Plan) -> None:
    work = plan("sync", "worker SIGTERMed, then SIGKILLed with its tasks", held=True).begin()
    work.until_awaited()
    # It lets its tasks end first; what is left of its patience is not what is tested here.
    scheduler = work.airflow.service("scheduler")
    scheduler.ask_to_end()
    work.until("the scheduler's last words", lambda: "Exiting gracefully" in scheduler.log_tail())
    still_running = bool(work.active_runs())
    work.airflow.kill("scheduler", with_children=True)
    work.airflow.start_component("scheduler")
    assert still_running
    work.check()


@pytest.mark.essential
def test_forwarded_sigterm_cancels_nothing(plan: Plan) -> None:
    work = plan("sync", "worker SIGTERMed, its task continues", held=True).begin()
    work.until_awaited()
    pid = work.airflow.task_pid(work.dag_id, work.run_id, "charge")
    os.kill(parent_pid(pid), signal.SIGTERM)
    said = "continues, since the task is running; a retry attaches to the run"
    work.airflow.wait_until("the task's word", lambda: said in work.log())
    work.check()


def test_a_worker_is_killed_and_its_task_continues(plan: Plan) -> None:
    """Airflow misses the heartbeats, and begins the next try while the first process lives."""
    work = plan("sync", "worker SIGKILLed, its task continues", held=True).begin()
    work.until_awaited()
    pid = work.airflow.task_pid(work.dag_id, work.run_id, "charge")
    os.kill(parent_pid(pid), signal.SIGKILL)
    work.until_awaited_again()
    work.check()
    work.check_retried()


def test_the_scheduler_freezes_while_a_task_defers_and_is_woken(plan: Plan) -> None:
    """It hears of the end of the task's process when the trigger has fired already."""
    work = plan("deferrable", "scheduler frozen while the task defers and is woken", seconds=3)
    hold = Hold("response")
    work.proxy.on("POST", "/stream$", hold, nth=1)
    work.begin()
    work.until("the request to be held", hold.held.is_set)
    with frozen([work.airflow.pid("scheduler")]):
        hold.release()
        work.airflow.wait_for_task(work.dag_id, work.run_id, "charge", {"deferred"})
        work.airflow.wait_for_task(work.dag_id, work.run_id, "charge", {"scheduled"})
    work.check()


@pytest.mark.parametrize("mode", ["sync", "deferrable"])
def test_the_server_restarts_while_the_run_executes(plan: Plan, mode: str) -> None:
    work = plan(mode, "Mastra restarted while the run executes", seconds=2).begin()
    work.until_active()
    work.server.kill()
    work.server.start()
    work.check(executions=2)  # the restart repeats the step that was lost, and only that


@pytest.mark.parametrize("mode", MODES)
def test_the_server_restarts_while_the_run_is_suspended(plan: Plan, mode: str) -> None:
    work = plan(mode, "Mastra restarted while the run is suspended", variant="approval").begin()
    record = work.until_awaited("suspended")
    work.server.kill()
    work.server.start()
    work.until_polled_again(record)
    work.approve(record)
    work.check_approved()
    work.check_undisturbed()


def test_without_the_derived_id_a_killed_task_executes_twice(plan: Plan) -> None:
    """The guard is what keeps the work from being done twice: here it is switched off."""
    work = plan(
        "sync",
        "task SIGKILLed while it waits, with the derived run id switched off",
        variant="unguarded",
        held=True,
    ).begin()
    work.until_awaited()
    work.kill_task()
    work.until("another run", lambda: len(work.runs()) == 2)
    work.release()
    work.until_finished()
    work.until("the end of the run that was left behind", lambda: work.is_finished)
    work.check(executions=2)
