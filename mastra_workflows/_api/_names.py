"""Steps' names in a server's answers as paths.

A record names steps in one text: ``inner.approve`` is the step ``approve`` of the nested workflow
``inner``, or a step whose own id has a dot in it. The graph of the steps, which comes with the
workflow's definition and with each of its runs, tells them apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from mastra_workflows._models import JSON, StepPath
from mastra_workflows.errors import NotMastraError

MAX_NESTING = 50
"""How many workflows in each other a name is searched for."""

MAX_NAME = 2_000
"""How many characters a step's name may have, those of the workflows around it included."""

MAX_NAMES = 5_000_000
"""How many characters the names of one graph may have together: each repeats those of the workflows
around it, so that a small graph could make long ones."""


def check_name(name: str) -> str:
    """A step's name in an answer, which everything that is said of the step repeats.

    Raises:
        NotMastraError: it is longer than any step's name.
    """
    if len(name) > MAX_NAME:
        raise NotMastraError(
            f"The answer names a step by {len(name):,} characters, over the limit of {MAX_NAME:,}."
        )
    return name


class StepNames:
    """What a graph of steps says about their names.

    Args:
        graph: ``stepGraph`` or ``serializedStepGraph`` of an answer, or whatever is in its place.
    """

    def __init__(self, graph: JSON) -> None:
        found = {".".join(path): (path, holds_steps) for path, holds_steps in _walk(graph)}
        self._paths = {name: path for name, (path, _) in found.items()}
        self._workflows = {name for name, (_, holds_steps) in found.items() if holds_steps}

    def is_known(self, name: str) -> bool:
        """Whether the graph has a step of this name."""
        return name in self._paths

    def is_workflow(self, name: str) -> bool:
        """Whether the graph has a nested workflow of this name."""
        return name in self._workflows

    def paths(self, names: Iterable[str]) -> dict[str, StepPath]:
        """The paths of steps, by their names and in their order.

        What the graph does not know is taken for a step of the nested workflow whose name it begins
        with: such a one is always listed itself, beside the steps that it holds.
        """
        names = list(names)
        parents = self._workflows | {name for name in names if name not in self._paths}
        found: dict[str, StepPath] = {}
        for name in sorted(parents | set(names), key=len):  # parents before what they hold
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
    """Each step's path, and whether it is a workflow that holds steps; as far as the bounds go."""
    left = MAX_NAMES
    waiting: list[tuple[Any, StepPath, int]] = [(graph, (), 0)]
    while waiting:
        node, around, length = waiting.pop()
        if isinstance(node, list):
            waiting.extend((entry, around, length) for entry in reversed(node))
        elif isinstance(node, dict):
            own, inside = node.get("id"), node.get("serializedStepFlow")
            # A branch, a loop or a foreach: its steps are beside it, not inside.
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
    """Names such as ``inner.approve`` as paths, by a graph of the steps where there is one."""
    names = list(names)
    paths = StepNames(graph).paths(names)
    return [paths[name] for name in names]
