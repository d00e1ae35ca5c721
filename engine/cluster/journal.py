"""What a fleet remembers of its workflows where it was given no store: as long as it has them, in case a shard dies."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection
from types import TracebackType
from typing import Self

from engine.storage.store import Change, Entry, Head


class Journal:
    """A `WorkflowStore` for changes whose values are JSON already: nothing is encoded, everything copied once."""

    def __init__(self) -> None:
        self._kept: dict[str, dict[str, dict[str, bytes]]] = {}
        self._revision = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def commit(self, change: Change) -> Awaitable[int]:
        uid = change.head.uid
        kept = {} if change.whole else self._kept.get(uid, {})
        self._kept[uid] = kept
        for kind, keys in change.gone.items():
            if (some := kept.get(kind)) is not None:
                for key in keys:
                    some.pop(key, None)
        for kind, values in change.put.items():
            kept.setdefault(kind, {}).update(zip(values, map(bytes, values.values()), strict=True))
        self._revision += 1
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        done.set_result(self._revision)
        return done

    async def heads(
        self, *, finished: bool | None = None, namespace: str | None = None, name: str | None = None
    ) -> list[Head]:
        return []  # when it is opened

    async def entries(self, uid: str, kinds: Collection[str] | None = None) -> list[Entry]:
        kept = self._kept.get(uid, {}).items()
        return [
            Entry(kind, key, value)
            for kind, some in kept
            if kinds is None or kind in kinds
            for key, value in some.items()
        ]

    async def delete(self, uid: str) -> bool:
        return self._kept.pop(uid, None) is not None
