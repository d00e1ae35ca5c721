"""``fields``: which parts of an answer a client wants, as ``metadata,items.status.phase``, or not: ``-items.spec``.

As Argo's server has it (util/fields): one minus in front of all of them excludes; lists are passed through.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

Tree = dict[str, Any]
"""Fields by name, each with those below it; an empty one means all of it."""

NODES: Final = ("status", "nodes")


class Fields(NamedTuple):
    """Which fields are meant, and whether they are the ones to leave out."""

    tree: Tree
    excluded: bool = False

    def below(self, *path: str) -> Fields:
        """What that says of a part of the answer."""
        tree = self.tree
        for name in path:
            if not tree:
                break
            if name not in tree:
                return NOTHING if not self.excluded else ALL
            tree = tree[name]
            if not tree and self.excluded:
                return NOTHING
        return Fields(tree, self.excluded and bool(tree))

    @property
    def all(self) -> bool:
        """Whether everything is wanted."""
        return not self.tree

    @property
    def none(self) -> bool:
        """Whether nothing is."""
        return self is NOTHING

    def of(self, value: Any) -> Any:
        """The wanted parts of a document, which stays as it is."""
        if self.all:
            return value
        if isinstance(value, list):
            return [self.of(each) for each in value]
        if not isinstance(value, Mapping):
            return value
        if self.excluded:
            kept = {name: each for name, each in value.items() if self.tree.get(name) != {}}
        else:
            kept = {name: value[name] for name in value if name in self.tree}
        return {name: self.below(name).of(each) for name, each in kept.items()}


ALL: Final = Fields({})
NOTHING: Final = Fields({"": {}})


def fields_of(text: str) -> Fields:
    """What the parameter says; everything where it is empty."""
    excluded = text.startswith("-")
    tree: Tree = {}
    for path in text.split(","):
        branch = tree
        names = [name for name in path.strip().removeprefix("-").split(".") if name]
        for at, name in enumerate(names):
            if name in branch and not branch[name]:
                break  # all of it is meant already
            branch = branch.setdefault(name, {})
            if at == len(names) - 1:
                branch.clear()
    return Fields(tree, excluded and bool(tree))
