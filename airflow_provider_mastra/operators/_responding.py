"""The base class of the operators that deliver responses to the server."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, TypeVar

from airflow_provider_mastra.operators._waiting import MastraWaitingOperator
from airflow_provider_mastra.utils._outages import Outage
from mastra_workflows.errors import ApiError, MastraError, NotSuspendedError, ServerLostError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_provider_mastra.hitl._required_action import HumanResponse
    from airflow_provider_mastra.hitl._state import HITLState
    from mastra_workflows import JSON, Run
    from mastra_workflows.hitl import PendingRequest
    from mastra_workflows.integration import WaitArguments

T = TypeVar("T")


class MastraRespondingOperator(MastraWaitingOperator):
    """The base class of the operators that resume a run with a response."""

    def retry_delivery(
        self, response: HumanResponse, run: Run, act: Callable[[Run, float], T]
    ) -> T:
        """Send a person's response, and retry while the server is unreachable.

        Raises:
            ServerLostError: the server was unreachable for longer than ``outage_timeout``.
        """
        patience = self.wait_arguments["outage_timeout"]
        outage = Outage(patience)
        while True:
            try:
                return act(self.current_handle(run), outage.next_timeout)
            except MastraError as error:
                if type(error) is ApiError and error.status_code < 500:
                    raise  # the server is reachable and refuses the request
                pause = outage.pause_after(error)
                if pause is None:
                    if not outage.seconds:
                        raise
                    raise ServerLostError(
                        f"The response of {response} was not delivered: the server was unavailable "
                        f"for {outage.seconds:.0f} s. {error} Run {run.run_id!r} of workflow "
                        f"{run.workflow_id!r} is still suspended. A retry of this task delivers "
                        "the response; clearing it cancels the run and asks again."
                    ) from error
                what = "The response of %s is not delivered yet (%s); retrying for up to %g s."
                self.log.warning(what, response, error, patience)
            time.sleep(pause)
            self.reload_connection()

    def send_response(
        self,
        run: Run,
        pending_request: PendingRequest,
        resume_data: JSON,
        state: HITLState,
        *,
        by: Literal["person", "code", "default"],
        user: Mapping[str, str] | None = None,
        at: str | None = None,
        outage_timeout: float | None = None,
    ) -> None:
        """Resume the run with a response; skip a request that already has a response.

        Raises:
            InvalidResumeDataError: the response does not match the resume schema.
        """
        at = at or datetime.now(UTC).isoformat()
        who = {"by": by, "user": dict(user) if user else None, "at": at}
        waiting: WaitArguments = {**self.wait_arguments}
        if outage_timeout is not None:
            waiting["outage_timeout"] = outage_timeout
        try:
            record = run.respond(
                pending_request, resume_data, responded_by=who, is_retry=True, **waiting
            )
        except NotSuspendedError as error:
            self.log.warning("The response was too late and was not sent. %s", error)
            return
        self.log.info("The step was resumed with the response of %s. %s", user or by, record)
        state.save_response(
            {"step": pending_request.suspension.name, "resume_data": resume_data, **who}
        )
