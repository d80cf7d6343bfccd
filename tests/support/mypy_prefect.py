"""A mypy plugin for flows: Prefect types a synchronous `Block.load` as maybe a coroutine.

It returns a coroutine only if an asyncio event loop is running, where code calls `Block.aload`.
"""

from __future__ import annotations

from collections.abc import Callable

from mypy.plugin import AttributeContext, Plugin
from mypy.types import CallableType, Instance, Type, UnionType, get_proper_type

LOAD = ".load"
COROUTINE = "typing.Coroutine"


class PrefectPlugin(Plugin):
    """Remove the coroutine from the type of `load` of blocks."""

    def get_class_attribute_hook(self, fullname: str) -> Callable[[AttributeContext], Type] | None:
        """Return the hook for the method of a block, which is a class attribute for mypy."""
        return _synchronous if fullname.endswith(LOAD) else None


def _synchronous(context: AttributeContext) -> Type:
    callee = get_proper_type(context.default_attr_type)
    if not isinstance(callee, CallableType):
        return context.default_attr_type
    returned = get_proper_type(callee.ret_type)
    if not isinstance(returned, UnionType):
        return context.default_attr_type
    kept = [item for item in returned.items if not _is_coroutine(get_proper_type(item))]
    return callee.copy_modified(ret_type=UnionType.make_union(kept))


def _is_coroutine(of: Type) -> bool:
    return isinstance(of, Instance) and of.type.fullname == COROUTINE


def plugin(version: str) -> type[Plugin]:
    """Return the plugin's class."""
    return PrefectPlugin
