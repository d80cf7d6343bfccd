"""Derive run ids that are the same in every attempt at the same work.

Prefect has no stable identifier for a call. The id of a task run survives retries of the task but
changes when the flow is retried, as does the id of a subflow run. The dynamic key of a task run is
random. Only the id of the outermost flow run in the process is stable. (A deployment started with
`run_deployment` is a separate flow run.) A call is therefore identified by

- the outermost flow run, or the task run if there is no flow;
- its work: the workflow and the arguments that start it;
- its position among the calls with equal work, in call order. The order of concurrent calls may
  differ between attempts, but calls that are counted together have the same work, so either call
  may use either run.

A caller's key replaces the work and the position, for input that differs in each attempt.
"""

from __future__ import annotations

import hashlib
import json
import threading
import uuid
import weakref
from collections import Counter
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from prefect.context import FlowRunContext, TaskRunContext

from mastra_workflows import OnOtherInput
from mastra_workflows.errors import ConfigurationError, InvalidDataError
from mastra_workflows.integration import StartArguments, StartOptions, derive_run_id

Context = FlowRunContext | TaskRunContext
"""One attempt of a flow run or of a task run; Prefect makes a new one for each retry."""

C = TypeVar("C", FlowRunContext, TaskRunContext)


@dataclass(slots=True)
class _Calls:
    """The calls made in one attempt of a flow or task run.

    Attributes:
        counts: the number of calls, by work.
        places: the positions assigned to calls made in nested runs. A retried nested run gets the
            same positions again.
        keys: the work that each caller's key was used for.
    """

    counts: Counter[str] = field(default_factory=Counter)
    places: dict[Hashable, int] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)

    def count(self, what: str) -> int:
        self.counts[what] += 1
        return self.counts[what] - 1

    def place(self, run: Hashable, what: str, number: int) -> int:
        """Return the position in this run of the ``number``-th such call of a nested run."""
        known = (run, what, number)
        if known not in self.places:
            self.places[known] = self.count(what)
        return self.places[known]


_lock = threading.RLock()
_calls: dict[int, _Calls] = {}


def run_id_for_call(workflow_id: str, arguments: StartArguments, key: str | None = None) -> str:
    """Derive the id of the run that this call starts, or started in an earlier attempt.

    Call this once per run: two calls for the same work are two runs.

    Args:
        workflow_id: the workflow's registry key.
        arguments: the arguments that start the run.
        key: the caller's name for this call, unique in the flow run including its subflows.

    Returns:
        A derived run id, or a random one outside flows and tasks.

    Raises:
        InvalidDataError: the arguments are not valid JSON.
        ConfigurationError: the key is already used for other work; or a key is missing in a task
            that runs in another process than its flow.
    """
    work = _digest(workflow_id, arguments)
    contexts = list(enclosing_runs())
    if not contexts:
        return str(uuid.uuid4())
    outermost = contexts[-1]
    if key is not None:
        _claim(contexts, key, work)
        return derive_run_id(_name(outermost), workflow_id, key, identity=[_id(outermost)])
    if isinstance(outermost, FlowRunContext) and outermost.detached:
        raise ConfigurationError(
            "This task runs in another process than its flow (as with a process pool, Dask or "
            "Ray), where calls with equal input are indistinguishable. Pass a unique key to each "
            "call of the flow run: key=..., or a list of keys in .map()."
        )
    identity = [_id(outermost), work, _place(contexts, work)]
    return derive_run_id(_name(outermost), workflow_id, identity=identity)


def is_retry() -> bool:
    """Return whether the task, or a flow around it, is being retried."""
    return any(
        context.task_run.run_count > 1
        if isinstance(context, TaskRunContext)
        else context.flow_run is not None and context.flow_run.run_count > 1
        for context in enclosing_runs()
    )


def is_resumed() -> bool:
    """Return whether a flow run executes again from its top after a suspension.

    That is not a retry. Prefect keeps the pause keys of an attempt and clears them on a retry.
    """
    return any(
        isinstance(context, FlowRunContext)
        and context.flow_run is not None
        and bool(context.flow_run.empirical_policy.pause_keys)
        for context in enclosing_runs()
    )


def on_other_input(run_id: str | None) -> OnOtherInput:
    """Choose the reaction to an existing run that was started with different input.

    With an explicit ``run_id``, or in a first attempt, such a run belongs to other work. A later
    attempt attaches to it: a call with a ``key`` may have different input in each attempt.
    """
    is_later_try = is_retry() or is_resumed()
    return "attach" if run_id is None and is_later_try else "fail"


def _digest(workflow_id: str, arguments: StartArguments) -> str:
    try:
        text = json.dumps(
            [workflow_id, StartOptions(**arguments).body()], sort_keys=True, allow_nan=False
        )
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidDataError(f"The data is not valid JSON: {error}. Nothing was sent.") from error
    return hashlib.sha256(text.encode()).hexdigest()


def enclosing_runs() -> Iterator[Context]:
    """Iterate the flow and task runs around this call, from the innermost to the outermost."""
    tasks = list(_nested(TaskRunContext.get()))
    for flow in _nested(FlowRunContext.get()):
        if flow.flow_run is None:
            continue
        while tasks and tasks[0].task_run.flow_run_id == flow.flow_run.id:
            yield tasks.pop(0)
        yield flow
    yield from tasks


def _nested(context: C | None) -> Iterator[C]:
    while context is not None:
        yield context
        # A subflow's context replaces its parent's, which is only reachable through the token.
        covered = getattr(context._token, "old_value", None)
        context = covered if isinstance(covered, type(context)) else None


def _place(contexts: list[Context], what: str) -> int:
    """Count this call in each enclosing run and return its position in the outermost one."""
    with _lock:
        innermost, *outer = contexts
        number = _calls_in(innermost).count(what)
        for inside, context in zip(contexts, outer, strict=False):
            number = _calls_in(context).place(_id(inside), what, number)
        return number


def _claim(contexts: list[Context], key: str, work: str) -> None:
    """Reject a key that another call of this flow run uses for other work.

    A retry of the same call may use its key for other work.
    """
    with _lock:
        first = _place(contexts, f"key {key}") == 0
        keys = _calls_in(contexts[-1]).keys
        if first:
            keys[key] = work
        elif keys[key] != work:
            raise ConfigurationError(
                f"The key {key!r} is already used for another workflow or input in this flow run. "
                "Pass a unique key to each call."
            )


def _calls_in(context: Context) -> _Calls:
    number = id(context)
    if number not in _calls:
        _calls[number] = _Calls()
        weakref.finalize(context, _calls.pop, number, None)
    return _calls[number]


def _id(context: Context) -> str:
    if isinstance(context, TaskRunContext):
        return str(context.task_run.id)
    assert context.flow_run is not None
    return str(context.flow_run.id)


def _name(context: Context) -> str:
    if isinstance(context, TaskRunContext):
        return context.task.name
    return context.flow.name if context.flow is not None else "flow"
