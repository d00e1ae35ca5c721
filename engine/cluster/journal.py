"""Where a driver writes what shards have committed: a user's store, or none."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Final, Protocol

import msgspec

from engine.cluster.mail import Committed, Entries, Sealed, seal, unseal
from engine.reconciling.promise import DONE
from engine.storage.store import Change, WorkflowStore

FEW: Final = 8
MORE: Final = 4
"""So many changes of a workflow are kept as they came, or so many times the bytes that they came to last."""


class Journal(Protocol):
    """What a driver needs of a store."""

    def commit(self, change: Committed) -> Awaitable[object]:
        """Write a change."""
        ...

    async def entries(self, uid: str) -> Sealed:
        """What it has of a workflow."""
        ...

    async def delete(self, uid: str) -> object:
        """Forget a workflow."""
        ...


class Stored:
    """A user's store."""

    def __init__(self, store: WorkflowStore) -> None:
        self._store = store

    def commit(self, change: Committed) -> Awaitable[object]:
        return self._store.commit(Change(change.head, unseal(change.put), change.gone, change.whole))

    async def entries(self, uid: str) -> Sealed:
        entries: Entries = {}
        for kind, key, value in await self._store.entries(uid):
            entries.setdefault(kind, {})[key] = msgspec.Raw(value)
        return seal(entries)

    async def delete(self, uid: str) -> object:
        return await self._store.delete(uid)


class _Kept:
    """Changes of a workflow, as they came: what they come to is asked when a shard dies, which is seldom. When they are
    too many they are made one."""

    __slots__ = ("changes", "limit", "size")

    def __init__(self, change: Committed) -> None:
        self.changes = [change]
        self.size, self.limit = _size(change), 0

    def add(self, change: Committed) -> None:
        if change.whole:
            self.changes.clear()
            self.size = 0
        self.changes.append(change)
        self.size += _size(change)
        if len(self.changes) > FEW and self.size > self.limit:
            self.limit = MORE * _size(self.one())

    def one(self) -> Committed:
        """All of them."""
        change = merged(self.changes)
        self.changes, self.size = [change], _size(change)
        return change


class Remembered:
    """Without a store: what is remembered of workflows that are not over, in case a shard dies."""

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}

    def commit(self, change: Committed) -> Awaitable[object]:
        uid = change.head.uid
        if change.head.finished:
            self._kept.pop(uid, None)
        elif (kept := self._kept.get(uid)) is not None:
            kept.add(change)
        else:
            self._kept[uid] = _Kept(change)
        return DONE

    async def entries(self, uid: str) -> Sealed:
        kept = self._kept.get(uid)
        return kept.one().put if kept is not None else {}

    async def delete(self, uid: str) -> object:
        return self._kept.pop(uid, None)


def merged(changes: Sequence[Committed]) -> Committed:
    """Changes of a workflow, one after the other, as one."""
    if len(changes) == 1:
        return changes[0]
    put: Entries = {}
    gone: dict[str, dict[str, None]] = {}
    whole = False
    for change in changes:
        if change.whole:
            put, gone, whole = {}, {}, True
        for kind, keys in change.gone.items():
            some = put.get(kind, {})
            for key in keys:
                some.pop(key, None)
            if not whole:
                gone.setdefault(kind, {}).update(dict.fromkeys(keys))
        for kind, some in unseal(change.put).items():
            put.setdefault(kind, {}).update(some)
    return Committed(changes[-1].head, seal(put), {kind: [*keys] for kind, keys in gone.items()}, whole)


def _size(change: Committed) -> int:
    return sum(map(len, change.put.values()))
