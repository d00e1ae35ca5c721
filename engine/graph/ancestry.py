"""Who stands before whom in a DAG, without a search for each question."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

_KEPT: Final = 64
"""Of how many tasks it is remembered who comes after them."""


class Ancestry:
    """Ancestors of tasks, `parents` being what each task directly depends on."""

    def __init__(self, parents: Mapping[str, Iterable[str]]) -> None:
        self._parents = parents
        self._children: dict[str, list[str]] = {}
        for name, above in parents.items():
            for parent in above:
                self._children.setdefault(parent, []).append(name)
        self._after: dict[str, set[str]] = {}

    def is_ancestor(self, ancestor: str, name: str) -> bool:
        """Whether `name` depends on `ancestor`, near or far. Most ask for a parent, many for one and the same root."""
        return ancestor in self._parents[name] or name in self._descendants(ancestor)

    def _descendants(self, name: str) -> set[str]:
        found = self._after.get(name)
        if found is None:
            found = set()
            stack = [name]
            while stack:
                for child in self._children.get(stack.pop(), ()):
                    if child not in found:
                        found.add(child)
                        stack.append(child)
            if len(self._after) >= _KEPT:
                del self._after[next(iter(self._after))]
            self._after[name] = found
        return found
