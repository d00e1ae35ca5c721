"""Who watches is told what changed: the last state of each thing, not each state that it has been through."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

from engine.serving.errors import ApiError, Code

TOMBSTONES: Final = 10_000
"""So many deletions are remembered, for watchers that were away for a moment."""

PIECE: Final = 256
"""Events that are told at once."""

ADDED: Final = "ADDED"
MODIFIED: Final = "MODIFIED"
DELETED: Final = "DELETED"


class Watched(Protocol):
    """A thing that can be watched. Its revisions only grow; ``created`` is the first of them."""

    @property
    def uid(self) -> str: ...

    @property
    def created(self) -> int: ...

    @property
    def revision(self) -> int: ...


_T = TypeVar("_T", bound=Watched)


class Event(NamedTuple, Generic[_T]):
    """``type`` is `ADDED`, `MODIFIED` or `DELETED`, and ``item`` as it is now, or was last."""

    type: str
    item: _T


class Watcher(Generic[_T]):
    """What somebody was not told yet, by uid: so there is never more of it than there are things."""

    def __init__(self, since: int, selected: Callable[[_T], bool], *, closed: bool = False) -> None:
        self._news = asyncio.Event()
        self._closed = closed
        self._since = since
        self._selected = selected
        self._told: set[str] = set()
        self._perhaps: set[str] = set()
        """What was there before, but may have been none that was selected."""
        self._pending: dict[str, tuple[_T, bool]] = {}

    def begin(self, item: _T, *, gone: bool = False) -> None:
        """There is this one, or was lately, as the watch begins: told before if nothing has happened to it since."""
        if item.revision > self._since or gone:
            if item.created <= self._since:
                self._perhaps.add(item.uid)
            self.hear(item, gone=gone)
        elif self._selected(item):
            self._told.add(item.uid)

    def hear(self, item: _T, *, gone: bool = False) -> None:
        """Something has become of this one: what is not selected, and never was, wakes nobody."""
        uid = item.uid
        if uid in self._told or uid in self._pending or uid in self._perhaps or (not gone and self._selected(item)):
            self._pending.pop(uid, None)  # the one that changed last is told last: who comes back begins after that
            self._pending[uid] = item, gone
            self._news.set()

    def close(self) -> None:
        """Nothing will change any more."""
        self._closed = True
        self._news.set()

    @property
    def pending(self) -> int:
        """Of how many things there may be something to tell."""
        return len(self._pending)

    async def more(self) -> bool:
        """Wait until there may be something to tell; False where there never will be."""
        while not self._pending:
            if self._closed:
                return False
            self._news.clear()
            await self._news.wait()
        return True

    def take(self) -> Event[_T] | None:
        """The next event that concerns this watcher: what is selected no more is as good as deleted."""
        while self._pending:
            uid = next(iter(self._pending))
            item, gone = self._pending.pop(uid)
            selected = self._selected(item)
            known = uid in self._told or (uid in self._perhaps and selected)
            self._perhaps.discard(uid)
            if selected and not gone:
                self._told.add(uid)
                return Event(MODIFIED if known else ADDED, item)
            self._told.discard(uid)
            if known:
                return Event(DELETED, item)
        return None


class Hub(Generic[_T]):
    """The things of a kind, by uid, and what was deleted lately; `forgotten` is the revision at which it came to be."""

    def __init__(self, forgotten: int, tombstones: int = TOMBSTONES) -> None:
        self.items: dict[str, _T] = {}
        self._gone: deque[tuple[int, _T]] = deque()
        self._tombstones = tombstones
        self._forgotten = forgotten
        """Deletions up to this revision are remembered no more."""
        self._watchers: set[Watcher[_T]] = set()
        self._closed = False

    @property
    def watchers(self) -> int:
        """How many watch."""
        return len(self._watchers)

    def forget(self, revision: int) -> None:
        """What was before that revision is known from here on only as it is now."""
        self._forgotten = revision

    def check(self, since: int) -> None:
        """Raises `ApiError` (410) where deletions after that revision are forgotten: list, and watch from there."""
        if 0 < since < self._forgotten:
            raise ApiError(Code.OUT_OF_RANGE, f"too old resource version: {since} ({self._forgotten})", status=410)

    def put(self, item: _T) -> None:
        """It is new, or has changed."""
        self.items[item.uid] = item
        for watcher in self._watchers:
            watcher.hear(item)

    def remove(self, uid: str, revision: int) -> None:
        """It was deleted, under that revision."""
        item = self.items.pop(uid)
        self._gone.append((revision, item))
        if len(self._gone) > self._tombstones:
            self._forgotten, _ = self._gone.popleft()
        for watcher in self._watchers:
            watcher.hear(item, gone=True)

    def close(self) -> None:
        """Nothing will change any more: let everybody go once they have been told all."""
        self._closed = True
        for watcher in self._watchers:
            watcher.close()

    async def watch(self, since: int, selected: Callable[[_T], bool]) -> AsyncGenerator[Event[_T]]:
        """What has happened after the revision `since`, and happens; 0 begins with all that there is.

        Raises what `check` does.
        """
        with self.watching(since, selected) as watcher:
            while await watcher.more():
                while (event := watcher.take()) is not None:
                    yield event

    async def batches(self, every: float, selected: Callable[[_T], bool]) -> AsyncGenerator[list[Event[_T]]]:
        """All that there is, and what happens, once in so many seconds at the most; a large batch comes in pieces."""
        with self.watching(0, selected) as watcher:
            while await watcher.more():
                for _ in range(0, watcher.pending, PIECE):  # what comes meanwhile is for the next time
                    if events := list(islice(iter(watcher.take, None), PIECE)):
                        yield events
                if watcher.pending or not self._closed:
                    await asyncio.sleep(every)

    @contextmanager
    def watching(self, since: int, selected: Callable[[_T], bool]) -> Iterator[Watcher[_T]]:
        """Who watches, for as long as this is open, and says when it is told. Raises what `check` does."""
        self.check(since)
        watcher = Watcher(since, selected, closed=self._closed)
        for revision, item in self._gone if since else ():
            if revision > since:
                watcher.begin(item, gone=True)
        for item in self.items.values():
            watcher.begin(item)
        self._watchers.add(watcher)
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)
