"""The trigger that waits for a run."""

from __future__ import annotations

import asyncio
import time
from math import inf
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from airflow_provider_mastra.triggers._background import finish
from airflow_provider_mastra.triggers._clients import async_client
from airflow_provider_mastra.utils._outages import Outage
from airflow_provider_mastra.utils._task_state import TRIGGER_IS_UNWANTED, task_state
from mastra_workflows import RetryPolicy
from mastra_workflows.errors import MastraError, RunStalledError, UnknownRunError, WaitTimeoutError
from mastra_workflows.integration import PollPolicy, StepProgress, WaitOptions, safe_text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mastra_workflows import WorkflowRun
    from mastra_workflows.integration import WaitArguments

__all__ = ["MastraWorkflowRunTrigger", "WaitEvent"]

Reason = Literal["over", "timeout", "stalled", "error"]

SETTLE_SECONDS = 10.0
"""The minimum time that a task stays deferred. A task that is woken sooner may be queued again
before the scheduler has processed the executor's report that the old process has ended. The
scheduler then takes that report for the end of the new process and fails the try. It processes the
report in the next iteration of its loop, which a trigger cannot observe; on two busy cores that
took up to 8 seconds."""

KILL_SECONDS = 10.0
"""How long to retry the cancellation, and then to poll for the run's end. Airflow limits
``on_kill`` to 30 s in total."""


class WaitEvent(TypedDict):
    """The payload of the trigger's event: why the wait ended, without any text from the server.

    A triggerer that cannot serialise or store an event crashes, and crashes again after each
    restart. The task therefore reads the record itself.

    Attributes:
        workflow_id, run_id: the run, as passed to the trigger.
        reason: why the wait ended.
        error: the class name of the error for ``reason="error"``, such as ``ServerLostError``.
        deadline: the trigger's ``deadline``.
        restarted: the trigger's ``restarted``.
    """

    workflow_id: str
    run_id: str
    reason: Reason
    error: str | None
    deadline: float | None
    restarted: str | None


class MastraWorkflowRunTrigger(BaseTrigger):
    """Wait until a run is finished or suspended, without starting, resuming or restarting it.

    The task reads the run's record itself when it is woken. The trigger can therefore be restarted
    at any time, on any triggerer.

    Args:
        mastra_conn_id: the id of the Airflow connection to the server.
        workflow_id: the workflow's registry key.
        run_id: the id of the run.
        wait: the arguments of `mastra_workflows.Run.wait`, without ``timeout`` and ``on_record``.
        deadline: when to stop waiting, in seconds since 1970; None for never. The task is woken and
            handles the run.
        cancel_on_kill: whether to cancel the run when a person ends the task.
        restarted: a fingerprint of the run's record after the task restarted the run; returned in
            the event.
        not_before: the earliest time to wake the task, in seconds since 1970; None for
            `SETTLE_SECONDS` from now.
        wait_for_existence: whether to poll for a run that does not exist yet.
    """

    def __init__(
        self,
        *,
        mastra_conn_id: str,
        workflow_id: str,
        run_id: str,
        wait: WaitArguments,
        deadline: float | None,
        cancel_on_kill: bool,
        restarted: str | None = None,
        not_before: float | None = None,
        wait_for_existence: bool = False,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.mastra_conn_id = mastra_conn_id
        self.workflow_id = workflow_id
        self.run_id = run_id
        self.wait = wait
        self.deadline = deadline
        self.cancel_on_kill = cancel_on_kill
        self.restarted = restarted
        self.not_before = time.time() + SETTLE_SECONDS if not_before is None else not_before
        self.wait_for_existence = wait_for_existence

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the trigger as Airflow stores it, without secrets."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "mastra_conn_id": self.mastra_conn_id,
                "workflow_id": self.workflow_id,
                "run_id": self.run_id,
                "wait": dict(self.wait),
                "deadline": self.deadline,
                "cancel_on_kill": self.cancel_on_kill,
                "restarted": self.restarted,
                "not_before": self.not_before,
                "wait_for_existence": self.wait_for_existence,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait for the run, and fire once the task has to act.

        Raises:
            RuntimeError: an unexpected error; its text, which Airflow stores, is sanitised.
        """
        try:
            reason, error = await self._wait()
        except Exception as failure:
            text = safe_text(f"{type(failure).__name__}: {failure}")
            raise RuntimeError(f"{self._which}: the wait failed: {text}") from None
        ended = WaitEvent(
            workflow_id=self.workflow_id,
            run_id=self.run_id,
            reason=reason,
            error=error,
            deadline=self.deadline,
            restarted=self.restarted,
        )
        await asyncio.sleep(min(self.not_before - time.time(), SETTLE_SECONDS))
        yield TriggerEvent(dict(ended))  # type: ignore[no-untyped-call]

    async def _wait(self) -> tuple[Reason, str | None]:
        outage = Outage(self.wait.get("outage_timeout", WaitOptions().outage_timeout))
        progress = StepProgress(self.log.info)
        exists = not self.wait_for_existence
        defaults = WaitOptions()
        policy = PollPolicy(
            first_wait=self.wait.get("poll_interval", defaults.poll_interval),
            longest_wait=self.wait.get("max_poll_interval", defaults.max_poll_interval),
        )
        polls = 0

        def look(run: WorkflowRun) -> None:
            nonlocal exists
            exists = True
            outage.end()
            progress.on_record(run)

        while True:
            left = None if self.deadline is None else max(0.0, self.deadline - time.time())
            arguments: WaitArguments = {
                **self.wait,
                "timeout": left,
                "outage_timeout": outage.next_timeout,
                "is_known": exists,
                "on_stall": "wait" if self.wait.get("on_stall") == "wait" else "fail",
                "on_record": look,
                "on_event": progress.on_event,
            }
            try:
                async with await async_client(self.mastra_conn_id) as client:
                    run = client.get_workflow(self.workflow_id).get_run(self.run_id)
                    self.log.info("%s.", await run.wait(**arguments))
                return "over", None
            except WaitTimeoutError as error:
                self.log.info("%s", error)
                return "timeout", None
            except RunStalledError as error:
                self.log.warning("%s", error)
                return "stalled", None
            except UnknownRunError as error:
                if exists:
                    self.log.warning("%s", error)
                    return "error", type(error).__name__
                if left is not None and left <= 0:
                    return "timeout", None
                outage.end()
                polls += 1
                if polls == 1:
                    self.log.info("%s does not exist yet. Polling until it does.", self._which)
                pause = min(policy.wait(polls), inf if left is None else left)
            except MastraError as error:
                retry_after = outage.pause_after(error)
                if retry_after is None:
                    self.log.warning("%s", error)
                    return "error", type(error).__name__
                pause = retry_after
                self.log.warning("%s Reloading the connection %r.", error, self.mastra_conn_id)
            await asyncio.sleep(pause)

    @property
    def _which(self) -> str:
        return f"Run {self.run_id!r} of workflow {self.workflow_id!r}"

    async def on_kill(self) -> None:
        """Cancel the run when a person has ended the task (Airflow 3.3 and later).

        Airflow also calls this when it moves the trigger to another triggerer, so the task's state
        is read first. The outcome is in the trigger's log or, once Airflow has closed that log, in
        the triggerer's own log.
        """
        await finish(self._end_run())

    async def _end_run(self) -> None:
        may_continue = f"{self._which} was not cancelled and may still be running"
        try:
            state = await sync_to_async(task_state)(self.task_instance)
            if state not in TRIGGER_IS_UNWANTED:
                self.log.info("%s continues, since the task is %s.", self._which, state)
                return
            if not self.cancel_on_kill:
                self.log.warning("%s continues, since cancel_on_kill is off.", self._which)
                return
            self.log.info("Cancelling run %r of the ended task.", self.run_id)
            retry = RetryPolicy(seconds=KILL_SECONDS)
            async with await async_client(self.mastra_conn_id, retry=retry) as client:
                handle = client.get_workflow(self.workflow_id).get_run(self.run_id)
                cancellation = await handle.cancel(confirm_timeout=KILL_SECONDS, allow_retry=True)
        except asyncio.CancelledError:
            self.log.error("%s: the triggerer is shutting down.", may_continue)
            raise
        except Exception as error:  # logged, because nothing handles the error
            self.log.error("%s: %s: %s", may_continue, type(error).__name__, safe_text(error))
            return
        say = self.log.info if cancellation.is_confirmed else self.log.warning
        say("%s", cancellation)
