"""A store that lasts as long as the object: for tests, and for whoever wants its order without a file."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection, Mapping
from typing import Any, Self, TypeVar

import msgspec

from engine.model.encoding import UNENCODABLE, encode
from engine.storage.store import Change, Entry, Head, Item, has_many, refused

_Values = dict[str, dict[str, bytes]]
_T = TypeVar("_T")


class MemoryStore:
    """See `Store`. What is in it is JSON, as in a file, and is there again when it is opened again."""

    def __init__(self) -> None:
        self.revision = 0
        self._heads: dict[str, Head] = {}
        self._entries: dict[str, _Values] = {}
        self._items: dict[tuple[str, str, str], tuple[bytes, int]] = {}
        self._writing: asyncio.Future[None] | None = None
        """Done once the large change is written that is being written."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    def commit(self, change: Change) -> Awaitable[int]:
        if self._writing is not None or has_many(change):
            return self._commit_large(change)
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        try:
            done.set_result(self._keep(change, _encoded(change)))
        except UNENCODABLE as error:
            done.set_exception(refused(f"workflow {change.head.uid}", error))
        return done

    async def _commit_large(self, change: Change) -> int:
        await self._turn()
        try:
            put = await self._while_others_wait(asyncio.to_thread(_encoded, change))
        except UNENCODABLE as error:
            raise refused(f"workflow {change.head.uid}", error) from error
        return self._keep(change, put)

    def _keep(self, change: Change, put: _Values) -> int:
        uid = change.head.uid
        entries = {} if change.whole else self._entries.get(uid, {})
        for kind, keys in change.gone.items():
            if (some := entries.get(kind)) is not None:
                for key in keys:
                    some.pop(key, None)
        for kind, values in put.items():
            if (some := entries.setdefault(kind, values)) is not values:
                some.update(values)
        self.revision += 1
        self._entries[uid] = entries
        self._heads[uid] = msgspec.structs.replace(change.head, revision=self.revision)
        return self.revision

    async def heads(
        self, *, finished: bool | None = None, namespace: str | None = None, name: str | None = None
    ) -> list[Head]:
        await self._turn()
        return [
            head
            for head in self._heads.values()
            if finished in (None, head.finished) and namespace in (None, head.namespace) and name in (None, head.name)
        ]

    async def entries(self, uid: str, kinds: Collection[str] | None = None) -> list[Entry]:
        await self._turn()
        entries = self._entries.get(uid, {})
        wanted = (each for each in entries.items() if kinds is None or each[0] in kinds)
        return [Entry(kind, key, value) for kind, some in wanted for key, value in some.items()]

    async def delete(self, uid: str) -> bool:
        await self._turn()
        self.revision += 1
        self._entries.pop(uid, None)
        return self._heads.pop(uid, None) is not None

    async def put(self, kind: str, namespace: str, name: str, document: Mapping[str, Any]) -> int:
        await self._turn()
        try:
            text = encode(document)
        except UNENCODABLE as error:
            raise refused(f"{kind} {namespace}/{name}", error) from error
        self.revision += 1
        self._items[kind, namespace, name] = text, self.revision
        return self.revision

    async def get(self, kind: str, namespace: str, name: str) -> Item | None:
        await self._turn()
        found = self._items.get((kind, namespace, name))
        return None if found is None else Item(kind, namespace, name, msgspec.json.decode(found[0]), found[1])

    async def items(self, kind: str, namespace: str | None = None) -> list[Item]:
        await self._turn()
        return [
            Item(*key, msgspec.json.decode(text), revision)
            for key, (text, revision) in sorted(self._items.items())
            if key[0] == kind and namespace in (None, key[1])
        ]

    async def remove(self, kind: str, namespace: str, name: str) -> bool:
        await self._turn()
        self.revision += 1
        return self._items.pop((kind, namespace, name), None) is not None

    async def _turn(self) -> None:
        """Wait until all is written that was asked for before: first come first."""
        while self._writing is not None:
            await self._writing

    async def _while_others_wait(self, work: Awaitable[_T]) -> _T:
        self._writing = writing = asyncio.get_running_loop().create_future()
        try:
            return await work
        finally:
            self._writing = None
            writing.set_result(None)


def _encoded(change: Change) -> _Values:
    return {kind: dict(zip(some, map(encode, some.values()), strict=True)) for kind, some in change.put.items()}
