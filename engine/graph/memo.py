"""Outputs remembered across nodes and workflows of one engine (Argo's `memoize`).

They are kept in memory, and not in Argo's ConfigMap; what is in one that is given counts until a node leaves others.
"""

from __future__ import annotations

import heapq
import re
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from engine.shape import WrongType, check_outputs
from engine.substitution.variables import config_map_value, parse_time
from rpc.durations import parse_nanoseconds

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
        return Key(namespace, cache, key), parse_nanoseconds(str(memoize["maxAge"])) / 1e9
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

    def good(self, longest: float | None, now: float) -> bool:
        """Whether it is at most `longest` seconds older than `now`."""
        return longest is None or not self.finished_at or now - self.finished <= longest


_KIND: Final = "workflows.argoproj.io/configmap-type"
"""The label that says of a ConfigMap that it is a cache."""

_LONG_AGO: Final = "0001-01-01T00:00:00Z"
"""When an entry was made that does not say."""


class _Entry(msgspec.Struct, rename="camel"):
    """What Argo keeps under a key (Entry in cache/cache.go)."""

    node_id: str = msgspec.field(default="", name="nodeID")
    outputs: dict[str, Any] | None = None
    creation_timestamp: str | None = None


def given_memo(key: Key, config_maps: Mapping[str, Mapping[str, Any]]) -> Memo | None:
    """What the cache has under `key` among the ConfigMaps that are given, those of the key's namespace, by name.

    Raises `MemoError` where it is not labelled as a cache, or the entry is none (cache/configmap_cache.go).
    """
    config_map = config_maps.get(key.cache)
    if config_map is None:
        return None
    labels = (config_map.get("metadata") or {}).get("labels")
    kind = labels.get(_KIND) if isinstance(labels, Mapping) else None
    if kind != "Cache":
        label = f"{_KIND} label" if kind is None else f"label {_KIND} = Cache"
        raise MemoError(f"memoization configmap doesn't have {label}, refusing to use it")
    text = config_map_value({"name": key.cache, "key": key.key}, config_maps)
    if not text:
        return None
    try:
        entry = msgspec.json.decode(text, type=_Entry)
        check_outputs(entry.outputs or {})
        made = entry.creation_timestamp or _LONG_AGO
        parse_time(made)
    except (msgspec.DecodeError, WrongType, ValueError) as error:
        raise MemoError(f"malformed cache entry: could not unmarshal JSON; unable to parse: {error}") from error
    return Memo(entry.outputs, made) if entry.node_id else None


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

    def find(self, key: Key) -> Memo | None:
        """What is remembered under `key`."""
        memo, _ = self._memos.get(key, (None, 0))
        if memo is None:
            return None
        self._memos.move_to_end(key)
        return memo
