"""The TaskFlow decorator ``@task.mastra``: a function returns the input of a workflow."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import (
    DecoratedOperator,
    determine_kwargs,
    task_decorator_factory,
)

from airflow_provider_mastra.operators.workflow import MastraRunWorkflowOperator
from mastra_workflows.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow.providers.common.compat.sdk import Context, TaskDecorator

    from mastra_workflows import JSON


class MastraDecoratedOperator(DecoratedOperator, MastraRunWorkflowOperator):
    """Runs a workflow with the input that a function returns.

    Each try calls the function before it starts the run or attaches to it. The returned value is
    data: Airflow renders no template in it.

    Args:
        python_callable: the decorated function. It gets the arguments of its call, and what it
            names of the task's context.
        **kwargs: as those of `MastraRunWorkflowOperator`, without ``input_data``.

    Raises:
        ConfigurationError: ``input_data`` is given too, or the function is asynchronous.
    """

    template_fields: Sequence[str] = (
        *DecoratedOperator.template_fields,
        *(name for name in MastraRunWorkflowOperator.template_fields if name != "input_data"),
        "input_data",
    )
    template_fields_renderers = {  # noqa: RUF012 - as BaseOperator has it
        **DecoratedOperator.template_fields_renderers,
        **MastraRunWorkflowOperator.template_fields_renderers,
    }
    custom_operator_name: ClassVar[str] = "@task.mastra"
    overwrite_rtif_after_execution = False

    def __init__(self, *, python_callable: Callable[..., JSON], **kwargs: Any) -> None:
        if "input_data" in kwargs:
            raise ConfigurationError(
                "@task.mastra takes no input_data: the function returns the input."
            )
        if inspect.iscoroutinefunction(python_callable):
            raise ConfigurationError(
                f"@task.mastra: expected a synchronous function, got {python_callable.__name__!r}."
            )
        super().__init__(python_callable=python_callable, **kwargs)

    def execute(self, context: Context) -> Any:
        """Call the function, and run the workflow with what it returns."""
        arguments = determine_kwargs(
            self.python_callable, self.op_args, {**context, **self.op_kwargs}
        )
        self.input_data = self.python_callable(*self.op_args, **arguments)
        self.overwrite_rtif_after_execution = True  # Airflow shows the input as a rendered field.
        return super().execute(context)


def mastra_task(
    python_callable: Callable[..., JSON] | None = None,
    multiple_outputs: bool | None = None,
    **kwargs: Any,
) -> TaskDecorator:
    """Make a task of a function that returns the input of a workflow.

    Args:
        python_callable: the function.
        multiple_outputs: whether each key of the workflow's result is an XCom of its own too. The
            function's annotations say nothing about that.
        **kwargs: as those of `MastraRunWorkflowOperator`, without ``input_data``.
    """
    return task_decorator_factory(
        python_callable=python_callable,
        multiple_outputs=bool(multiple_outputs),
        decorated_operator_class=MastraDecoratedOperator,
        **kwargs,
    )
