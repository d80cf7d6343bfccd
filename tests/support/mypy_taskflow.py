"""A mypy plugin for DAG files, since Airflow's types do not express TaskFlow's behaviour.

At run time, an `XComArg` (the output of a task) stands for its value: it can be indexed and passed
to a `@task` function. Arguments that the context provides (`params`, `ti`) are omitted in calls.
"""

from __future__ import annotations

from collections.abc import Callable

from mypy.nodes import ARG_NAMED, ARG_NAMED_OPT, ARG_OPT, ARG_POS, ArgKind
from mypy.plugin import AttributeContext, Plugin
from mypy.types import AnyType, CallableType, Type, TypeOfAny, get_proper_type

OUTPUTS = {
    "airflow.sdk.bases.operator.BaseOperator.output",
    "airflow.sdk.definitions.mappedoperator.MappedOperator.output",
}
CALL = "airflow.sdk.bases.decorator.Task.__call__"
OPTIONAL: dict[ArgKind, ArgKind] = {ARG_POS: ARG_OPT, ARG_NAMED: ARG_NAMED_OPT}


def _any(context: AttributeContext) -> Type:
    return AnyType(TypeOfAny.explicit)


def _call(context: AttributeContext) -> Type:
    """Return the function's signature, with every argument optional and of type Any."""
    function = get_proper_type(context.default_attr_type)
    if not isinstance(function, CallableType):
        return context.default_attr_type
    value = AnyType(TypeOfAny.explicit)
    return function.copy_modified(
        arg_types=[value] * len(function.arg_types),
        arg_kinds=[OPTIONAL.get(kind, kind) for kind in function.arg_kinds],
        ret_type=value,
    )


class TaskFlowPlugin(Plugin):
    """The plugin: types calls of `@task` functions, and the outputs of operators."""

    def get_attribute_hook(self, fullname: str) -> Callable[[AttributeContext], Type] | None:
        """Return the hook for an attribute of TaskFlow; None for other attributes."""
        if fullname in OUTPUTS:
            return _any
        return _call if fullname == CALL else None


def plugin(version: str) -> type[Plugin]:
    """Return the plugin class. The entry point for mypy."""
    return TaskFlowPlugin
