"""Test that work is executed once under injected faults, on a complete Prefect."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from testkit.postgres import PostgresServer
from testkit.prefect_stack import PrefectStack
from testkit.sample_server import Generation, SampleServer
from tests.conftest import EVERY_SERVER
from tests.support.faults import CutResponse, Delay, DropRequest, Fault, LoseResponse, Respond
from tests.system.prefect_work import MATRIX, Begin, Work, at_once

pytest.importorskip("prefect", reason="Prefect is not installed")

GENERATIONS: tuple[Generation, ...] = ("1", "0")
MODES = ("flow-sync", "flow-async", "tasks-sync", "tasks-async")
SUBMITTED = ("submitted-sync", "submitted-async")
RECORD = r"/runs/"
START = r"/stream$"
RIGHT = "succeeds with the right result"
EXPORT = "slowExport"
"""A workflow whose step honours its abort signal."""


@pytest.fixture(scope="module")
def mastras() -> Iterator[dict[Generation, SampleServer]]:
    """Servers that the tests of this module may restart."""
    with SampleServer("1") as new, SampleServer("0") as old:
        yield {"1": new, "0": old}


@pytest.fixture(scope="module")
def prefect(postgres: PostgresServer) -> Iterator[PrefectStack]:
    """A Prefect of this module's own, whose runner the tests may kill."""
    with PrefectStack(
        Path(__file__).parent / "flows" / "faults.py",
        database_url=postgres.create_database("prefect_faults"),
        environment={
            "PREFECT_RUNNER_PROCESS_LIMIT": "12",
            # What a flow returns is stored, where a test finds it.
            "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "true",
            "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
        },
    ) as stack:
        yield stack


@pytest.fixture(scope="module", autouse=True)
def _matrix() -> Iterator[None]:
    yield
    MATRIX.write()


@pytest.fixture(params=EVERY_SERVER)
def begin(
    request: pytest.FixtureRequest,
    prefect: PrefectStack,
    mastras: dict[Generation, SampleServer],
) -> Iterator[Begin]:
    with ExitStack() as opened:
        begin = Begin(prefect, mastras[request.param], opened)
        yield begin
        begin.end()


# -- nothing, or the process ----------------------------------------------------------------------


def test_run_without_a_fault(begin: Begin) -> None:
    def scenario(work: Work) -> None:
        work.check()
        work.record_outcome("no fault", "1", RIGHT)

    at_once([begin(flow) for flow in (*MODES, *SUBMITTED)], scenario)


def test_a_flow_that_fails_after_the_work_is_retried(begin: Begin) -> None:
    """The retry of a flow that has ``retries``, in the same process."""

    def scenario(work: Work) -> None:
        work.check()
        assert work.prefect.api.flow_run(work.flow_run_id)["run_count"] == 2
        work.record_outcome("the flow fails after the work, and has `retries=1`", "1", RIGHT)

    at_once([begin(flow) for flow in ("retried-sync", "retried-async")], scenario)


def before_the_start(work: Work) -> None:
    hold = work.hold("", "")
    work.begin()
    work.until_held(hold)


def between_read_and_start(work: Work) -> None:
    hold = work.hold("POST", START)
    work.begin()
    work.until_held(hold)


def after_the_start(work: Work) -> None:
    start = work.hold("POST", START)
    work.begin()
    work.until_held(start)
    look = work.hold("GET", RECORD)
    start.release()
    work.until_held(look)
    work.until_executing()


def while_it_waits(work: Work) -> None:
    work.begin()
    work.until_awaited()


def between_the_end_and_the_stored_result(work: Work) -> None:
    work.begin()
    work.until_awaited()
    look = work.hold("GET", RECORD)
    work.until_run_is("success")
    work.until_held(look)


MOMENTS = (
    before_the_start,
    between_read_and_start,
    after_the_start,
    while_it_waits,
    between_the_end_and_the_stored_result,
)


EVERYDAY_MOMENTS = [
    pytest.param(moment, marks=pytest.mark.essential) if moment is while_it_waits else moment
    for moment in MOMENTS
]


def fault_of(moment: Callable[[Work], None]) -> str:
    when = moment.__name__.replace("_", " ")
    return f"SIGKILL of the flow's process {when}; the flow run is retried"


@pytest.mark.parametrize("moment", EVERYDAY_MOMENTS)
def test_a_flow_run_whose_process_was_killed_attaches_when_it_is_retried(
    begin: Begin, moment: Callable[[Work], None]
) -> None:
    def scenario(work: Work) -> None:
        moment(work)
        work.kill()
        work.until_finished("CRASHED")
        work.retry()
        work.check()
        work.record_outcome(fault_of(moment), "1", RIGHT)

    at_once([begin.prepare(flow, seconds=10) for flow in MODES], scenario)


@pytest.mark.parametrize("moment", EVERYDAY_MOMENTS)
def test_the_hook_cancels_the_run_of_a_process_that_was_killed(
    begin: Begin, moment: Callable[[Work], None]
) -> None:
    """A flow run that is retried starts the next run in line then."""
    cancels = moment in (after_the_start, while_it_waits)

    def scenario(work: Work) -> None:
        moment(work)
        work.kill()
        work.until_finished("CRASHED")
        work.until_the_hook_is_over()
        if cancels:
            work.until_run_is("canceled")
        work.retry()
        work.check(executions=2 if cancels else 1)
        work.record_outcome(fault_of(moment), "1 cancelled, then 1" if cancels else "1", RIGHT)

    at_once([begin.prepare(f"hooked-{flow}", seconds=10) for flow in MODES], scenario)


def test_without_the_derived_id_a_retried_flow_run_executes_again(begin: Begin) -> None:
    """What all this is for: a random run id, as any other client would choose."""
    work = begin("unguarded", seconds=8)
    work.until_awaited()
    work.kill()
    work.until_finished("CRASHED")
    work.retry()
    work.check(executions=2)


# -- what cancels ---------------------------------------------------------------------------------


@pytest.mark.essential
def test_a_cancelled_flow_run_cancels_its_run(begin: Begin) -> None:
    """Tasks that were submitted are told nothing; the runner kills them after half a minute."""

    def scenario(work: Work) -> None:
        work.until_awaited()
        work.prefect.api.cancel_flow_run(work.flow_run_id)
        work.until_finished("CANCELLED")
        work.check_cancelled("the flow run is cancelled by the API")

    flows = [f"hooked-{flow}" for flow in (*MODES, *SUBMITTED)]
    at_once([begin(flow, EXPORT, seconds=90) for flow in flows], scenario)


TIMEOUTS = {"hurried": "`timeout_seconds` of a task", "timed": "`timeout_seconds` of a flow"}


def test_a_timeout_cancels_the_run(begin: Begin) -> None:
    def scenario(work: Work) -> None:
        work.until_finished("FAILED")
        work.check_cancelled(TIMEOUTS[work.flow.partition("-")[0]])

    flows = [f"{flow}-{how}" for flow in TIMEOUTS for how in ("sync", "async")]
    at_once([begin(flow, EXPORT, seconds=90) for flow in flows], scenario)


def test_a_terminated_process_cancels_its_run(begin: Begin) -> None:
    def scenario(work: Work) -> None:
        work.until_awaited()
        work.signal(signal.SIGTERM)
        work.until_finished("CRASHED")
        work.check_cancelled("SIGTERM of the flow's process")

    at_once([begin(flow, EXPORT, seconds=90) for flow in MODES], scenario)


def test_terminated_process_of_submitted_tasks_is_killed(begin: Begin) -> None:
    """It does not end on SIGTERM; who sent that kills it in the end, and the hook cancels."""

    def scenario(work: Work) -> None:
        work.until_awaited()
        work.signal(signal.SIGTERM)
        work.kill()
        work.until_finished("CRASHED")
        work.check_cancelled("SIGTERM and then SIGKILL of the flow's process")

    flows = [f"hooked-{flow}" for flow in SUBMITTED]
    at_once([begin(flow, EXPORT, seconds=90) for flow in flows], scenario)


def test_hook_cancels_ten_concurrent_runs(begin: Begin) -> None:
    """Notes that are taken at once are all there when the process is killed."""
    work = begin("hooked-many", EXPORT, seconds=90)
    work.until("ten runs", lambda: sum(run.is_active for run in work.runs()) == 10)
    work.kill()
    work.until_finished("CRASHED")
    work.until_the_hook_is_over()
    assert [run.status for run in work.runs()] == ["canceled"] * 10
    work.check_cancelled("SIGKILL of the flow's process with ten submitted tasks")


# -- the runner -----------------------------------------------------------------------------------


def test_the_runner_is_killed(begin: Begin) -> None:
    """Its flow runs go on as orphans until they print a line, which nobody reads any more.

    Here that is the one that tells of the end of the only step.
    """
    works = [begin(flow, seconds=20) for flow in MODES]
    at_once(works, Work.until_awaited)
    begin.prefect.kill_runner()
    begin.prefect.start_runner()

    def scenario(work: Work) -> None:
        work.until_finished("CRASHED")
        work.until("the process's end", lambda: not work.executes())
        work.retry()
        work.check()
        work.record_outcome("SIGKILL of the runner; the flow run is retried", "1", RIGHT)

    at_once(works, scenario)


def test_the_runner_is_terminated(begin: Begin) -> None:
    """As at a deploy. It kills its flow runs' processes, which Prefect then shows as running."""
    works = [begin(flow, seconds=20) for flow in (*MODES, "hooked-flow-sync", "hooked-flow-async")]
    at_once(works, Work.until_awaited)
    begin.prefect.terminate_runner()
    begin.prefect.start_runner()

    def scenario(work: Work) -> None:
        assert not work.executes()
        assert work.set_state("CRASHED", "Crashed") == "RUNNING"
        work.retry()
        work.check()
        work.record_outcome(
            "SIGTERM of the runner; the flow run is marked crashed and retried", "1", RIGHT
        )

    at_once(works, scenario)


# -- the Mastra server ----------------------------------------------------------------------------


def test_the_server_restarts_while_the_run_executes(begin: Begin) -> None:
    works = [begin(flow, seconds=10) for flow in MODES]
    at_once(works, Work.until_executing)
    begin.server.kill()
    begin.server.start()

    def scenario(work: Work) -> None:
        work.check(executions=2)  # the restart repeats the step that was lost, and only that
        work.record_outcome("the server restarts while the run executes", "2", RIGHT)

    at_once(works, scenario)


def test_the_server_restarts_while_the_run_is_suspended(begin: Begin) -> None:
    refund = {"order": "A-1", "amount": 500, "reason": "broken"}
    works = [begin(flow, "refundApproval", **refund) for flow in MODES]
    at_once(works, lambda work: work.until_run_is("suspended"))
    begin.server.kill()
    begin.server.start()

    def scenario(work: Work) -> None:
        (run,) = work.runs()
        approval = work.client.get_workflow(run.workflow_id).get_run(run.run_id)
        approval.resume(resume_data={"approved": True})
        work.until_finished()
        assert work.result()["result"]["refunded"] == 500
        work.check_nothing_is_left()
        work.record_outcome("the server restarts while the run is suspended", "1", RIGHT)

    at_once(works, scenario)


# -- the network ----------------------------------------------------------------------------------

FAULTS: dict[str, Fault] = {
    "the connection is cut before the request": DropRequest(),
    "the response is lost": LoseResponse(),
    "the response is cut": CutResponse(10),
    "the request arrives after the client's timeout": Delay(3),
    "502": Respond(502),
    "503": Respond(503),
    "504 after the request arrived": Respond(504, forwarded=True),
    "429": Respond(429),
}
REQUESTS: Mapping[str, tuple[str, str]] = {
    "the server's version": ("GET", "/packages$"),
    "the workflow's details": ("GET", "/workflows/[^/]+$"),
    "the run's record": ("GET", RECORD),
    "the start": ("POST", START),
    "the run's events": ("", "/(observe|watch)$"),
}


@pytest.mark.matrix
@pytest.mark.timeout(900)  # twelve flow runs
@pytest.mark.parametrize("fault", list(FAULTS))
def test_the_network_fails(begin: Begin, fault: str) -> None:
    """At each request in turn for the flows, at the first of each kind at once for the tasks."""
    works: dict[Work, str] = {}
    for flow in MODES:
        requests = {what: [request] for what, request in REQUESTS.items()}
        if flow.startswith("tasks"):
            requests = {"one request of each kind": list(REQUESTS.values())}
        for what, broken in requests.items():
            work = begin.prepare(flow)
            work.client_timeout = 2
            for method, path in broken:
                work.proxy.on(method, path, FAULTS[fault], nth=1)
            works[work] = what

    def scenario(work: Work) -> None:
        work.begin()
        work.check()
        assert any(seen.fault is not None for seen in work.proxy.seen), f"{work} met no fault"
        work.record_outcome(f"{fault}: {works[work]}", "1", RIGHT)

    at_once(works, scenario, ways=4)
