"""Orders and cycles of what depends on one another."""

from __future__ import annotations

from collections.abc import Collection, Mapping


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
    waits = {name: len(above) for name, above in parents.items()}
    children: dict[str, list[str]] = {}
    for name, above in parents.items():
        for parent in above:
            children.setdefault(parent, []).append(name)
    found = [name for name, count in waits.items() if count == 0]
    for name in found:
        for child in children.get(name, ()):
            waits[child] -= 1
            if waits[child] == 0:
                found.append(child)
    return found
