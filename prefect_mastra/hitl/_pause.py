"""A pause of the flow run that calls, with a form to be filled in: Prefect's run input.

This is what Prefect's `pause_flow_run` and `suspend_flow_run` do, with its own states and its store
of run inputs. It adds what these leave open. The form is the JSON Schema of the answer itself, not
of a model that is made after it. While the flow run is paused, somebody looks whether there is
still something to wait for. The one who asks decides what becomes of a question that nobody
answers. And a pause uses up no retry of the flow.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from httpx import HTTPStatusError, TransportError
from prefect.client.schemas.objects import FlowRun, State
from prefect.client.schemas.responses import OrchestrationResult, SetStateStatus
from prefect.context import FlowRunContext, TaskRunContext
from prefect.exceptions import Abort, CancelledRun
from prefect.exceptions import Pause as SuspendSignal
from prefect.input.run_input import keyset_from_paused_state
from prefect.states import Cancelled, Paused, Running, Suspended

from mastra_workflows import JSON
from mastra_workflows.errors import ConfigurationError
from mastra_workflows.integration import Sleep
from prefect_mastra._run_ids import enclosing_runs

PauseMode = Literal["pause", "suspend"]
"""What a flow run does while it waits for a person: its process waits (``"pause"``), or ends
(``"suspend"``), and the flow is run again from its top when the answer is there."""

OnSuspension = Literal["fail", "return", "wait", "ask"]
"""What a task or flow does about a suspended run."""

FIRST_POLL_SECONDS = 0.3
MAX_POLL_SECONDS = 5.0
"""Seconds between two looks at a paused flow run; Prefect's own default is 10."""

HTTP_CONFLICT = 409
"""The status that Prefect's server answers to an input that is there already."""

MAX_INPUTS = 200
"""How many inputs of a flow run Prefect's server gives at once."""


@dataclass(frozen=True, slots=True)
class PrefectCall:
    """Call a method of Prefect's client."""

    method: str
    arguments: tuple[Any, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunCall:
    """Call a method of the `MastraWorkflowRun`, or its twin for asyncio."""

    method: str
    arguments: tuple[Any, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


Procedure = Generator[PrefectCall | RunCall | Sleep, Any, Any]
"""What takes several calls: it yields each and is sent what came of it, so that one text does for
flows of either kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseForm:
    """What a person is shown.

    Attributes:
        key: its name among the forms of the flow run; an answer is kept under it.
        description: Markdown.
        schema: the JSON Schema of what is entered. Prefect's server checks it.
    """

    key: str
    description: str
    schema: Mapping[str, Any]


class NoResponseError(Exception):
    """A pause is over without an answer.

    Attributes:
        reason: ``"closed"``: there was no more to wait for; ``"timed_out"``: the time was over;
            ``"resumed"``: the flow run was set going without one.
    """

    def __init__(self, reason: Literal["closed", "timed_out", "resumed"]) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class PausableFlowRun:
    """The flow run that is paused: the innermost one that runs here.

    Args:
        flow_run: the flow run as its process knows it.
        mode: see `PauseMode`.
    """

    flow_run: FlowRun
    mode: PauseMode

    @classmethod
    def here(cls, mode: PauseMode) -> PausableFlowRun:
        """The one of this flow run.

        Raises:
            ConfigurationError: there is no flow run, or none that can be suspended.
        """
        context = FlowRunContext.get()
        if context is None or context.flow_run is None:
            raise ConfigurationError(
                "Asking a person pauses a flow run, and none is running here. Call this in a flow, "
                "or use the flow run_workflow."
            )
        flow_run = context.flow_run
        if mode == "suspend" and isinstance(next(enclosing_runs(), None), TaskRunContext):
            raise ConfigurationError(
                'pause="suspend" ends the process, which a task cannot do. Use the flow '
                'run_workflow, call ask_and_resume in the flow itself, or use pause="pause".'
            )
        if mode == "suspend" and (flow_run.parent_task_run_id or not flow_run.deployment_id):
            raise ConfigurationError(
                'pause="suspend" ends the process, so Prefect allows it in a flow run of a '
                "deployment only, not in a subflow: call ask_and_resume in that flow itself, or "
                'use pause="pause".'
            )
        return cls(flow_run, mode)

    def find_response(self, form: PauseForm) -> Procedure:
        """What an earlier try of the flow was answered, or this one before it was suspended.

        Returns:
            What was entered; None if there is no answer yet.
        """
        return (yield from self._read_answer(self._state(form)))

    def request(
        self, form: PauseForm, *, deadline: float, is_open: Callable[[], Generator[Any, Any, bool]]
    ) -> Procedure:
        """Pause until the form is filled in.

        Args:
            form: what a person is shown.
            deadline: when to give up, by `time.monotonic`.
            is_open: looks whether there is still something to wait for.

        Returns:
            What was entered.

        Raises:
            NoResponseError: there will be no answer.
            prefect.exceptions.Pause: the flow run is suspended; its process is to end.
            CancelledRun, Abort: the flow run was cancelled meanwhile.
        """
        paused = self._state(form)
        yield from self._keep_retries()
        if not (yield from self._pause(paused)):
            return (yield from self._answer_or("resumed", paused))
        # Not before: Prefect 3.9.1 deletes what is stored under a pause's keys when it accepts it.
        yield from self._store_form(form, paused)
        if self.mode == "suspend":
            raise SuspendSignal(state=paused)
        for seconds in _poll_intervals():
            yield Sleep(max(0.0, min(seconds, deadline - time.monotonic())))
            if not (yield from self._is_paused(form.key)):
                return (yield from self._answer_or("resumed", paused))
            if not (yield from is_open()):
                return (yield from self._end(paused, "closed"))
            if time.monotonic() >= deadline:
                return (yield from self._end(paused, "timed_out"))

    def _state(self, form: PauseForm) -> State[Any]:
        state: State[Any] = (Suspended if self.mode == "suspend" else Paused)(pause_key=form.key)
        keyset = keyset_from_paused_state(state)
        state.state_details.run_input_keyset = {name: keyset[name] for name in keyset}
        return state

    def _store_form(self, form: PauseForm, state: State[Any]) -> Procedure:
        """Store what a person is shown, in place of what an earlier try has stored.

        Nobody can answer without it, so an outage of Prefect's server is waited for.
        """
        keys = state.state_details.run_input_keyset
        assert keys is not None
        for key, value in (
            (keys["description"], form.description),
            (keys["schema"], dict(form.schema)),
        ):
            for seconds in _poll_intervals():
                try:
                    yield from self._replace_input(key, value)
                except TransportError:
                    yield Sleep(seconds)
                else:
                    break

    def _replace_input(self, key: str, value: JSON) -> Procedure:
        try:
            yield self._call("create_flow_run_input", key, json.dumps(value))
        except HTTPStatusError as error:
            if error.response.status_code != HTTP_CONFLICT:
                raise
            yield self._call("delete_flow_run_input", key)
            yield self._call("create_flow_run_input", key, json.dumps(value))

    def _pause(self, state: State[Any]) -> Procedure:
        """Pause the flow run, once no other question of it is open.

        Returns:
            Whether it is paused; it is not if it has been, for this form, and was set going.
        """
        key = state.state_details.pause_key
        for seconds in _poll_intervals():
            result: OrchestrationResult[Any] = yield self._call("set_flow_run_state", state)
            if result.status == SetStateStatus.ACCEPT:
                return True
            if result.status == SetStateStatus.ABORT:
                raise ConfigurationError(f"This flow run cannot be paused: {result.details}")
            flow_run: FlowRun = yield self._call("read_flow_run")
            if self._is_finished(flow_run):
                yield from self._abandon()
            if key in (flow_run.empirical_policy.pause_keys or ()):
                return False
            yield Sleep(seconds)

    def _is_paused(self, key: str) -> Procedure:
        """Whether the flow run still waits for this form."""
        try:
            flow_run: FlowRun = yield self._call("read_flow_run")
        except TransportError:
            return True  # Prefect's server is out of reach for a while
        if self._is_finished(flow_run):
            yield from self._abandon()
        state = flow_run.state
        assert state is not None
        return state.is_paused() and state.state_details.pause_key == key

    def _end(self, state: State[Any], reason: Literal["closed", "timed_out"]) -> Procedure:
        """Set the flow run going."""
        yield self._call("set_flow_run_state", Running())
        flow_run: FlowRun = yield self._call("read_flow_run")
        if self._is_finished(flow_run):
            yield from self._abandon()
        if reason == "closed":
            raise NoResponseError(reason)
        return (yield from self._answer_or(reason, state))  # it may have come at the last moment

    def _answer_or(self, reason: Literal["timed_out", "resumed"], state: State[Any]) -> Procedure:
        answer = yield from self._read_answer(state)
        if answer is None:
            raise NoResponseError(reason)
        return answer

    def _read_answer(self, state: State[Any]) -> Procedure:
        keys = state.state_details.run_input_keyset
        assert keys is not None
        found = yield from self._inputs(keys["response"])
        return found[0] if found else None

    def store(self, kind: str, key: str, value: JSON) -> Procedure:
        """Keep something with the flow run, until `stored` in a process that comes later."""
        try:
            yield self._call("create_flow_run_input", f"{kind}-{key}", json.dumps(value))
        except HTTPStatusError as error:
            if error.response.status_code != HTTP_CONFLICT:  # an earlier try has kept it
                raise

    def stored(self, kind: str) -> Procedure:
        """All of a kind that was kept with the flow run, the first one first."""
        return (yield from self._inputs(f"{kind}-"))

    def _inputs(self, prefix: str) -> Procedure:
        found = yield self._call(
            "filter_flow_run_input", key_prefix=prefix, limit=MAX_INPUTS, exclude_keys=set()
        )
        return [item.decoded_value for item in found]

    def _keep_retries(self) -> Procedure:
        """See that the end of the pause is not counted as another try of the flow.

        Prefect means it so (``resuming``), but sets the mark only once it has counted.
        """
        if self.mode == "suspend":
            return
        flow_run: FlowRun = yield self._call("read_flow_run")
        if flow_run.empirical_policy.retries:
            policy = flow_run.empirical_policy.model_copy(update={"resuming": True})
            yield self._call("update_flow_run", empirical_policy=policy)

    def _is_finished(self, flow_run: FlowRun) -> bool:
        """Whether the flow run was cancelled, or ended in another way, from outside."""
        state = flow_run.state
        if state is not None and state.is_cancelling():
            return not flow_run.deployment_id  # its runner is about to end this process
        return state is None or state.is_final()

    def _abandon(self) -> Procedure:
        """End a flow run that was cancelled while it was paused."""
        message = "The flow run was cancelled while it waited for an answer."
        if self.flow_run.parent_task_run_id:
            error = CancelledRun(message)
            yield RunCall("abandon", (error,))
            raise error
        yield self._call("set_flow_run_state", Cancelled(message=message))
        raise Abort(message)  # any other error would replace the state by Failed

    def _call(self, method: str, *arguments: Any, **options: Any) -> PrefectCall:
        return PrefectCall(method, (self.flow_run.id, *arguments), options)


def _poll_intervals() -> Iterator[float]:
    seconds = FIRST_POLL_SECONDS
    while True:
        yield seconds
        seconds = min(seconds * 1.5, MAX_POLL_SECONDS)
