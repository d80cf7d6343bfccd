"""Pause the calling flow run with a form for its run input.

This replaces Prefect's `pause_flow_run` and `suspend_flow_run`, and uses the same states and run
inputs. It differs in four ways:

- The form is the JSON Schema of the response itself, not that of a model generated from it.
- While the flow run is paused, the pending request is polled.
- The caller decides how to handle a missing response.
- A pause does not count as a retry of the flow.
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
"""How a flow run waits for a person: ``"pause"`` keeps its process running, ``"suspend"`` ends it
and executes the flow again from its top after the response."""

OnSuspension = Literal["fail", "return", "wait", "ask"]
"""How a task or flow reacts to a suspended run."""

FIRST_POLL_SECONDS = 0.3
MAX_POLL_SECONDS = 5.0
"""Maximum seconds between polls of a paused flow run. Prefect's default is 10."""

HTTP_CONFLICT = 409
"""The status with which Prefect's server rejects a run input that already exists."""

MAX_INPUTS = 200
"""How many run inputs Prefect's server returns per request."""


@dataclass(frozen=True, slots=True)
class PrefectCall:
    """An effect: call a method of Prefect's client."""

    method: str
    arguments: tuple[Any, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunCall:
    """An effect: call a method of the `MastraWorkflowRun`, or its asyncio version."""

    method: str
    arguments: tuple[Any, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


Procedure = Generator[PrefectCall | RunCall | Sleep, Any, Any]
"""A generator that yields its calls and receives their results. One implementation therefore serves
synchronous and asyncio flows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseForm:
    """The form and the text of a pause.

    Attributes:
        key: the form's key, unique in the flow run. Prefect stores the response under it.
        description: the text above the form, as Markdown.
        schema: the JSON Schema of the response. Prefect's server validates the response.
    """

    key: str
    description: str
    schema: Mapping[str, Any]


class NoResponseError(Exception):
    """A pause ended without a response.

    Attributes:
        reason: ``"closed"``: the request is no longer pending; ``"timed_out"``: the deadline
            passed; ``"resumed"``: the flow run was resumed without a response.
    """

    def __init__(self, reason: Literal["closed", "timed_out", "resumed"]) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class PausableFlowRun:
    """The flow run to pause: the innermost one of this process.

    Args:
        flow_run: the flow run, as in the process's context.
        mode: see `PauseMode`.
    """

    flow_run: FlowRun
    mode: PauseMode

    @classmethod
    def here(cls, mode: PauseMode) -> PausableFlowRun:
        """Return the innermost flow run of the current context.

        Raises:
            ConfigurationError: there is no flow run, or it cannot be suspended.
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
        """Find a response from an earlier attempt of the flow, or from before its suspension.

        Returns:
            The response; None if there is none yet.
        """
        return (yield from self._read_response(self._state(form)))

    def request(
        self, form: PauseForm, *, deadline: float, is_open: Callable[[], Generator[Any, Any, bool]]
    ) -> Procedure:
        """Pause until the form is submitted.

        Args:
            form: the form to show.
            deadline: when to stop waiting, as a value of `time.monotonic`.
            is_open: checks whether the request is still pending.

        Returns:
            The response.

        Raises:
            NoResponseError: the pause ended without a response.
            prefect.exceptions.Pause: the flow run is suspended, and its process has to end.
            CancelledRun, Abort: the flow run was cancelled while it was paused.
        """
        paused = self._state(form)
        yield from self._keep_retries()
        if not (yield from self._pause(paused)):
            return (yield from self._response_or("resumed", paused))
        # After the pause: Prefect 3.9.1 deletes the inputs of a pause when it accepts the state.
        yield from self._store_form(form, paused)
        if self.mode == "suspend":
            raise SuspendSignal(state=paused)
        for seconds in _poll_intervals():
            yield Sleep(max(0.0, min(seconds, deadline - time.monotonic())))
            if not (yield from self._is_paused(form.key)):
                return (yield from self._response_or("resumed", paused))
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
        """Store the form's text and schema, replacing those of an earlier attempt.

        The form is required for a response, so this retries while Prefect's server is unreachable.
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
        """Pause the flow run as soon as it has no other pending request.

        Returns:
            Whether the flow run is paused. False if it was paused with this form before and has
            been resumed.
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
        """Return whether the flow run is still paused with this form."""
        try:
            flow_run: FlowRun = yield self._call("read_flow_run")
        except TransportError:
            return True  # Prefect's server is unreachable; poll again
        if self._is_finished(flow_run):
            yield from self._abandon()
        state = flow_run.state
        assert state is not None
        return state.is_paused() and state.state_details.pause_key == key

    def _end(self, state: State[Any], reason: Literal["closed", "timed_out"]) -> Procedure:
        """Set the flow run to Running and end the pause."""
        yield self._call("set_flow_run_state", Running())
        flow_run: FlowRun = yield self._call("read_flow_run")
        if self._is_finished(flow_run):
            yield from self._abandon()
        if reason == "closed":
            raise NoResponseError(reason)
        return (
            yield from self._response_or(reason, state)
        )  # a response may have arrived meanwhile

    def _response_or(self, reason: Literal["timed_out", "resumed"], state: State[Any]) -> Procedure:
        response = yield from self._read_response(state)
        if response is None:
            raise NoResponseError(reason)
        return response

    def _read_response(self, state: State[Any]) -> Procedure:
        keys = state.state_details.run_input_keyset
        assert keys is not None
        found = yield from self._inputs(keys["response"])
        return found[0] if found else None

    def store(self, kind: str, key: str, value: JSON) -> Procedure:
        """Store a value with the flow run, for `stored` in a later process."""
        try:
            yield self._call("create_flow_run_input", f"{kind}-{key}", json.dumps(value))
        except HTTPStatusError as error:
            if error.response.status_code != HTTP_CONFLICT:  # an earlier attempt has stored it
                raise

    def stored(self, kind: str) -> Procedure:
        """Return the values of a kind that were stored with the flow run, oldest first."""
        return (yield from self._inputs(f"{kind}-"))

    def _inputs(self, prefix: str) -> Procedure:
        found = yield self._call(
            "filter_flow_run_input", key_prefix=prefix, limit=MAX_INPUTS, exclude_keys=set()
        )
        return [item.decoded_value for item in found]

    def _keep_retries(self) -> Procedure:
        """Prevent Prefect from counting the end of the pause as a retry of the flow.

        Prefect has a flag for that (``resuming``), but sets it after it has counted the retry.
        """
        if self.mode == "suspend":
            return
        flow_run: FlowRun = yield self._call("read_flow_run")
        if flow_run.empirical_policy.retries:
            policy = flow_run.empirical_policy.model_copy(update={"resuming": True})
            yield self._call("update_flow_run", empirical_policy=policy)

    def _is_finished(self, flow_run: FlowRun) -> bool:
        """Return whether the flow run was cancelled or finished from outside."""
        state = flow_run.state
        if state is not None and state.is_cancelling():
            return not flow_run.deployment_id  # a deployment's runner ends this process itself
        return state is None or state.is_final()

    def _abandon(self) -> Procedure:
        """Raise in a flow run that was cancelled while it was paused."""
        message = "The flow run was cancelled while it waited for a response."
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
