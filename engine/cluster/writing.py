"""What shards have committed is written to the store, until it is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from functools import partial
from inspect import iscoroutine
from typing import Final, TypeVar

from engine.cluster.journal import Journal, merged
from engine.cluster.mail import Committed, Sealed
from engine.storage.store import StoreError
from rpc.logs import get_logger

PAUSES: Final = (0.1, 30.0)
"""Seconds until the store is tried again that has failed, and the most they grow to."""

_T = TypeVar("_T")
_log = get_logger(__name__)


class Writing:
    """A store that fails for a while is tried again, until `end`: from then on what fails raises `StoreError`."""

    def __init__(self, journal: Journal) -> None:
        self._errors: dict[str, str] = {}
        """Why there is something of a workflow that it has not taken, by uid."""
        self.writes = self.failures = 0
        self._journal = journal
        self._failing: asyncio.Future[str] | None = None
        """Done with the next failure, and why, where somebody waits for that."""
        self._ended = False
        self._hurry = asyncio.Event()
        """Set where somebody does: the store is tried again at once."""

    def end(self) -> None:
        """Try once more what the store has not taken, and then no more."""
        self._ended = True
        self._hurry.set()

    @property
    def error(self) -> str:
        """Why the store has failed, empty where there is nothing that it has not taken."""
        return next(iter(self._errors.values()), "")

    async def write(self, changes: Iterable[Committed], wanted: Callable[[str], bool]) -> None:
        """Have changes durable, as long as anybody wants those of a workflow. Several of one are written as one: what
        was asked for last may not be taken back by one that was tried again."""
        by_uid: dict[str, list[Committed]] = {}
        for change in changes:
            by_uid.setdefault(change.head.uid, []).append(change)
        left, pause = list(map(merged, by_uid.values())), PAUSES[0]
        while left := [each for each in left if wanted(each.head.uid)]:
            asked = [(each, _begun(partial(self._journal.commit, each))) for each in left]
            left = []
            for each, writing in asked:
                try:
                    await writing
                    self.writes += 1
                    self._errors.pop(each.head.uid, None)
                except Exception as error:
                    self._failed(each.head.uid, error)
                    left.append(each)
            if left:
                pause = await self._rest(pause)
        for uid in by_uid:
            self._errors.pop(uid, None)  # of those that nobody wants any more, too

    async def entries(self, uid: str) -> Sealed:
        """What the store has of a workflow."""
        return await self._until_done(uid, lambda: self._journal.entries(uid))

    async def delete(self, uid: str) -> None:
        """Have the store forget a workflow."""
        await self._until_done(uid, lambda: self._journal.delete(uid))

    async def _until_done(self, uid: str, what: Callable[[], Awaitable[_T]]) -> _T:
        """Something is asked of the store, until it does it."""
        pause = PAUSES[0]
        while True:
            try:
                done = await what()
            except Exception as error:
                self._failed(uid, error)
            else:
                self._errors.pop(uid, None)
                return done
            pause = await self._rest(pause)

    async def unless_failing(self, done: asyncio.Future[_T]) -> _T:
        """Wait for what is to be written while the store works. Raises `StoreError`, and it is tried again all the
        same."""
        if self._ended and self.error and not done.done():  # nobody will try it again
            raise StoreError(self.error)
        self._failing = failing = self._failing or asyncio.get_running_loop().create_future()
        self._hurry.set()
        await asyncio.wait((done, failing), return_when=asyncio.FIRST_COMPLETED)
        if done.done():
            return done.result()
        done.add_done_callback(lambda done: None if done.cancelled() else done.exception())  # nobody waits any more
        raise StoreError(failing.result())

    async def _rest(self, pause: float) -> float:
        """Wait until the store is to be tried again; for how long the next time. Raises `StoreError` where it is not
        to be."""
        if self._ended:
            raise StoreError(self.error)
        self._hurry.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self._hurry.wait()
        return min(2 * pause, PAUSES[1])

    def _failed(self, uid: str, error: Exception) -> None:
        self.failures += 1
        reason = str(error) if isinstance(error, StoreError) else f"{type(error).__name__}: {error}"
        self._errors[uid] = reason
        if self._failing is not None:
            self._failing.set_result(reason)
            self._failing = None
        _log.warning("store failed", uid=uid, reason=reason)


def _begun(write: Callable[[], Awaitable[object]]) -> Awaitable[object]:
    """All are asked for before any is waited for; a store may fail at either."""
    try:
        writing = write()
    except Exception as error:
        failed: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        failed.set_exception(error)
        return failed
    return asyncio.ensure_future(writing) if iscoroutine(writing) else writing
