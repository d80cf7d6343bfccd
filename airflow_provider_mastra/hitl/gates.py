"""Gates in one line: tasks for the questions that one task cannot ask, having but one form.

For questions one after the other, such as the rounds of a loop::

    write = MastraRunWorkflowOperator(task_id="write", …, on_suspend="return")
    text = ask_in_turn(write, most=5)

For questions at once, such as those of parallel branches or of the items of a ``foreach``::

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
from mastra_workflows.hitl import questions
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
    """Gates for whatever a run asks, one question after the other.

    A gate that has nothing to ask passes the run through. If the last one has answered its question
    and the run asks one more, that gate fails and says so, and the run waits.

    Args:
        run: the task whose run asks, with ``on_suspend="return"`` (or ``"ask"``, where it asks the
            first question itself).
        most: how many gates there are, and so how many questions.
        group_id: the name of the task group that they are in; None for one made of the task's.
        **options: as for `MastraHITLOperator`; by default those about the connection and
            about ``deferrable`` are the task's.

    Returns:
        The last gate.

    Raises:
        ConfigurationError: the task fails at a suspension, or waits through it; or ``most`` is
            less than 1.
    """
    if most < 1:
        raise ConfigurationError(f"most is {most}; it must be at least 1.")
    arguments = _arguments(run, options)
    with TaskGroup(group_id=group_id or _group_of(run)):
        gates = [
            MastraHITLOperator(task_id=f"question_{number}", **arguments)
            for number in range(1, most + 1)
        ]
    for earlier, later in zip([run, *gates], gates, strict=False):
        earlier >> later
    return gates[-1]


def ask_each(
    run: MastraHITLBaseOperator, *, group_id: str | None = None, **options: Unpack[GateArguments]
) -> MastraHITLOperator:
    """Gates for all that a run asks at once: a mapped one with a form for each, then one for all.

    The last one waits for the run after those; if it asks anything then, that gate asks it.

    Args:
        run: the task whose run asks, with ``on_suspend="return"``.
        group_id: the name of the task group that they are in; None for one made of the task's.
        **options: as for `ask_in_turn`.

    Returns:
        The last gate.

    Raises:
        ConfigurationError: as `ask_in_turn`.
    """
    arguments = _arguments(run, options)
    which: Any = task(task_id="list_questions")(list_questions)
    with TaskGroup(group_id=group_id or _group_of(run)):
        listed = which(
            **{key: arguments[key] for key in ("workflow_id", "run_id", "mastra_conn_id")}
        )
        each = MastraHITLOperator.partial(
            task_id="question", map_index_template="{{ task.place }}", **arguments
        ).expand_kwargs(listed)
        last = MastraHITLOperator(task_id="outcome", trigger_rule="none_failed", **arguments)
        each >> last
    return last


def list_questions(workflow_id: str, run_id: str, mastra_conn_id: str) -> list[dict[str, str]]:
    """List what a run asks now, as arguments of a `MastraHITLOperator` for each question.

    Airflow renders what ``expand_kwargs`` takes from an XCom as templates. So a question is named
    by its key, of ``a-z``, ``0-9`` and ``-``; no text of the server is among the arguments.

    A server before 1.26 gives an answer to every item of a ``foreach`` that waits; there its items
    are one question.

    Args:
        workflow_id: the workflow's registry key.
        run_id: the run.
        mastra_conn_id: the connection to the server.
    """
    with MastraHook(mastra_conn_id) as hook:
        client = hook.get_conn()
        asked = questions(client.get_workflow(workflow_id).get_run(run_id).read())
        if not client.supports_for_each_index():
            asked = tuple(first_of_each_step(asked))
    return [{"question_key": question.key} for question in asked]


def _arguments(run: MastraHITLBaseOperator, options: GateArguments) -> dict[str, Any]:
    if not run.asks and run.wait_arguments["on_suspend"] != "return":
        raise ConfigurationError(
            f"The task {run.task_id!r} gives no question on to a gate: set its on_suspend to "
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
    return f"{run.task_id.rpartition('.')[2]}_questions"
