"""The handle of a workflow."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from itertools import count

from mastra_workflows import _procedures as procedures
from mastra_workflows._api import StartOptions, require_id
from mastra_workflows._async_transport import AsyncTransport
from mastra_workflows._models import JSON, Event, WorkflowDetails, WorkflowRun
from mastra_workflows._options import OnOtherInput
from mastra_workflows._policy import Duration
from mastra_workflows._procedures import (
    Attachment,
    OnFailedRun,
    OnStall,
    OnUnexpectedSuspend,
    Server,
    WaitOptions,
)
from mastra_workflows._procedures.acting import Cancellation
from mastra_workflows._settings import OfOneProcess
from mastra_workflows.aio.run import AsyncRun
from mastra_workflows.hitl._inbox import InboxOptions, InboxPage, InboxState


class AsyncWorkflow(OfOneProcess):
    """A handle of one workflow, returned by `AsyncMastraClient.get_workflow`.

    `execute` starts a run, waits for it and returns its result. `get_run` returns a handle for the
    individual operations on a run. `attach_or_start` and `cancel_work` are for schedulers: they
    treat all runs of one piece of work as one. `details`, `create_run`, `runs` and
    `run_execution_result` correspond to Mastra's client.

    Attributes:
        workflow_id: the workflow's registry key.
    """

    def __init__(self, transport: AsyncTransport, server: Server, workflow_id: str) -> None:
        self._transport = transport
        self._server = server
        self.workflow_id = require_id(workflow_id)

    # -- idempotent -----------------------------------------------------------------------------

    async def execute(
        self,
        input_data: JSON = None,
        *,
        run_id: str | None = None,
        initial_state: JSON = None,
        request_context: Mapping[str, JSON] | None = None,
        tracing_options: Mapping[str, JSON] | None = None,
        resource_id: str | None = None,
        on_failed_run: OnFailedRun = "new_run",
        on_other_input: OnOtherInput = "fail",
        started_after: datetime | None = None,
        timeout: Duration | None = None,
        on_suspend: OnUnexpectedSuspend = "fail",
        poll_interval: Duration = 0.5,
        max_poll_interval: Duration = 30.0,
        outage_timeout: Duration = 300.0,
        stall_timeout: Duration | None = 3600.0,
        on_stall: OnStall = "fail",
        observe: bool = True,
        on_record: Callable[[WorkflowRun], None] | None = None,
        on_event: Callable[[Event], None] | None = None,
    ) -> JSON:
        """Start a run, wait for it and return its result.

        The call is idempotent if ``run_id`` is derived from the work. A second call with the same
        id attaches to the running run, or returns the result of the finished one, even from another
        process and after a crash. `execute` combines `attach_or_start`, `Run.wait` and
        `WorkflowRun.raise_for_status`::

            report = await workflow.execute({"city": "Hamburg"}, run_id="report-2026-11-22")

        Args:
            input_data: the workflow's input. None is sent as an empty object, or as null if the
                workflow's input schema accepts only that.
            run_id: the id of the run; a random UUID if None, so that each call starts a run.
            initial_state, request_context, tracing_options, resource_id: see `Run.start_async`.
            on_failed_run, on_other_input, started_after: see `attach_or_start`.
            timeout: the maximum time to wait; None for no limit. The run continues after a timeout.
            on_suspend: ``"fail"`` raises a `RunSuspendedError`, ``"wait"`` waits until the run is
                resumed elsewhere.
            poll_interval, max_poll_interval, outage_timeout, stall_timeout: see `Run.wait`.
            on_stall, observe, on_record, on_event: see `Run.wait`.

        Raises:
            RunFailedError: the run failed; its ``run`` is the record.
            RunCanceledError: the run was cancelled.
            RunSuspendedError: the run is suspended, with ``on_suspend="fail"``.
            WaitTimeoutError: the wait timed out; the run continues.
            MastraError: see `attach_or_start` and `Run.wait`.
        """
        waiting = WaitOptions.of(
            timeout=timeout,
            on_suspend=on_suspend,
            poll_interval=poll_interval,
            max_poll_interval=max_poll_interval,
            outage_timeout=outage_timeout,
            stall_timeout=stall_timeout,
            on_stall=on_stall,
            observe=observe,
            is_known=True,
            on_record=on_record,
            on_event=on_event,
        )
        options = StartOptions(
            input_data=input_data,
            initial_state=initial_state,
            request_context=request_context,
            tracing_options=tracing_options,
            resource_id=resource_id,
        )
        return await self._transport.run(
            procedures.execute(
                self._server,
                self.workflow_id,
                str(uuid.uuid4()) if run_id is None else run_id,
                options,
                waiting,
                on_failed_run=on_failed_run,
                on_other_input=on_other_input,
                started_after=started_after,
            )
        )

    def get_run(self, run_id: str) -> AsyncRun:
        """Return a handle of a run, which need not exist; sends no request."""
        return AsyncRun(self._transport, self._server, self, run_id)

    async def attach_or_start(
        self,
        run_id: str,
        *,
        input_data: JSON = None,
        initial_state: JSON = None,
        request_context: Mapping[str, JSON] | None = None,
        tracing_options: Mapping[str, JSON] | None = None,
        resource_id: str | None = None,
        on_failed_run: OnFailedRun = "new_run",
        on_other_input: OnOtherInput = "fail",
        started_after: datetime | None = None,
    ) -> Attachment:
        """Attach to the run of a piece of work, or start it.

        The work is executed once, however many attempts are made. Every attempt calls this with the
        same run id. A run that is active, suspended or successful is reused; one that was never
        started is started (as `Run.start` does).

        Args:
            run_id: an id derived from the work, so that every attempt has the same one.
            input_data, initial_state, request_context: see `Run.start_async`.
            tracing_options, resource_id: see `Run.start_async`.
            on_failed_run: what to do after a failed run: ``"new_run"`` starts a run with the next
                id in line (``<run_id>-2``), ``"from_failed_step"`` repeats the run from the failed
                step and keeps the earlier steps, ``"fail"`` raises its error. A run that
                `cancel_work` cancelled with ``allow_retry=True`` counts as failed.
            on_other_input: what to do about a run that was started with other input: ``"fail"``
                raises a `RunMismatchError` that names the differing places, ``"attach"`` logs a
                warning and reuses the run. Defaults that the server filled in, dropped fields and
                coerced values do not count as differences.
            started_after: an aware time before which the run cannot have begun, such as the time of
                the first attempt. A run that began more than a minute earlier (a tolerance for
                clock skew) raises a `RunMismatchError`. None for any time.

        Raises:
            RunCanceledError: the run was cancelled. That is final: no retry starts another run.
            RunFailedError: the run failed, with ``on_failed_run="fail"``.
            RunMismatchError: the id belongs to the run of other work. Nothing was started.
            InvalidInputError: the input is invalid; nothing was executed.
            UnsupportedError: the server is older than 0.17, and may execute the run twice.
            RunNotStartedError: the server refused the run, or did not show within ``start_timeout``
                that it executes.
        """
        options = StartOptions(
            input_data=input_data,
            initial_state=initial_state,
            request_context=request_context,
            tracing_options=tracing_options,
            resource_id=resource_id,
        )
        return await self._transport.run(
            procedures.attach_or_start(
                self._server,
                self.workflow_id,
                run_id,
                options,
                on_failed_run=on_failed_run,
                on_other_input=on_other_input,
                started_after=started_after,
            )
        )

    async def cancel_work(
        self, run_id: str, *, confirm_timeout: Duration = 5.0, allow_retry: bool = False
    ) -> Cancellation:
        """Cancel the active run of a piece of work (``POST .../runs/{run}/cancel``).

        That is the run with this id or, if it failed or was cancelled, the run in line that
        `attach_or_start` has started in its place.

        Args:
            run_id: the id that was passed to `attach_or_start`.
            confirm_timeout: how long to poll for the end of the run.
            allow_retry: whether `attach_or_start` may start the next run in line later, as after a
                timeout with retries left. The next id is then reserved by a ``pending`` record on
                the server (``POST .../create-run``), which executes nothing. By default the
                cancellation is final, like one in Mastra Studio.

        Returns:
            The effect, according to the record read afterwards.

        Raises:
            UnknownRunError: the work was never started.
        """
        return await self._transport.run(
            procedures.cancel_work(
                self._server,
                self.workflow_id,
                run_id,
                confirm_timeout=confirm_timeout,
                allow_retry=allow_retry,
            )
        )

    async def find_work(self, run_id: str) -> WorkflowRun | None:
        """Find the run of a piece of work that succeeded, is active or is suspended.

        Nothing is started. A run that `cancel_work` cancelled is not returned, even if a server
        before 1.0 still executes it.

        Args:
            run_id: the id that was passed to `attach_or_start`.

        Returns:
            The record of the run; None if there is no such run, or none that can still succeed.
        """
        return await self._transport.run(
            procedures.find_work(self._server, self.workflow_id, run_id)
        )

    async def new_pending_requests(
        self,
        state: InboxState | None = None,
        *,
        lookback: Duration = 7 * 24 * 3600.0,
        repeat_after: Duration | None = None,
        most: int | None = 100,
    ) -> InboxPage:
        """Return the pending requests of suspended runs that were not returned before.

        Pass each call the `InboxPage.state` of the previous one; it can be stored as JSON in
        between.

        Args:
            state: the state returned by the previous call; None for the first call.
            lookback: the maximum age of the runs to read on a 0.x server. Such a server cannot
                select suspended runs: it sends all runs, each with its whole record. They are read
                from the oldest unfinished one on.
            repeat_after: when to return a request without a response again; None for never.
            most: the maximum number of requests that one call returns; None for no limit.

        Returns:
            The new requests, and the state for the next call. A call costs the pages of suspended
            runs (``GET .../runs?status=suspended``; 0.x: the pages of all runs from the oldest
            unfinished one on) and one request for each run with something new.
        """
        options = InboxOptions.of(lookback=lookback, repeat_after=repeat_after, most=most)
        return await self._transport.run(
            procedures.new_pending_requests(
                self._server,
                self.workflow_id,
                InboxState() if state is None else state,
                options,
                datetime.now(UTC),
            )
        )

    # -- as in Mastra's client ------------------------------------------------------------------

    async def details(self) -> WorkflowDetails:
        """Return the steps, graph and JSON Schemas (``GET /workflows/{workflow}``).

        Raises:
            UnknownWorkflowError: there is no such workflow; the message names existing ones.
        """
        return await self._transport.run(procedures.details(self._server, self.workflow_id))

    async def create_run(
        self, run_id: str | None = None, resource_id: str | None = None
    ) -> AsyncRun:
        """Create the record of a run as ``pending`` (``POST .../create-run``).

        Args:
            run_id: any text but ``.``, ``..`` and those with a NUL; a random UUID if None.
                Repeating the call with the same id is harmless.
            resource_id: the owner of the run (1.x).

        Returns:
            The handle of the run.
        """
        run = self.get_run(str(uuid.uuid4()) if run_id in (None, "") else run_id)
        await self._transport.run(
            procedures.create_run(self._server, self.workflow_id, run.run_id, resource_id)
        )
        return run

    async def run_execution_result(self, run_id: str) -> WorkflowRun:
        """Return the record of a run.

        0.x: ``GET .../runs/{run}/execution-result``; 1.x: ``GET .../runs/{run}``.

        Raises:
            UnknownRunError: there is no such run.
        """
        return await self.get_run(run_id).read()

    async def runs(
        self,
        *,
        page_size: int = 20,
        from_date: datetime | None = None,
        to_date: datetime | None = None,
        resource_id: str | None = None,
        status: str | None = None,
    ) -> AsyncIterator[WorkflowRun]:
        """Iterate over the workflow's runs; pages are requested on demand (``GET .../runs``).

        Args:
            page_size: the number of runs in a page. Each row contains the whole record of its run.
            from_date: created at or after this aware time. 0.x on libSQL uses the last change of a
                run as its creation time.
            to_date: created at or before this aware time.
            resource_id: only runs of this owner.
            status: only runs with this status, such as ``suspended``. 1.x filters in its storage;
                0.x sends every run, and the client filters them.
        """
        for number in count():
            page = await self._transport.run(
                procedures.runs_page(
                    self._server,
                    self.workflow_id,
                    page=number,
                    per_page=page_size,
                    from_date=from_date,
                    to_date=to_date,
                    resource_id=resource_id,
                    status=status,
                )
            )
            for row in page.runs:
                yield row
            if page.is_last:
                return

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.workflow_id!r})"
