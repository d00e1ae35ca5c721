"""The variables that tags may name: layers of ``name -> value``, the nearest layer first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


class Scope(dict[str, Any]):
    """A dict that falls back to its parent. Hits in the nearest layer cost what a dict costs.

    Keys are Argo's variable names in full (``inputs.parameters.message``, ``steps.a.outputs.result``); values are
    strings, but for ``item``, which may be any JSON value. `collections.ChainMap` does the same at ten times the cost.
    ``now`` is the time that expressions read, in seconds since the epoch; it is that of the outermost layer.
    """

    __slots__ = ("now", "parent")

    def __init__(self, parent: Scope | None = None, values: Mapping[str, Any] | None = None) -> None:
        if values:
            super().__init__(values)
        self.parent = parent
        if parent is None:
            self.now = 0.0

    def __missing__(self, key: str) -> Any:
        if self.parent is None:
            raise KeyError(key)
        return self.parent[key]

    def clock(self) -> float:
        """What time it is, in seconds since the epoch: the same throughout a pass, and in the one that resumes it."""
        scope = self
        while scope.parent is not None:
            scope = scope.parent
        return scope.now

    def get(self, key: str, default: Any = None) -> Any:
        try:
            return self[key]
        except KeyError:
            return default

    def __contains__(self, key: object) -> bool:
        return super().__contains__(key) or (self.parent is not None and key in self.parent)

    def __iter__(self) -> Iterator[str]:
        return iter(self.flatten())

    def flatten(self) -> dict[str, Any]:
        """All layers as one plain dict, the nearest winning."""
        below = self.parent.flatten() if self.parent is not None else {}
        return {**below, **{key: super(Scope, self).__getitem__(key) for key in super().__iter__()}}
