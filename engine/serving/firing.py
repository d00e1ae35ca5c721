"""CronWorkflows that fire: what `engine.serving.cron` decides is done, by the engine's clock.

For one time no second workflow is made, also where the server was killed between making it and noting so: its name
says the time, and the store has no two of a name. The status of a CronWorkflow is noted once its workflow is durable.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final, NamedTuple, Self

from engine.model.clock import LONGEST_NAP
from engine.model.workflow import Workflow
from engine.operations.errors import Draining, OperationError
from engine.reconciler import Reconciler
from engine.reconciling.results import Commit
from engine.serving import cron
from engine.serving.cron import Cron, Finished, InvalidCron
from engine.serving.errors import ApiError, Code
from engine.serving.records import Record, Records
from engine.serving.requests import Document
from engine.serving.shelf import Key, Shelf
from engine.storage.store import StoreError
from rpc.logs import get_logger

AGAIN: Final = 5.0
"""Seconds until what a store would not take is tried again."""

Admit = Callable[[Document], Awaitable[Workflow]]
"""Makes a workflow of its document, or raises `ApiError`."""

_log = get_logger(__name__)


class Seen(NamedTuple):
    """Up to when the times of a CronWorkflow were seen to, and what it was then."""

    until: float
    generation: int
    schedules: tuple[str, ...]


class Firing:
    """CronWorkflows that fire while `going_on` is open."""

    def __init__(self, engine: Reconciler, records: Records, shelf: Shelf, admit: Admit) -> None:
        self._engine = engine
        self._records = records
        self._shelf = shelf
        self._admit = admit
        self._seen: dict[str, Seen] = {}
        self._news = asyncio.Event()
        self._turning = asyncio.Lock()
        self._next: float | None = None

    @asynccontextmanager
    async def going_on(self) -> AsyncIterator[Self]:
        """Have them fire for as long as this is open."""
        self._engine.listeners.append(self._hear)
        self._shelf.listeners.append(self._changed)
        task = asyncio.create_task(self._run())
        try:
            yield self
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            self._shelf.listeners.remove(self._changed)
            self._engine.listeners.remove(self._hear)

    def _hear(self, commit: Commit) -> None:
        jumped = self._next is not None and self._engine.clock() >= self._next  # as a simulated clock does
        if jumped or commit.finished:
            self._news.set()

    def _changed(self, key: Key, document: Document | None) -> None:
        self._news.set()

    async def _run(self) -> None:
        while True:
            self._news.clear()
            wait = LONGEST_NAP
            try:
                await self.turn()
                if self._next is not None:
                    wait = min(wait, max(0.0, self._next - self._engine.clock()))
            except StoreError as error:
                _log.warning("cron workflows are not kept", reason=str(error))
                wait = AGAIN
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._news.wait()

    async def turn(self) -> None:
        """See to all that is due by now, and to what has ended. Raises `StoreError`."""
        async with self._turning:
            await self._turn()

    async def _turn(self) -> None:
        now = self._engine.clock()
        following = [await self._see_to(document, now) for document in self._shelf.all()]
        self._next = min((each for each in following if each is not None), default=None)
        known = {document["metadata"]["uid"] for document in self._shelf.all()}
        self._seen = {uid: seen for uid, seen in self._seen.items() if uid in known}

    async def _see_to(self, document: Document, now: float) -> float | None:
        """See to one; when there is something to do next."""
        key, uid = self._shelf.key(document), document["metadata"]["uid"]
        seen = self._seen.get(uid)
        try:
            read = cron.read(document)
            cron.check(read)
            if seen is None or any(self._has_ended(each.uid) for each in read.active):
                await self._tidy(key, read)
            times, self._seen[uid] = self._times(seen, read, document["metadata"]["generation"], now)
            for time in times:
                await self._fire(key, time)
            return cron.next_time(read, now)
        except InvalidCron as error:
            await self._complain(key, cron.SPEC_ERROR, str(error))
            return None
        except StoreError:
            self._seen.pop(uid, None)
            if seen is not None:
                self._seen[uid] = seen
            raise

    @staticmethod
    def _times(seen: Seen | None, read: Cron, generation: int, now: float) -> tuple[list[float], Seen]:
        """Those to see to now, in order. What has changed may have kept it from making one, as a suspension does."""
        times = set[float]()
        if seen is not None and seen.schedules == read.schedules:
            times.update(cron.due(read, seen.until, now))
        if seen is None or seen.generation != generation:
            times.update(filter(None, [cron.missed(read, now)]))
        return sorted(times), Seen(now if seen is None else max(now, seen.until), generation, read.schedules)

    async def _fire(self, key: Key, time: float) -> None:
        """A time has come. Raises `InvalidCron` and `StoreError`."""
        document = self._shelf.find(key)
        if document is None:
            return
        read, now = cron.read(document), self._engine.clock()
        verdict = cron.verdict(read, now)
        if not verdict.run:
            _log.info("cron workflow makes none", cron=_told(key), reason=verdict.why)
            if cron.stops(read, now):
                await self._shelf.patch(key, cron.stopped)
            return
        for each in verdict.terminated:
            await self._terminate(key[0], each)
        try:
            workflow = await self._made(document, key, time)
        except Draining:
            return
        except (ApiError, OperationError) as error:
            await self._complain(key, cron.SUBMISSION_ERROR, f"Failed to submit Workflow: {error}")
            return
        if _is_of(document, workflow):
            await self._shelf.patch(key, lambda found: cron.with_run(_right(found), workflow, time))

    async def _made(self, document: Document, key: Key, time: float) -> Document:
        """The workflow of a time, which may have been made before. Raises what submitting one does."""
        made = cron.workflow_of(document, time)
        try:
            return (await self._records.submit(await self._admit(made))).document
        except ApiError as error:
            if error.code is not Code.ALREADY_EXISTS:
                raise
            return self._records.find(key[0], made["metadata"]["name"]).document

    async def _terminate(self, namespace: str, reference: cron.Reference) -> None:
        try:
            workflow = self._records.find(namespace, reference.name, reference.uid).workflow
            if workflow is not None:
                await self._engine.terminate(workflow)
        except (ApiError, OperationError) as error:
            _log.warning("active workflow is not terminated", workflow=reference.name, reason=str(error))

    async def _tidy(self, key: Key, read: Cron) -> None:
        """See which workflows it has: those active, and finished ones that are too many. Raises `StoreError`."""
        document = self._shelf.find(key)
        if document is None:
            return
        mine = {each.uid: each for each in self._records.hub.items.values() if _is_of(document, each.document)}
        ended = {
            each.uid: _phase(mine[each.uid]) if each.uid in mine else ""
            for each in read.active
            if self._has_ended(each.uid)
        }

        def change(found: Document) -> Document:
            for record in mine.values():
                if record.workflow is not None:
                    found = cron.with_active(found, record.document)
            return cron.with_ended(found, ended, self._engine.clock())

        await self._shelf.patch(key, change)
        over = {each.document["metadata"]["name"]: each for each in mine.values() if each.workflow is None}
        finished = [
            Finished(name, _phase(each) == "Succeeded", (each.document["status"].get("finishedAt") or ""))
            for name, each in over.items()
        ]
        for name in cron.surplus(read, finished):
            await self._records.delete(over[name])

    def _has_ended(self, uid: str) -> bool:
        """Whether that workflow is over, or gone."""
        record = self._records.hub.items.get(uid)
        return record is None or record.workflow is None

    async def _complain(self, key: Key, type_: str, message: str) -> None:
        _log.warning("cron workflow", cron=_told(key), condition=type_, reason=message)
        await self._shelf.patch(key, lambda found: cron.with_condition(found, type_, message))


def _right(document: Document) -> Document:
    return cron.without_condition(document, cron.SPEC_ERROR)


def _is_of(document: Document, workflow: Document) -> bool:
    """Whether that CronWorkflow has made it, not an earlier one of its name."""
    uid = document["metadata"]["uid"]
    return any(each.get("uid") == uid for each in workflow["metadata"].get("ownerReferences") or ())


def _phase(record: Record) -> str:
    phase: str = record.document["status"].get("phase") or ""
    return phase


def _told(key: Key) -> str:
    return "/".join(key)
