"""Which run a call means: run ids that are the same in every try of the same work.

Prefect gives a call no name that lasts. A task run's id stays the same in retries of the task, but
it is a new one in a retry of the flow, and so is the id of a subflow's run; the dynamic key of a
task run is random. What lasts is the id of the outermost flow run of the process (a deployment that
a flow runs by `run_deployment` is a flow run of its own). So a call is known by

- the outermost flow run, or the task run where there is no flow;
- its work: the workflow and what it is started with;
- its place among the calls with equal work, counted in the order in which they come. Which of two
  concurrent calls is first may differ from try to try, but calls that are counted together ask for
  the same work, so either may have either run.

A caller's key stands for the work and the place: for input that is a new one in every try.
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
    """What was called in one attempt of a run.

    Attributes:
        counts: how many calls there were, by what is called.
        places: which of them a call of a run inside this one is. A run that is retried gets its
            places again.
        keys: what the callers' keys were used for.
    """

    counts: Counter[str] = field(default_factory=Counter)
    places: dict[Hashable, int] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)

    def count(self, what: str) -> int:
        self.counts[what] += 1
        return self.counts[what] - 1

    def place(self, run: Hashable, what: str, number: int) -> int:
        """The place here of a call that has a number within a run inside this one."""
        known = (run, what, number)
        if known not in self.places:
            self.places[known] = self.count(what)
        return self.places[known]


_lock = threading.RLock()
_calls: dict[int, _Calls] = {}


def run_id_for_call(workflow_id: str, arguments: StartArguments, key: str | None = None) -> str:
    """The id of the run that this call is to start, or has started in an earlier try.

    Ask once for each run: two calls for the same work are two runs.

    Args:
        workflow_id: the workflow.
        arguments: what it is started with.
        key: the caller's name for this call, unique in the flow run, its subflows included.

    Returns:
        A run id; a random one outside of every flow and task.

    Raises:
        InvalidDataError: what the run is to start with is no JSON.
        ConfigurationError: the key means something else already; or there is none where one is
            needed, in a task that runs in another process than its flow.
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
            "Ray), where calls with equal input cannot be told apart. Give each call of the flow "
            "run a key of its own: key=..., or a list of keys in .map()."
        )
    identity = [_id(outermost), work, _place(contexts, work)]
    return derive_run_id(_name(outermost), workflow_id, identity=identity)


def is_retry() -> bool:
    """Whether this is a try after another one, of the task or of a flow around it."""
    return any(
        context.task_run.run_count > 1
        if isinstance(context, TaskRunContext)
        else context.flow_run is not None and context.flow_run.run_count > 1
        for context in enclosing_runs()
    )


def is_resumed() -> bool:
    """Whether a flow run goes on from its top after it was suspended, which is no new try of it.

    Prefect keeps the pauses of a try, and forgets them when the flow run is tried again.
    """
    return any(
        isinstance(context, FlowRunContext)
        and context.flow_run is not None
        and bool(context.flow_run.empirical_policy.pause_keys)
        for context in enclosing_runs()
    )


def on_other_input(run_id: str | None) -> OnOtherInput:
    """What it means that the run which is found was started with other input.

    With an id of the caller's own it is another's run. With a derived id it is that only in a first
    try: a call with a ``key`` may have other input in each try.
    """
    is_later_try = is_retry() or is_resumed()
    return "attach" if run_id is None and is_later_try else "fail"


def _digest(workflow_id: str, arguments: StartArguments) -> str:
    try:
        text = json.dumps(
            [workflow_id, StartOptions(**arguments).body()], sort_keys=True, allow_nan=False
        )
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidDataError(f"The data is no JSON: {error}. Nothing was sent.") from error
    return hashlib.sha256(text.encode()).hexdigest()


def enclosing_runs() -> Iterator[Context]:
    """The runs around this call, from the innermost to the outermost."""
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
        # A subflow's context covers its parent's, which only the token still knows.
        covered = getattr(context._token, "old_value", None)
        context = covered if isinstance(covered, type(context)) else None


def _place(contexts: list[Context], what: str) -> int:
    """Which of the calls of this in the outermost run the present one is."""
    with _lock:
        innermost, *outer = contexts
        number = _calls_in(innermost).count(what)
        for inside, context in zip(contexts, outer, strict=False):
            number = _calls_in(context).place(_id(inside), what, number)
        return number


def _claim(contexts: list[Context], key: str, work: str) -> None:
    """Refuse a key that another call of this flow run uses for other work.

    The same call may use it for other work when it is tried again.
    """
    with _lock:
        first = _place(contexts, f"key {key}") == 0
        keys = _calls_in(contexts[-1]).keys
        if first:
            keys[key] = work
        elif keys[key] != work:
            raise ConfigurationError(
                f"The key {key!r} stands for another workflow or another input in this flow run "
                "already. Each call needs a key of its own."
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
