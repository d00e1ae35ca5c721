"""Finished workflows are kept until their `ttlStrategy` says otherwise, or until there are too many of them."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Final

import msgspec

from engine.model.clock import LONGEST_NAP
from engine.serving.hub import DELETED, Event
from engine.serving.records import Record, Records
from engine.shape import Document
from engine.shape.specs import TTLStrategy
from engine.storage.store import StoreError
from rpc.logs import get_logger

_MARGIN: Final = 1.0
"""Seconds that a workflow is shown for after its end at the least, so that whoever waits sees it (Argo's, too)."""

_AGAIN: Final = 10.0
"""Seconds until what the store refused is tried again."""

_log = get_logger(__name__)


def time_to_live(document: Document) -> float | None:
    """For how many seconds a finished workflow is to be kept, None where it does not say (Argo's gc_controller)."""
    stored = document["status"].get("storedWorkflowTemplateSpec") or {}
    given = document["spec"].get("ttlStrategy") or stored.get("ttlStrategy") or {}
    try:
        strategy = msgspec.convert(given, TTLStrategy)
    except msgspec.ValidationError:  # a plugin may have made anything of it
        return None
    by_phase = {"Succeeded": strategy.seconds_after_success, "Failed": strategy.seconds_after_failure}
    seconds = by_phase.get(document["status"].get("phase") or "")
    return strategy.seconds_after_completion if seconds is None else seconds


class Retention:
    """Deletes finished workflows in time. ``keep`` bounds their number: of more, those go that ended first."""

    def __init__(self, records: Records, clock: Callable[[], float], keep: int) -> None:
        self._records, self._clock, self._keep = records, clock, keep
        self._finished: dict[str, tuple[Record, float]] = {}
        """By uid, with the time at which it ended: one that was retried ends once more."""
        self._ended: list[tuple[float, int, str]] = []
        """When which ended, the first on top; some of them are not there any more."""
        self._due: list[tuple[float, int, str]] = []
        """When which is to go, likewise."""
        self._not_before = 0.0
        """When to go on with those that are too many, after the store has failed."""

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Do so for as long as this is open."""
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _run(self) -> None:
        with self._records.hub.watching(0, _is_over) as watcher:
            while True:
                heard = False
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._timeout()):
                        if not await watcher.more():
                            return
                    heard = True
                if heard and (event := watcher.take()) is not None:
                    self._hear(event)
                await self._delete_due()
                if not heard:
                    await self._delete_first()

    def _timeout(self) -> float | None:
        """Seconds until something is to be done if nothing happens; what has happened is heard first."""
        if self._ended and len(self._finished) > self._keep and self._clock() >= self._not_before:
            return 0.0
        return min(max(self._due[0][0] - self._clock(), 0.0), LONGEST_NAP) if self._due else None

    def _hear(self, event: Event[Record]) -> None:
        record = event.item
        if event.type == DELETED:
            self._finished.pop(record.uid, None)
            return
        ended = _ended(record.document)
        if self._finished.get(record.uid) == (record, ended):
            return
        self._finished[record.uid] = record, ended
        heapq.heappush(self._ended, (ended, record.created, record.uid))
        seconds = time_to_live(record.document)
        if seconds is not None:
            heapq.heappush(self._due, (ended + seconds + _MARGIN, record.created, record.uid))

    def _still(self, uid: str) -> tuple[Record, float] | None:
        """The workflow and when it ended, if it is there and has not begun to run again."""
        found = self._finished.get(uid)
        return found if found is not None and found[0].workflow is None else None

    async def _delete_due(self) -> None:
        """Those whose time has come."""
        while self._due and self._due[0][0] <= self._clock():
            at, _, uid = heapq.heappop(self._due)
            found = self._still(uid)
            if found is None:
                continue
            record, ended = found
            seconds = time_to_live(record.document)
            if seconds is None or ended + seconds + _MARGIN > at:
                continue
            if not await self._delete(record, "its time to live is over"):
                heapq.heappush(self._due, (self._clock() + _AGAIN, record.created, uid))

    async def _delete_first(self) -> None:
        """Those that are too many."""
        while self._ended and len(self._finished) > self._keep and self._clock() >= self._not_before:
            ended, created, uid = heapq.heappop(self._ended)
            found = self._still(uid)
            if found is None or found[1] != ended:
                continue
            record = found[0]
            if not await self._delete(record, f"there are more than {self._keep} finished workflows"):
                heapq.heappush(self._ended, (ended, created, uid))
                self._not_before = self._clock() + _AGAIN

    async def _delete(self, record: Record, why: str) -> bool:
        log = _log.bind(workflow="/".join(record.key))
        try:
            await self._records.delete(record)
        except StoreError as error:
            log.warning("workflow not deleted", reason=str(error), retry_in=f"{_AGAIN:g}s")
            return False
        self._finished.pop(record.uid, None)
        log.info("workflow deleted", reason=why)
        return True


def _is_over(record: Record) -> bool:
    return record.workflow is None


def _ended(document: Document) -> float:
    text = document["status"].get("finishedAt")
    return datetime.fromisoformat(text).timestamp() if text else 0.0
