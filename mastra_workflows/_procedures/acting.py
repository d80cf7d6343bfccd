"""Cancel, delete and restart runs, and confirm the effect in the record."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass

from mastra_workflows import _api as api
from mastra_workflows._api import ServerGeneration
from mastra_workflows._models import RunStatus, WorkflowRun, named
from mastra_workflows._policy import Duration, PollPolicy, as_seconds, require_flags
from mastra_workflows._procedures._effects import (
    Listen,
    Procedure,
    Server,
    StreamResult,
    repeat,
    send,
    through_outage,
)
from mastra_workflows._procedures.reading import generation, read_run
from mastra_workflows.errors import (
    ApiError,
    ConnectionFailedError,
    MastraError,
    NotActiveError,
    UnknownRunError,
    UnsupportedError,
)

log = logging.getLogger(__name__)

RESTART_SECONDS = 1.0
"""How long to wait for a server to refuse a restart."""

RESENDS = 4
"""How many times a cancel is sent again while the record shows running steps."""

CONFIRM_SECONDS = 5.0
"""The default `confirm_timeout`: how long to poll for the end of a cancelled run."""


@dataclass(frozen=True, slots=True)
class Cancellation:
    """The effect of a cancellation on a run.

    Attributes:
        run: the record after the cancellation.
        requested: whether a cancel was sent; a finished run is left alone.
    """

    run: WorkflowRun
    requested: bool

    @property
    def is_confirmed(self) -> bool:
        """Whether the record shows that no part of the run executes or is suspended."""
        run = self.run
        return not (run.is_active or run.is_suspended or run.running_steps)

    def __str__(self) -> str:
        if not self.requested:
            return f"{self.run}. It had already finished; nothing was cancelled."
        if self.run.is_pending:
            return f"{self.run}. It was never started; nothing executes."
        if self.run.is_suspended:
            return (
                f"{self.run}. The server accepted the cancel, but servers before 1.0 do not end a "
                "suspended run. It executes nothing unless it is resumed. Then it is cancelled "
                "after the resumed step or, if its server was restarted meanwhile, continues."
            )
        if not self.run.is_finished:
            return (
                f"{self.run}. The server accepted the cancel, but the run continues: a step that "
                "ignores its abort signal runs to its end."
            )
        if self.run.running_steps:
            return (
                f"{self.run}, but its record still shows step {named(self.run.running_steps)} as "
                "running. A step that ignores its abort signal, or that another replica of the "
                "server executes, runs to its end; the other replica may then overwrite the "
                "status 'canceled'."
            )
        return f"{self.run}."


def cancel(
    server: Server,
    workflow_id: str,
    run_id: str,
    *,
    confirm_timeout: Duration,
    allow_retry: bool = False,
) -> Procedure[Cancellation]:
    """Cancel a run and poll for the effect.

    Args:
        confirm_timeout: how many seconds to poll for the end of the run.
        allow_retry: whether a later `attach_or_start` may start another run in its place; see
            `reserved_id`.
    """
    require_flags(allow_retry=allow_retry)
    policy = PollPolicy(
        first_wait=0.05, longest_wait=1.0, timeout=as_seconds("confirm_timeout", confirm_timeout)
    )
    server = server.lasting()
    requested = False

    def attempt() -> Procedure[Cancellation | None]:
        nonlocal requested
        # 1.x would rewrite the record of a finished run.
        run = yield from read_run(server, workflow_id, run_id)
        if run.is_finished:
            return Cancellation(run, requested)
        requested = True
        yield from send(server, api.cancel(workflow_id, run_id))
        return None

    over = yield from through_outage(server, attempt)
    if allow_retry and requested:
        yield from _reserve(server, workflow_id, reserved_id(run_id))
    if over is not None:
        return over

    resends = RESENDS

    def look() -> Procedure[Cancellation]:
        nonlocal resends
        found = Cancellation((yield from read_run(server, workflow_id, run_id)), True)
        if resends and found.run.status == RunStatus.CANCELED and found.run.running_steps:
            # Another replica may execute the run and record it as not cancelled. Send two in a row:
            # alternating reads and cancels would each reach the same one of two replicas.
            resends -= 1
            with contextlib.suppress(MastraError):  # the first cancel has succeeded already
                for _ in range(2):
                    yield from send(server, api.cancel(workflow_id, run_id))
        return found

    retrying = policy.retrying(
        lambda state: (
            state.outcome is not None
            and not state.outcome.failed
            and not state.outcome.result().is_confirmed
        )
    )
    return (yield from repeat(server, retrying, look))


def reserved_id(run_id: str) -> str:
    """Return the id whose existence allows a retry to replace a cancelled run.

    A cancelled run without such a record was cancelled by a person, which is final. The record is
    ``pending`` and executes nothing. For the first run of a line, it is the id of the next run
    itself.
    """
    return f"{run_id}-2"


def _reserve(server: Server, workflow_id: str, run_id: str) -> Procedure[None]:
    try:
        yield from send(server, api.create_run(workflow_id, run_id))
    except MastraError as error:  # the run is cancelled nevertheless
        log.warning(
            "Run id %r of workflow %r could not be reserved, so a retry does not start a new run: "
            "%s",
            run_id,
            workflow_id,
            error,
        )


def delete(server: Server, workflow_id: str, run_id: str) -> Procedure[None]:
    """Delete a run's record (1.x).

    Raises:
        UnsupportedError: the server is a legacy server (0.x), which has no such endpoint.
    """
    if (yield from generation(server)) is ServerGeneration.V0:
        raise UnsupportedError("Servers before 1.0 cannot delete a run; nothing was sent.")
    yield from read_run(server, workflow_id, run_id)  # raises if the run is unknown
    with contextlib.suppress(UnknownRunError):  # deleted by a request whose response was lost
        yield from send(server, api.delete(workflow_id, run_id))


def restart(server: Server, workflow_id: str, run_id: str) -> Procedure[WorkflowRun]:
    """Continue a run that its server lost by restarting (from 0.24.8).

    `/restart` responds before it validates, and an error ends the process of a 0.24 server. So
    `/restart-async` is used, which reports errors, and the request is dropped if no error arrives
    soon.
    """
    run = yield from read_run(server, workflow_id, run_id)
    if run.status not in (RunStatus.RUNNING, RunStatus.WAITING):
        raise NotActiveError(
            f"{run}. Only a run that was running when its server stopped can be restarted; "
            "nothing was sent.",
            run,
        )
    try:
        # The server responds when the run has finished. Dropping the request does not stop the run.
        heard: StreamResult = yield Listen(
            api.restart_async(workflow_id, run_id), lambda _: True, RESTART_SECONDS
        )
    except ConnectionFailedError as error:
        if not error.request_sent:
            raise
    else:
        check_supported(heard.response, "restart")
    return (yield from read_run(server, workflow_id, run_id))


def check_supported(response: api.Response, what: str) -> None:
    """Check a response as `api.check` does, for features that servers before 0.24.8 lack."""
    try:
        api.check(response)
    except ApiError as error:
        if type(error) is ApiError and error.status_code == 404:
            raise UnsupportedError(
                f"This server has no {what}; it came with Mastra 0.24.8. Nothing was changed."
            ) from error
        raise
