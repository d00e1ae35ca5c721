"""Outputs remembered across nodes and workflows of one engine (Argo's `memoize`, with memory for its ConfigMap)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from engine.node import Node
from engine.variables import parse_time
from rpc.durations import parse_duration

# What a key of a ConfigMap may be made of (Argo's cache/configmap_cache.go).
_KEY: Final = re.compile(r"[a-zA-Z0-9][-a-zA-Z0-9]*")


class MemoError(ValueError):
    """A `memoize` that cannot be; the message is the node's."""


class Key(NamedTuple):
    """The cache's name and the key in it."""

    cache: str
    key: str


def memo_request(memoize: Mapping[str, Any]) -> tuple[Key, float | None]:
    """What a `memoize` asks for: the key, and how many seconds old it may be. Raises `MemoError`."""
    cache = ((memoize.get("cache") or {}).get("configMap") or {}).get("name") or ""
    key = str(memoize.get("key") or "")
    if not _KEY.fullmatch(key):
        raise MemoError(f"invalid cache key {key!r}")
    if not memoize.get("maxAge"):
        return Key(cache, key), None
    try:
        return Key(cache, key), parse_duration(str(memoize["maxAge"]))
    except ValueError as error:
        raise MemoError(f"invalid memoize.maxAge: {error}") from error


class Memos:
    """Finished nodes by the key under which their template asked to be remembered."""

    def __init__(self) -> None:
        self._nodes: dict[Key, Node] = {}

    def save(self, key: Key, node: Node) -> None:
        """Remember a node that succeeded."""
        self._nodes[key] = node

    def find(self, key: Key, longest: float | None, now: float) -> Node | None:
        """The node remembered under `key`, unless it finished more than `longest` seconds before `now`."""
        node = self._nodes.get(key)
        if node is None or longest is None:
            return node
        age = now - parse_time(node.finished_at).timestamp() if node.finished_at else 0.0
        return node if age <= longest else None
