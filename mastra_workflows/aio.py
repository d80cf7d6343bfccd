"""The asyncio client and its handles: the synchronous ones' names and procedures, by `aiohttp`.

What a method does, takes and raises is told at its twin in `client`, `workflow` and `run`.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from itertools import count
from types import TracebackType
from typing import Self, Unpack

from mastra_workflows import procedures
from mastra_workflows._async_transport import AsyncEventStream, AsyncTransport
from mastra_workflows._pools import known_of
from mastra_workflows.api import (
    Request,
    RunFilter,
    ServerGeneration,
    StartArguments,
    StartOptions,
    require_id,
)
from mastra_workflows.inbox import Look, LookArguments, LookOptions, Memory
from mastra_workflows.models import JSON, WorkflowDetails, WorkflowRun
from mastra_workflows.procedures import (
    Attachment,
    Follower,
    OnFailedRun,
    Receipt,
    Server,
    WaitOptions,
)
from mastra_workflows.procedures.acting import CONFIRM_SECONDS, Cancellation
from mastra_workflows.procedures.comparing import OnOtherInput
from mastra_workflows.procedures.resuming import Answer, AnswerArguments
from mastra_workflows.procedures.waiting import WaitArguments
from mastra_workflows.questions import Question
from mastra_workflows.settings import ClientArguments, OfOneProcess, Settings


class AsyncMastraClient(OfOneProcess):
    """As `MastraClient`, for asyncio; it may be used in several event loops::

        async with AsyncMastraClient("http://localhost:4111") as mastra:
            run = mastra.get_workflow("orderReport").get_run("report-2026-11-22")
            await run.ensure_started(input_data={"city": "Oslo"})
            report = (await run.wait(timeout=600)).raise_for_status().result

    Args:
        base_url: scheme, host and port; a path in front of the API prefix may follow.
        **arguments: ``token``, ``headers``, ``timeout`` and more: see `ClientArguments`.

    Raises:
        ConfigurationError: a setting cannot work.
    """

    def __init__(self, base_url: str, **arguments: Unpack[ClientArguments]) -> None:
        settings = Settings.of(base_url, **arguments)
        self._server = Server.of(settings, known_of(settings))
        self._transport = AsyncTransport(settings)

    @property
    def base_url(self) -> str:
        """As `MastraClient.base_url`."""
        return self._transport.settings.base_url

    async def server_generation(self) -> ServerGeneration:
        """As `MastraClient.server_generation`."""
        return await self._transport.run(procedures.generation(self._server))

    async def supports_for_each_index(self) -> bool:
        """As `MastraClient.supports_for_each_index`."""
        return await self._transport.run(procedures.supports_for_each_index(self._server))

    async def list_workflows(self) -> tuple[WorkflowDetails, ...]:
        """As `MastraClient.list_workflows`."""
        return await self._transport.run(procedures.list_workflows(self._server))

    def get_workflow(self, workflow_id: str) -> AsyncWorkflow:
        """As `MastraClient.get_workflow`; sends nothing."""
        return AsyncWorkflow(self._transport, self._server, workflow_id)

    async def close(self) -> None:
        """As `MastraClient.close`."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_url!r})"


class AsyncWorkflow(OfOneProcess):
    """As `Workflow`; made by `AsyncMastraClient.get_workflow`."""

    def __init__(self, transport: AsyncTransport, server: Server, workflow_id: str) -> None:
        self._transport = transport
        self._server = server
        self.workflow_id = require_id(workflow_id)

    async def details(self) -> WorkflowDetails:
        """As `Workflow.details`."""
        return await self._transport.run(procedures.details(self._server, self.workflow_id))

    async def create_run(
        self, run_id: str | None = None, resource_id: str | None = None
    ) -> AsyncRun:
        """As `Workflow.create_run`."""
        run = self.get_run(str(uuid.uuid4()) if run_id in (None, "") else run_id)
        await self._transport.run(
            procedures.create_run(self._server, self.workflow_id, run.run_id, resource_id)
        )
        return run

    def get_run(self, run_id: str) -> AsyncRun:
        """As `Workflow.get_run`; sends nothing."""
        return AsyncRun(self._transport, self._server, self, run_id)

    async def attach_or_start(
        self,
        run_id: str,
        *,
        on_failed_run: OnFailedRun = "new_run",
        on_other_input: OnOtherInput = "fail",
        started_after: datetime | None = None,
        **arguments: Unpack[StartArguments],
    ) -> Attachment:
        """As `Workflow.attach_or_start`."""
        options = StartOptions(**arguments)
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
        self, run_id: str, *, confirm_timeout: float = CONFIRM_SECONDS, allow_retry: bool = False
    ) -> Cancellation:
        """As `Workflow.cancel_work`."""
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
        """As `Workflow.find_work`."""
        return await self._transport.run(
            procedures.find_work(self._server, self.workflow_id, run_id)
        )

    async def run_execution_result(self, run_id: str) -> WorkflowRun:
        """As `Workflow.run_execution_result`."""
        return await self.get_run(run_id).read()

    async def runs(
        self, *, page_size: int = 20, **which: Unpack[RunFilter]
    ) -> AsyncIterator[WorkflowRun]:
        """As `Workflow.runs`."""
        for number in count():
            page = await self._transport.run(
                procedures.runs_page(
                    self._server, self.workflow_id, page=number, per_page=page_size, **which
                )
            )
            for row in page.runs:
                yield row
            if page.is_last:
                return

    async def new_questions(
        self, memory: Memory | None = None, **arguments: Unpack[LookArguments]
    ) -> Look:
        """As `Workflow.new_questions`."""
        options = LookOptions(**arguments)
        return await self._transport.run(
            procedures.new_questions(
                self._server,
                self.workflow_id,
                Memory() if memory is None else memory,
                options,
                datetime.now(UTC),
            )
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.workflow_id!r})"


class AsyncRun(OfOneProcess):
    """As `Run`; made by `AsyncWorkflow.get_run` and `AsyncWorkflow.create_run`."""

    def __init__(
        self, transport: AsyncTransport, server: Server, workflow: AsyncWorkflow, run_id: str
    ) -> None:
        self._transport = transport
        self._server = server
        self.workflow = workflow
        self.workflow_id = workflow.workflow_id
        self.run_id = require_id(run_id)

    async def read(self) -> WorkflowRun:
        """As `Run.read`."""
        return await self._transport.run(
            procedures.read_run(self._server, self.workflow_id, self.run_id)
        )

    async def start(self, **arguments: Unpack[StartArguments]) -> WorkflowRun:
        """As `Run.start`."""
        options = StartOptions(**arguments)
        return await self._transport.run(
            procedures.start(self._server, self.workflow_id, self.run_id, options)
        )

    async def start_async(self, **arguments: Unpack[StartArguments]) -> WorkflowRun:
        """As `Run.start_async`."""
        options = StartOptions(**arguments)
        return await self._transport.run(
            procedures.start_async(self._server, self.workflow_id, self.run_id, options)
        )

    async def stream(self, **arguments: Unpack[StartArguments]) -> AsyncEventStream:
        """As `Run.stream`; the iterator is awaited first."""
        options = StartOptions(**arguments)
        request = await self._transport.run(
            procedures.stream_request(self._server, self.workflow_id, self.run_id, options)
        )
        return await self._follow(request)

    async def ensure_started(
        self, *, on_other_input: OnOtherInput = "fail", **arguments: Unpack[StartArguments]
    ) -> Receipt:
        """As `Run.ensure_started`."""
        options = StartOptions(**arguments)
        return await self._transport.run(
            procedures.ensure_started(
                self._server, self.workflow_id, self.run_id, options, on_other_input
            )
        )

    async def wait(self, **arguments: Unpack[WaitArguments]) -> WorkflowRun:
        """As `Run.wait`."""
        options = WaitOptions(**arguments)
        return await self._transport.run(
            procedures.wait(self._server, self.workflow_id, self.run_id, options)
        )

    async def watch(self) -> AsyncEventStream:
        """As `Run.watch`; the iterator is awaited first."""
        request = await self._transport.run(
            procedures.watchable(self._server, self.workflow_id, self.run_id)
        )
        return await self._follow(request)

    async def resume(self, **arguments: Unpack[AnswerArguments]) -> WorkflowRun:
        """As `Run.resume`."""
        answer = Answer(**arguments)
        return await self._transport.run(
            procedures.resume(self._server, self.workflow_id, self.run_id, answer)
        )

    async def attach_or_resume(
        self, *, is_retry: bool = True, **arguments: Unpack[AnswerArguments]
    ) -> WorkflowRun:
        """As `Run.attach_or_resume`."""
        answer = Answer(**arguments)
        return await self._transport.run(
            procedures.attach_or_resume(
                self._server, self.workflow_id, self.run_id, answer, is_retry=is_retry
            )
        )

    async def answer(
        self,
        question: Question,
        resume_data: JSON,
        *,
        answered_by: JSON = None,
        is_retry: bool = False,
        **waiting: Unpack[WaitArguments],
    ) -> WorkflowRun:
        """As `Run.answer`."""
        return await self._transport.run(
            procedures.answer(
                self._server,
                question,
                resume_data,
                answered_by=answered_by,
                is_retry=is_retry,
                waiting=WaitOptions(**waiting),
            )
        )

    async def resume_async(self, **arguments: Unpack[AnswerArguments]) -> WorkflowRun:
        """As `Run.resume_async`."""
        answer = Answer(**arguments)
        return await self._transport.run(
            procedures.resume_async(self._server, self.workflow_id, self.run_id, answer)
        )

    async def resume_stream(self, **arguments: Unpack[AnswerArguments]) -> AsyncEventStream:
        """As `Run.resume_stream`; the iterator is awaited first."""
        answer = Answer(**arguments)
        request, after = await self._transport.run(
            procedures.resume_request(self._server, self.workflow_id, self.run_id, answer)
        )
        return await self._follow(request, after)

    async def cancel(
        self, *, confirm_timeout: float = CONFIRM_SECONDS, allow_retry: bool = False
    ) -> Cancellation:
        """As `Run.cancel`."""
        return await self._transport.run(
            procedures.cancel(
                self._server,
                self.workflow_id,
                self.run_id,
                confirm_timeout=confirm_timeout,
                allow_retry=allow_retry,
            )
        )

    async def delete(self) -> None:
        """As `Run.delete`."""
        await self._transport.run(procedures.delete(self._server, self.workflow_id, self.run_id))

    async def restart(self) -> WorkflowRun:
        """As `Run.restart`."""
        return await self._transport.run(
            procedures.restart(self._server, self.workflow_id, self.run_id)
        )

    async def time_travel(
        self, *, step: str | Sequence[str], input_data: JSON = None
    ) -> WorkflowRun:
        """As `Run.time_travel`."""
        return await self._transport.run(
            procedures.time_travel(self._server, self.workflow_id, self.run_id, step, input_data)
        )

    async def _follow(self, request: Request, after: datetime | None = None) -> AsyncEventStream:
        follower = Follower(self._server, self.workflow_id, self.run_id, request, after)
        return await self._transport.stream(follower)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.workflow_id!r}, {self.run_id!r})"
