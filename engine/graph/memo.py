"""Outputs remembered across nodes and workflows of one engine (Argo's `memoize`, with memory for its ConfigMap)."""

from __future__ import annotations

import heapq
import re
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from engine.substitution.variables import parse_time
from rpc.durations import parse_duration

# What a key of a ConfigMap may be made of (Argo's cache/configmap_cache.go).
_KEY: Final = re.compile(r"[a-zA-Z0-9][-a-zA-Z0-9]*")


MAX_BYTES: Final = 64 * 1024 * 1024
"""Of outputs that are remembered, as JSON; Argo's ConfigMaps hold a mebibyte each."""
_OVERHEAD: Final = 500
"""Bytes that a memo takes besides."""


class MemoError(ValueError):
    """A `memoize` that cannot be; the message is the node's."""


class Key(NamedTuple):
    """The cache's namespace and name, and the key in it."""

    namespace: str
    cache: str
    key: str


def memo_request(memoize: Mapping[str, Any], namespace: str) -> tuple[Key, float | None]:
    """What a `memoize` in a namespace asks for: the key, and how many seconds old it may be. Raises `MemoError`."""
    cache = str(((memoize.get("cache") or {}).get("configMap") or {}).get("name") or "")
    key = str(memoize.get("key") or "")
    if not _KEY.fullmatch(key):
        raise MemoError(f"invalid cache key {key!r}")
    if not memoize.get("maxAge"):
        return Key(namespace, cache, key), None
    try:
        return Key(namespace, cache, key), parse_duration(str(memoize["maxAge"]))
    except ValueError as error:
        raise MemoError(f"invalid memoize.maxAge: {error}") from error


class Memo(NamedTuple):
    """What a node that succeeded left, when, and how many seconds it was to be good for."""

    outputs: dict[str, Any] | None
    finished_at: str | None
    longest: float | None = None

    @property
    def finished(self) -> float:
        """When, in seconds since the epoch."""
        return parse_time(self.finished_at).timestamp() if self.finished_at else 0.0


class Memos:
    """Memos by the key under which a template asked for them, those of all workflows, within `MAX_BYTES`.

    Beyond that the one goes that has been asked for the longest time ago: the workflow that left it is long over. One
    with a `maxAge` goes when it is as old, by the times of those that come after it.
    """

    def __init__(self, limit: int = MAX_BYTES) -> None:
        self._memos: OrderedDict[Key, tuple[Memo, int]] = OrderedDict()
        self._limit = limit
        self._expiring: list[tuple[float, Key]] = []
        """When those expire that do, the first in front."""
        self._size = 0

    def save(self, key: Key, memo: Memo) -> None:
        """Remember what a node left."""
        self._drop(key)
        size = _OVERHEAD + sum(map(len, key)) + len(msgspec.json.encode(memo.outputs))
        self._memos[key] = memo, size
        self._size += size
        while self._size > self._limit:
            self._drop(next(iter(self._memos)))
        if memo.longest is not None:
            heapq.heappush(self._expiring, (memo.finished + memo.longest, key))
        while self._expiring and self._expiring[0][0] < memo.finished:
            expired, key = heapq.heappop(self._expiring)
            found, _ = self._memos.get(key, (memo, 0))
            if found.longest is not None and found.finished + found.longest <= expired:
                self._drop(key)

    def _drop(self, key: Key) -> None:
        self._size -= self._memos.pop(key, (None, 0))[1]

    def find(self, key: Key, longest: float | None, now: float) -> Memo | None:
        """What is remembered under `key`, unless it is more than `longest` seconds older than `now`."""
        memo, _ = self._memos.get(key, (None, 0))
        if memo is None:
            return None
        self._memos.move_to_end(key)
        age = now - memo.finished if memo.finished_at else 0.0
        return memo if longest is None or age <= longest else None
