"""Orders and cycles of what depends on one another."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from graphlib import TopologicalSorter


def find_cycle(parents: Mapping[str, Collection[str]]) -> list[str]:
    """A way from a name back to it, along what each depends on; empty where there is none."""
    done: set[str] = set()
    for start in parents:
        path: list[str] = []
        on_path: set[str] = set()
        stack: list[tuple[str, bool]] = [(start, False)]
        while stack:
            name, leaving = stack.pop()
            if leaving:
                on_path.discard(path.pop())
                done.add(name)
            elif name in on_path:
                return [*path[path.index(name) :], name]
            elif name not in done:
                path.append(name)
                on_path.add(name)
                stack.append((name, True))
                stack.extend((parent, False) for parent in parents.get(name, ()))
    return []


def ordered(parents: Mapping[str, Collection[str]]) -> list[str]:
    """All names, each behind those it depends on, else as they come; there must be no cycle."""
    sorter = TopologicalSorter(dict.fromkeys(parents, ()))  # first of all the names, in the order in which they come
    for name, above in parents.items():
        sorter.add(name, *above)
    return list(sorter.static_order())
