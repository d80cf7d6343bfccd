"""Test `wait`, and requests that a server cuts off, on real servers."""

from __future__ import annotations

import ctypes
import logging
import signal
import threading
from collections.abc import Callable, Iterator
from typing import NoReturn

import pytest

from mastra_workflows import MastraClient, WorkflowRun
from mastra_workflows._progress import StepProgress, summary
from mastra_workflows.errors import (
    RunFailedError,
    RunSuspendedError,
    ServerLostError,
    UnknownRunError,
    WaitTimeoutError,
)
from testkit.sample_server import Generation, SampleServer
from tests.conftest import EVERY_SERVER
from tests.core.samples import REFUND, charge, suspended_refund


@pytest.mark.version_specific
def test_wait_returns_the_finished_run(client: MastraClient, key: str) -> None:
    run = client.get_workflow("coolDown").get_run(key)
    run.start(input_data={"seconds": 1})
    seen: list[WorkflowRun] = []
    record = run.wait(timeout=30, poll_interval=0.2, observe=False, on_record=seen.append)
    assert record.result == {"called": 2}
    assert seen[0].status == "waiting"
    assert seen[-1] == record


def test_wait_times_out_and_the_run_continues(client: MastraClient, key: str) -> None:
    run = client.get_workflow("slowExport").get_run(key)
    run.start(input_data={"seconds": 3600})
    with pytest.raises(
        WaitTimeoutError, match=r"is running; the wait timed out after 0\.3 s. It continues"
    ) as caught:
        run.wait(timeout=0.3, poll_interval=0.1)
    assert caught.value.run.is_active
    run.cancel()


def test_on_suspend_options(client: MastraClient, key: str) -> None:
    run = suspended_refund(client, key)
    assert run.wait().suspensions[0].payload == REFUND
    with pytest.raises(RunSuspendedError, match="is suspended at 'approve'") as caught:
        run.wait(on_suspend="fail")
    assert caught.value.suspensions[0].name == "approve"


def test_on_suspend_wait_waits_for_a_resume(client: MastraClient, key: str) -> None:
    run = suspended_refund(client, key)
    asked = threading.Event()

    def resume() -> None:
        assert asked.wait(30)
        run.resume(resume_data={"approved": True})

    person = threading.Thread(target=resume)
    person.start()
    record = run.wait(
        timeout=30, on_suspend="wait", poll_interval=0.1, on_record=lambda _: asked.set()
    )
    person.join()
    assert record.result["refunded"] == 2500


def test_a_run_that_failed(client: MastraClient, key: str) -> None:
    run = client.get_workflow("failingImport").get_run(key)
    run.start(input_data={})
    record = run.wait(timeout=30)
    assert record.error is not None
    assert record.error.message == "disk full on import-7"
    with pytest.raises(RunFailedError, match="in step 'store-rows': Error: disk full on import-7"):
        record.raise_for_status()


class Termination(BaseException):
    """What an orchestrator throws into a task to stop it."""


def test_exception_thrown_into_a_thread_ends_the_wait(client: MastraClient, key: str) -> None:
    """So orchestrators stop a task that is not in the main thread."""
    run = client.get_workflow("slowExport").get_run(key)
    run.start(input_data={"seconds": 3600})
    listening = threading.Event()
    ended: list[BaseException] = []

    def wait() -> None:
        try:
            run.wait(poll_interval=0.5, on_event=lambda _: listening.set())
        except Termination as error:
            ended.append(error)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    listening.wait(2)  # on 0.x no event arrives, but the stream is open
    assert thread.ident is not None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread.ident), ctypes.py_object(Termination)
    )
    thread.join(10)
    assert [type(error) for error in ended] == [Termination]
    assert run.read().is_active
    run.cancel()


@pytest.mark.parametrize("verb", ["wait", "start_async", "watch"])
def test_signal_ends_the_wait(client: MastraClient, key: str, verb: str) -> None:
    def stop(number: int, frame: object) -> NoReturn:
        raise Termination

    run = client.get_workflow("slowExport").get_run(key)
    if verb != "start_async":
        run.start(input_data={"seconds": 3600})
    calls: dict[str, Callable[[], object]] = {
        "wait": lambda: run.wait(poll_interval=30),
        "start_async": lambda: run.start_async(input_data={"seconds": 3600}),
        "watch": lambda: list(run.watch()),
    }
    main = threading.get_ident()
    timer = threading.Timer(0.5, lambda: signal.pthread_kill(main, signal.SIGUSR1))
    before = signal.signal(signal.SIGUSR1, stop)
    timer.start()
    try:
        with pytest.raises(Termination):
            calls[verb]()
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, before)
    assert run.read().is_active  # it continues: a cancel is a separate decision
    run.cancel()


def test_unknown_run_raises(client: MastraClient, key: str) -> None:
    with pytest.raises(UnknownRunError, match=f"no run '{key}' of workflow 'orderReport'"):
        client.get_workflow("orderReport").get_run(key).wait()


def test_step_progress_logs_each_step(client: MastraClient, key: str) -> None:
    run = client.get_workflow("failingImport").get_run(key)
    run.start(input_data={})
    lines: list[str] = []
    record = run.wait(timeout=30, on_record=StepProgress(lines.append).on_record)
    text = "\n".join(lines)
    assert "Step 'read-file' started at" in text
    assert "Step 'read-file' succeeded after" in text
    assert "Step 'store-rows' failed after" in text
    assert "disk full on import-7" in lines[-1]
    assert "Steps: read-file" in summary(record)


@pytest.fixture(scope="module", params=EVERY_SERVER)
def hasty_server(request: pytest.FixtureRequest) -> Iterator[SampleServer]:
    """A server that cuts every request after a second, as real ones do after three minutes."""
    generation: Generation = request.param
    with SampleServer(generation, request_timeout=1) as server:
        yield server


def test_start_async_cut_by_the_server_continues_to_wait(
    hasty_server: SampleServer, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    with MastraClient(hasty_server.url) as client, caplog.at_level(logging.INFO):
        run = client.get_workflow("countedCharge").get_run(key)
        assert run.start_async(input_data=charge(key, seconds=2)).result == {"charged": 5}
    assert "was cut (The server responded with 504" in caplog.text
    assert hasty_server.executions(key) == 1


def test_resume_async_cut_by_the_server_continues_to_wait(
    hasty_server: SampleServer, key: str
) -> None:
    with MastraClient(hasty_server.url) as client:
        run = suspended_refund(client, key)
        # The resumed run has no slow step; the start above shows the cut itself.
        assert run.resume_async(resume_data={"approved": True}).is_success


@pytest.mark.parametrize("generation", EVERY_SERVER)
def test_wait_survives_a_server_restart(
    generation: Generation, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    with SampleServer(generation) as server, MastraClient(server.url) as client:
        run = suspended_refund(client, key)
        looked = threading.Event()

        def restart() -> None:
            assert looked.wait(30)
            server.kill()
            server.start()
            run.resume(resume_data={"approved": True})

        operator = threading.Thread(target=restart)
        operator.start()
        record = run.wait(
            timeout=60,
            on_suspend="wait",
            poll_interval=0.05,
            max_poll_interval=0.2,
            on_record=lambda _: looked.set(),
        )
        operator.join()
    assert record.is_success
    assert "Mastra server unavailable" in caplog.text
    assert "available again" in caplog.text


def test_wait_fails_if_the_server_does_not_return(key: str) -> None:
    with SampleServer("1") as server, MastraClient(server.url) as client:
        run = suspended_refund(client, key)
        server.kill()
        with pytest.raises(ServerLostError, match=f"Run '{key}' .* may still be running"):
            run.wait(outage_timeout=1)
