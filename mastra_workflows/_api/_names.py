"""Convert the step names in a server's responses to paths.

A record names a step by one text: ``inner.approve`` is the step ``approve`` of the nested workflow
``inner``, or a step whose id contains a dot. The step graph, which is part of the workflow's
definition and of each run, resolves the ambiguity.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from mastra_workflows._models import JSON, StepPath
from mastra_workflows.errors import NotMastraError

MAX_NESTING = 50
"""The maximum depth of nested workflows that a name is resolved through."""

MAX_NAME = 2_000
"""The maximum length of a step's name in characters, including those of the enclosing workflows."""

MAX_NAMES = 5_000_000
"""The maximum total length of the names of one graph, in characters. Each name repeats those of the
enclosing workflows, so a small graph could produce very long names."""


def check_name(name: str) -> str:
    """Check the length of a step's name, since many values repeat the name.

    Raises:
        NotMastraError: the name is too long.
    """
    if len(name) > MAX_NAME:
        raise NotMastraError(
            f"The response names a step by {len(name):,} characters, over the limit of "
            f"{MAX_NAME:,}."
        )
    return name


class StepNames:
    """Resolves step names with a step graph.

    Args:
        graph: ``stepGraph`` or ``serializedStepGraph`` of a response, or any other JSON in its
            place.
    """

    def __init__(self, graph: JSON) -> None:
        found = {".".join(path): (path, holds_steps) for path, holds_steps in _walk(graph)}
        self._paths = {name: path for name, (path, _) in found.items()}
        self._workflows = {name for name, (_, holds_steps) in found.items() if holds_steps}

    def is_known(self, name: str) -> bool:
        """Return whether the graph has a step with this name."""
        return name in self._paths

    def is_workflow(self, name: str) -> bool:
        """Return whether the graph has a nested workflow with this name."""
        return name in self._workflows

    def paths(self, names: Iterable[str]) -> dict[str, StepPath]:
        """Return the paths of steps by their names, in the same order.

        A name that is not in the graph counts as a step of the nested workflow whose name is its
        prefix. Such a workflow is always listed itself, next to its steps.
        """
        names = list(names)
        parents = self._workflows | {name for name in names if name not in self._paths}
        found: dict[str, StepPath] = {}
        for name in sorted(parents | set(names), key=len):  # parents before their steps
            found[name] = self._paths.get(name) or _below_parent(name, parents, found)
        return {name: found[name] for name in names}


def _below_parent(name: str, parents: set[str], found: dict[str, StepPath]) -> StepPath:
    end = len(name) if len(name) <= MAX_NAME else 0
    for _ in range(MAX_NESTING):
        end = name.rfind(".", 0, end)
        if end < 0:
            break
        if (parent := name[:end]) in parents:
            return (*found[parent], name[end + 1 :])
    return (name,)


def _walk(graph: JSON) -> Iterator[tuple[StepPath, bool]]:
    """Yield each step's path, and whether it is a workflow with steps, up to the size limits."""
    left = MAX_NAMES
    waiting: list[tuple[Any, StepPath, int]] = [(graph, (), 0)]
    while waiting:
        node, around, length = waiting.pop()
        if isinstance(node, list):
            waiting.extend((entry, around, length) for entry in reversed(node))
        elif isinstance(node, dict):
            own, inside = node.get("id"), node.get("serializedStepFlow")
            # The steps of a branch, a loop or a foreach are next to it, not inside.
            beside = [(node.get(word), around, length) for word in ("steps", "step")]
            path = around
            if isinstance(own, str):
                length += len(own) + 1
                left -= length
                if left < 0:
                    return
                if length > MAX_NAME:
                    continue
                path = (*around, own)
                yield path, isinstance(inside, list)
            if isinstance(inside, list):
                waiting.append((inside, path, length))
            waiting.extend(beside)


def step_paths(names: Iterable[str], graph: JSON = None) -> list[StepPath]:
    """Convert names such as ``inner.approve`` to paths, with a step graph if there is one."""
    names = list(names)
    paths = StepNames(graph).paths(names)
    return [paths[name] for name in names]
