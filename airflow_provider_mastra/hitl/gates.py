"""Factories for gates: tasks for the requests that exceed the one form of a task.

For consecutive requests, such as the rounds of a loop::

    write = MastraRunWorkflowOperator(task_id="write", …, on_suspend="return")
    text = ask_in_turn(write, most=5)

For simultaneous requests, such as those of parallel branches or of the items of a ``foreach``::

    review = MastraRunWorkflowOperator(task_id="review", …, on_suspend="return")
    opinions = ask_each(review)

Both return the last gate, whose ``output`` is the workflow's result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack, cast

from airflow.sdk import TaskGroup, task

from airflow_provider_mastra.hooks.mastra import MastraHook
from airflow_provider_mastra.operators.hitl import MastraHITLOperator
from mastra_workflows.errors import ConfigurationError
from mastra_workflows.hitl import pending_requests
from mastra_workflows.integration import first_of_each_step

if TYPE_CHECKING:
    from airflow_provider_mastra.operators._hitl import MastraHITLBaseOperator
    from airflow_provider_mastra.operators.hitl import GateArguments


def ask_in_turn(
    run: MastraHITLBaseOperator,
    *,
    most: int = 5,
    group_id: str | None = None,
    **options: Unpack[GateArguments],
) -> MastraHITLOperator:
    """Create gates for consecutive requests of a run.

    A gate without a pending request passes the run through. If the run has another request after
    the last gate, that gate fails with an explanation, and the run stays suspended.

    Args:
        run: the task that starts the run, with ``on_suspend="return"`` (or ``"ask"`` to handle the
            first request itself).
        most: the number of gates, which is the maximum number of requests.
        group_id: the id of the gates' task group; None to derive it from the task's id.
        **options: arguments of `MastraHITLOperator`. The connection and the options for
            ``deferrable`` default to those of the task.

    Returns:
        The last gate.

    Raises:
        ConfigurationError: ``on_suspend`` of the task is ``"fail"`` or ``"wait"``, or ``most`` is
            less than 1.
    """
    if most < 1:
        raise ConfigurationError(f"most is {most}; it must be at least 1.")
    arguments = _arguments(run, options)
    with TaskGroup(group_id=group_id or _group_of(run)):
        gates = [
            MastraHITLOperator(task_id=f"request_{number}", **arguments)
            for number in range(1, most + 1)
        ]
    for earlier, later in zip([run, *gates], gates, strict=False):
        earlier >> later
    return gates[-1]


def ask_each(
    run: MastraHITLBaseOperator, *, group_id: str | None = None, **options: Unpack[GateArguments]
) -> MastraHITLOperator:
    """Create a mapped gate for simultaneous requests of a run, and a last gate for the rest.

    The last gate waits for the run after the mapped ones. If the run has another request then, the
    last gate handles it.

    Args:
        run: the task that starts the run, with ``on_suspend="return"``.
        group_id: the id of the gates' task group; None to derive it from the task's id.
        **options: as for `ask_in_turn`.

    Returns:
        The last gate.

    Raises:
        ConfigurationError: as `ask_in_turn`.
    """
    arguments = _arguments(run, options)
    which: Any = task(task_id="list_pending_requests")(list_pending_requests)
    with TaskGroup(group_id=group_id or _group_of(run)):
        listed = which(
            workflow_id=arguments["workflow_id"],
            workflow_run_id=arguments["run_id"],
            mastra_conn_id=arguments["mastra_conn_id"],
        )
        each = MastraHITLOperator.partial(
            task_id="request", map_index_template="{{ task.place }}", **arguments
        ).expand_kwargs(listed)
        last = MastraHITLOperator(task_id="outcome", trigger_rule="none_failed", **arguments)
        each >> last
    return last


def list_pending_requests(
    workflow_id: str, workflow_run_id: str, mastra_conn_id: str
) -> list[dict[str, str]]:
    """List a run's pending requests, each as arguments of a `MastraHITLOperator`.

    Airflow renders the values that ``expand_kwargs`` takes from an XCom as templates. A request is
    therefore identified by its key, which contains only ``a-z``, ``0-9`` and ``-``, and the
    arguments contain no text from the server.

    A server before 1.26 applies a response to all suspended items of a ``foreach``. For such a
    server, the items are one request.

    Args:
        workflow_id: the workflow's registry key.
        workflow_run_id: the id of the run. Airflow reserves the name ``run_id`` in task functions.
        mastra_conn_id: the id of the Airflow connection to the server.
    """
    with MastraHook(mastra_conn_id) as hook:
        client = hook.get_conn()
        asked = pending_requests(client.get_workflow(workflow_id).get_run(workflow_run_id).read())
        if not client.supports_for_each_index():
            asked = tuple(first_of_each_step(asked))
    return [{"pending_request_key": pending_request.key} for pending_request in asked]


def _arguments(run: MastraHITLBaseOperator, options: GateArguments) -> dict[str, Any]:
    if not run.asks and run.wait_arguments["on_suspend"] != "return":
        raise ConfigurationError(
            f"The task {run.task_id!r} leaves no pending request to a gate: set its on_suspend to "
            '"return".'
        )
    return {
        "workflow_id": run.workflow_id,
        "run_id": cast(Any, run.output)["run_id"],
        "mastra_conn_id": run.mastra_conn_id,
        "deferrable": run.deferrable,
        "defer_after": run.defer_after,
        **options,
    }


def _group_of(run: MastraHITLBaseOperator) -> str:
    return f"{run.task_id.rpartition('.')[2]}_requests"
