"""The TaskFlow decorator ``@task.mastra`` for a function that returns a workflow's input."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import (
    DecoratedOperator,
    determine_kwargs,
    task_decorator_factory,
)

from airflow_provider_mastra.operators.workflow import MastraRunWorkflowOperator
from airflow_provider_mastra.utils._identity import current
from mastra_workflows.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow.providers.common.compat.sdk import Context, TaskDecorator

    from mastra_workflows import JSON


class MastraDecoratedOperator(DecoratedOperator, MastraRunWorkflowOperator):
    """Run a workflow with the input that a function returns.

    Each try calls the function before it starts the run or attaches to it. Airflow renders no
    templates in the returned value.

    Args:
        python_callable: the decorated function. It receives the arguments of its call, and the
            context variables that its parameters name.
        **kwargs: all arguments of `MastraRunWorkflowOperator`, except ``input_data``.

    Raises:
        ConfigurationError: ``input_data`` is given, or the function is asynchronous.
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
        """Call the function, and run the workflow with the returned value."""
        arguments = determine_kwargs(
            self.python_callable, self.op_args, {**context, **self.op_kwargs}
        )
        try:
            self.input_data = self.python_callable(*self.op_args, **arguments)
        except BaseException:
            self._warn_of_earlier_run(context)
            raise
        self.overwrite_rtif_after_execution = True  # Airflow shows the input as a rendered field.
        return super().execute(context)

    def _warn_of_earlier_run(self, context: Context) -> None:
        """Log that the run of an earlier try may continue, if the function fails in a later one."""
        if (before := current(context)) is not None:
            self.log.warning(
                "The function failed. Run %r of workflow %r, which an earlier try may have "
                "started, may still be running; a retry attaches to it.",
                before.run_id,
                self.workflow_id,
            )


def mastra_task(
    python_callable: Callable[..., JSON] | None = None,
    multiple_outputs: bool | None = None,
    **kwargs: Any,
) -> TaskDecorator:
    """Create a task from a function that returns a workflow's input.

    Args:
        python_callable: the function.
        multiple_outputs: whether to push each key of the workflow's result as a separate XCom, too.
            The function's annotations do not affect this.
        **kwargs: all arguments of `MastraRunWorkflowOperator`, except ``input_data``.
    """
    return task_decorator_factory(
        python_callable=python_callable,
        multiple_outputs=bool(multiple_outputs),
        decorated_operator_class=MastraDecoratedOperator,
        **kwargs,
    )
