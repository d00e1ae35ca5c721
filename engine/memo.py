"""Outputs remembered across nodes and workflows of one engine (Argo's `memoize`, with memory for its ConfigMap)."""

from __future__ import annotations

from engine.node import Node
from engine.variables import parse_time
from rpc.durations import parse_duration

Key = tuple[str, str]
"""The cache's name and the key in it."""


class Memos:
    """Finished nodes by the key under which their template asked to be remembered."""

    def __init__(self) -> None:
        self._nodes: dict[Key, Node] = {}

    def save(self, key: Key, node: Node) -> None:
        """Remember a node that succeeded."""
        self._nodes[key] = node

    def find(self, key: Key, max_age: str | None, now: float) -> Node | None:
        """The node remembered under `key`, unless it finished more than `max_age` (Go notation) before `now`.

        Raises `ValueError` where `max_age` is no duration.
        """
        node = self._nodes.get(key)
        if node is None or not max_age:
            return node
        age = now - parse_time(node.finished_at).timestamp() if node.finished_at else 0.0
        return node if age <= parse_duration(str(max_age)) else None
