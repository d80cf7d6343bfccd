"""Test responses in a complete Airflow, and faults while a task waits for one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Literal

import pytest

from mastra_workflows import WorkflowRun
from testkit.airflow_stack import AirflowStack
from testkit.json_api import ApiError
from tests.support.faults import Hold
from tests.system.airflow_forms import FormDetail, Forms
from tests.system.airflow_work import Plan, Work

pytest.importorskip("airflow", reason="Airflow is not installed")

from airflow_provider_mastra.hitl._required_action import SUPPORTS_AWAITING_INPUT

PARKED = {"awaiting_input"} if SUPPORTS_AWAITING_INPUT else {"deferred"}
ASKED = "a person is asked"
WAITING = ("sync", "deferrable")
remembers = pytest.mark.skipif(
    not SUPPORTS_AWAITING_INPUT,
    reason="Airflow 3.1 and 3.2 have no task state",
)
AT_ONCE = 6
ATTEMPT_SECONDS = 0.02


def forms(work: Work) -> Forms:
    """The forms of one piece of work."""
    return Forms(work.airflow, work.dag_id, of=work.runs()[0].run_id if work.runs() else work.key)


def until_asked(work: Work) -> FormDetail:
    """Wait for the only form that waits for a response, in a task that holds nothing."""
    work.until("a form", lambda: len(forms(work).open) == 1)
    work.airflow.wait_for_task(work.dag_id, work.run_id, "charge", PARKED)
    [form] = forms(work).open
    assert len(forms(work).shown) == 1
    return form


@contextmanager
def no_free_slots(airflow: AirflowStack) -> Iterator[None]:
    """Let no task begin for a while, as where others take all of the pool."""

    def resize(slots: int) -> None:
        path = "/pools/default_pool?update_mask=slots"
        airflow.api.request("PATCH", path, {"pool": "default_pool", "slots": slots})

    before: dict[str, Any] = airflow.api.request("GET", "/pools/default_pool")
    resize(0)
    try:
        yield
    finally:
        resize(before["slots"])


def approved(work: Work) -> dict[str, Any]:
    """What the approved run returns."""
    return {"order": work.key, "refunded": 7, "note": "by a person"}


def end(work: Work, run: WorkflowRun) -> None:
    """End a suspended run, which a 0.x server does not by cancelling it."""
    handle = work.client.get_workflow(run.workflow_id).get_run(run.run_id)
    handle.resume(step="approve", resume_data={"approved": False, "note": "the end"})
    work.until("the end of the run", lambda: handle.read().is_finished)


@pytest.mark.essential
@pytest.mark.parametrize("mode", WAITING)
def test_parked_task_receives_a_response(plan: Plan, mode: str) -> None:
    work = plan(mode, ASKED, variant="asking").begin()
    form = until_asked(work)
    forms(work).respond(form, approved=True, note="by a person")
    work.until_finished()
    [response] = work.result("responses")
    assert work.result() == approved(work)
    assert (response["by"], response["user"]["name"]) == ("person", work.airflow.username)
    assert len(work.airflow.api.task_tries(work.dag_id, work.run_id, "charge")) == 1


def test_the_resume_operator_asks_what_comes_next(plan: Plan) -> None:
    work = plan("resume", ASKED, variant="asking").begin()
    form = until_asked(work)
    assert "By code." in form["body"]
    forms(work).respond(form, verdict="approve")
    work.until_finished()
    assert work.result() == {
        "text": f"About {work.key}. By code.",
        "round": 2,
        "done": True,
    }


def test_response_elsewhere_wakes_the_task(plan: Plan) -> None:
    """The task continues after its next poll; a later response to its form is ignored."""
    work = plan("sync", ASKED, variant="asking_looking").begin()
    until_asked(work)
    work.approve(work.runs()[0])
    work.check_approved()
    with pytest.raises(ApiError):
        work.result("responses")
    assert forms(work).open == []
    assert "The request no longer needs a response" in work.log()


def test_response_timeout(plan: Plan) -> None:
    work = plan("sync", ASKED, variant="asking_default").begin()
    work.until_finished()
    assert work.result() == approved(work)
    assert [response["by"] for response in work.result("responses")] == ["default"]
    assert len(forms(work).shown) == 1


@remembers
def test_response_just_after_the_timeout_is_received(plan: Plan) -> None:
    """The page takes a response for as long as the task, whose time is over, waits for a worker."""
    work = plan("sync", ASKED, variant="asking_default").begin()
    form = until_asked(work)
    with no_free_slots(work.airflow):
        work.airflow.wait_for_task(work.dag_id, work.run_id, "charge", {"scheduled"})
        forms(work).respond_at_once(form, approved=True, note="in time")
    work.until_finished()
    assert work.result() == {**approved(work), "note": "in time"}
    assert [response["by"] for response in work.result("responses")] == ["person"]


def test_immediate_response_is_received(plan: Plan) -> None:
    """A program responds before Airflow's scheduler knows that the task's process has ended.

    Airflow may fail such a try, and the next one finds the response; or park it all the same, and
    its next look does.
    """
    works = [plan("sync", ASKED, variant="asking_hurried").begin() for _ in range(AT_ONCE)]
    left = list(works)
    deadline = time.monotonic() + 120
    while left and time.monotonic() < deadline:
        for work in list(left):
            for form in forms(work).without_response:
                forms(work).respond_at_once(form, approved=True, note="by a person")
                left.remove(work)
        time.sleep(ATTEMPT_SECONDS)
    assert not left
    for work in works:
        work.until_finished()
        assert work.result() == approved(work)
        assert work.proxy.count("POST", "/stream$") == 1
        assert work.proxy.count("POST", "/resume") == 1
        assert len(forms(work).shown) == 1


@pytest.mark.parametrize("what", [pytest.param("branches", marks=pytest.mark.essential), "items"])
def test_simultaneous_responses_to_gates(plan: Plan, what: str) -> None:
    """Each response reaches its own request, once, though the run is at work on another one."""
    work = plan(what, ASKED, variant="asking").begin()
    is_one_response_for_all = what == "items" and work.server.generation == "0"
    number = {"branches": 2, "items": 1 if is_one_response_for_all else 4}[what]
    work.until("a form for each request", lambda: len(forms(work).open) == number)
    asked = forms(work).open
    for form in asked:
        forms(work).until_settled(form)
    with ThreadPoolExecutor(number) as people:
        for responding in [
            people.submit(forms(work).respond_at_once, form, approved=True) for form in asked
        ]:
            responding.result()
    work.until_finished()
    result = work.airflow.api.xcom(work.dag_id, work.run_id, "charge_requests.outcome")
    photos = [{"photo": photo, "approved": True} for photo in "abcd"]
    assert result == {"branches": {"approved": True}, "items": photos}[what]
    assert len(forms(work).shown) == number
    assert work.proxy.count("POST", "/resume") == number


@remembers
def test_try_killed_after_it_received_a_response(plan: Plan) -> None:
    """The next one takes the response, and nobody is asked again."""
    work = plan("sync", ASKED, variant="asking")
    hold = Hold()
    work.proxy.on("POST", "/resume", hold, nth=1)
    work.begin()
    forms(work).respond(until_asked(work), approved=True, note="by a person")
    work.until("the response on its way to the server", hold.held.is_set)
    work.kill_task()
    hold.drop()
    work.until_finished()
    assert work.result() == approved(work)
    assert len(forms(work).shown) == 1
    work.check_retried()


@pytest.mark.parametrize("state", ["failed", "success"])
def test_parked_task_is_marked(plan: Plan, state: Literal["failed", "success"]) -> None:
    """Airflow tells nobody, and no process is there: the run waits on, and executes nothing."""
    work = plan("sync", ASKED, variant="asking").begin()
    until_asked(work)
    work.airflow.api.set_task_state(work.dag_id, work.run_id, "charge", state)
    work.until_finished(state)
    assert forms(work).open == []
    [run] = work.runs()
    assert run.is_suspended
    end(work, run)


@remembers
def test_parked_task_is_cleared(plan: Plan) -> None:
    """It cancels the run that it had, starts another one, and asks again."""
    work = plan("sync", ASKED, variant="asking").begin()
    until_asked(work)
    work.airflow.api.clear_tasks(work.dag_id, work.run_id, ["charge"])
    work.until("another run", lambda: len(work.runs()) == 2 and work.runs()[1].is_suspended)
    forms(work).respond(until_asked(work), approved=True, note="by a person")
    work.until_finished()
    assert work.result() == approved(work)
    first = work.runs()[0]
    if work.server.generation == "1":
        assert first.status == "canceled"
    else:  # it cannot be cancelled while it is suspended, and the log reports it
        assert first.run_id in work.log(try_number=2)
        end(work, first)
