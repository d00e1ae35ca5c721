"""What of a workflow is written down in the store, and what is still to be.

What a pass changed is written before it counts: before the pass is committed in memory, its locks are given back, and
its leaves are started or stopped. So a write that fails aborts the pass, which has left no trace then and is made
again. What is said from outside (a submission, a report, an operation) counts at once, and is written with the next
pass or, where none comes, a moment later; `saved` waits for that.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from itertools import chain
from typing import Any, Final

from engine.executors.executor import Result
from engine.graph.record import WalkRecord
from engine.model.pace import Pace, Pieces, batched, used_up
from engine.model.statistics import Counts
from engine.model.workflow import Workflow, has_ended
from engine.reconciling.entries import (
    GIVEN,
    LEAF,
    MARKS,
    PRESUMED,
    REPORT,
    STOPPING,
    Marks,
    Sheet,
    marks,
)
from engine.reconciling.staging import Staged
from engine.shape import Document
from engine.storage.store import Change, Head, StoreError, WorkflowStore
from rpc.logs import get_logger

Said = dict[str, dict[str, None]]
"""Keys by kind."""

LINGER: Final = 0.1
"""Seconds for which what was said from outside may wait for a pass that writes it along."""

LONGEST: Final = 30.0
"""Seconds, at most, to wait until what could not be written is tried again; the first time it is `LINGER`."""

MANY: Final = 4096
"""Entries of a kind that are let go of at once: nearly all are kept elsewhere as well, so that takes 0.1 ms."""

LAST: Final = 1.0
"""Seconds that an engine that is left waits, at most, until workflows are forgotten."""

_NONE: Final[Mapping[str, Result]] = {}

_log = get_logger(__name__)


class Books:
    """The ledgers of an engine in which something is still to be written."""

    def __init__(self, store: WorkflowStore, counts: Counts, pace: Pace) -> None:
        self.store = store
        self.counts = counts
        self.pace = pace
        self.error = ""
        """Why the store could not be written last, empty where it could."""
        self.unwritten: dict[str, Ledger] = {}
        """By the uid of the workflow."""
        self.forgetting: set[asyncio.Task[None]] = set()
        self.is_open = False
        """Whether the store is: what is said before and after is written once it is."""

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """The store is open, and this engine's alone: two would both go on with what there is. Raises `StoreError`."""
        async with opened(self.store):
            self.is_open = True
            for ledger in list(self.unwritten.values()):
                ledger.say()
            try:
                yield
            finally:
                self.is_open = False
                await self._write_all()

    async def saved(self, workflow: Workflow, ledger: Ledger | None) -> None:
        """Wait until all is written that was said of a workflow by now. Raises `StoreError`."""
        ledger = ledger or self.unwritten.get(workflow.uid)
        if ledger is not None:
            await ledger.saved()

    async def all_saved(self) -> None:
        """Likewise, of all workflows."""
        for ledger in list(self.unwritten.values()):
            await ledger.saved()

    async def _write_all(self) -> None:
        """Write what is still to be, where that can be done."""
        for ledger in list(self.unwritten.values()):
            with suppress(StoreError):  # which was told
                await ledger.saved()
            ledger.rest()
        if self.forgetting:
            _, late = await asyncio.wait(self.forgetting, timeout=LAST)
            for task in late:
                task.cancel()


@asynccontextmanager
async def opened(store: WorkflowStore) -> AsyncIterator[None]:
    """A store is open, and nobody else's. Raises `StoreError`."""
    key = id(store)
    if key in _kept:
        raise StoreError("expected a store that no other engine has, this one is in use")
    _kept.add(key)
    try:
        async with store:
            yield
    finally:
        _kept.discard(key)


_kept: Final[set[int]] = set()
"""The stores, by `id`, that an engine has open: of all engines, as `engine.reconciling.roll` has it of workflows."""


class Ledger:
    """One workflow's. ``written`` says whether the store has it as it is."""

    def __init__(
        self,
        books: Books,
        workflow: Workflow,
        record: WalkRecord,
        *,
        written: bool = False,
    ) -> None:
        self._books = books
        self._workflow = workflow
        self._record = record
        self._all = not written
        """Whether everything is to be written, whatever the store has."""
        self._document: Document = workflow.document
        """What is written of the document."""
        self._marks = marks(record)
        self._said: Said = {REPORT: {}, LEAF: {}}
        """Entries of the record that were changed from outside and are not written."""
        self._reports = set(record.reports) if written else set[str]()
        """Those that are written."""
        self._behind = False
        """Whether something was said that no write has taken up."""
        self._lock = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None
        self._failures = 0
        self._retired = False
        self.error = ""
        """Why the last attempt to write failed, empty where it did not."""
        if (previous := books.unwritten.pop(workflow.uid, None)) is not None:
            previous.retire()

    # What a pass changed

    async def write(self, staged: Staged) -> asyncio.CancelledError | None:
        """Write what a pass changed. Once the store has been asked that comes to its end, and a cancellation that came
        meanwhile is returned.

        The caller says `committed` when it is so in memory, too; until then nothing else is written. Raises
        `StoreError`, and then nothing was.
        """
        await self._lock.acquire()
        record = self._record
        try:
            changed = partial(staged.changes, record, self._workflow.nodes, self._reports)
            left = bool(record.stopping)  # of which a process before this one had not told the executor
            noted = staged.marks(record)
            return await self._write(changed, staged.document, noted, staged.taken, left=left, patient=True)
        except BaseException:
            self._lock.release()
            raise

    def committed(self) -> None:
        """What was written counts."""
        self._lock.release()
        if self._workflow.document["spec"] is not self._document["spec"]:  # changed from outside while it was written
            self.say()

    # What is said from outside

    def say(self, kind: str = LEAF, keys: Collection[str] = (), *, soon: bool = True) -> None:
        """Entries of the record have changed, or the document: it is to be written soon, or else with the next pass, or
        once somebody waits for that."""
        if self._retired:
            return
        said = self._said[kind]
        for key in keys:
            said[key] = None
        self._behind = True
        self._books.unwritten[self._workflow.uid] = self
        if soon and self._timer is None and self._books.is_open:
            self._timer = asyncio.get_running_loop().call_later(self._delay, self._begin)

    def say_all(self) -> None:
        """Everything may have changed."""
        self._all = True
        self.say()

    async def saved(self) -> None:
        """Wait until all that was said by now is written. Raises `StoreError`."""
        if not self._behind and not self._lock.locked():
            return
        self.rest()
        await asyncio.shield(asyncio.ensure_future(self._write_said()))

    def retire(self) -> None:
        """Write nothing more: the workflow begins anew, or is to be forgotten."""
        self._retired, self._behind = True, False
        self.rest()
        self._settle()

    def forget(self, then: Callable[[], None]) -> None:
        """Have the store forget the workflow, ``then`` do that."""
        self.retire()
        task = asyncio.ensure_future(self._forget(then))
        self._books.forgetting.add(task)
        task.add_done_callback(self._books.forgetting.discard)

    async def _forget(self, then: Callable[[], None]) -> None:
        async with self._lock:
            while True:
                try:
                    await self._books.store.delete(self._workflow.uid)
                    break
                except Exception as error:
                    self._failed(error)
                await asyncio.sleep(self._delay)
        then()

    def rest(self) -> None:
        """Do not write by itself what was said."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _begin(self) -> None:
        self._timer = None
        self._writing = asyncio.ensure_future(self._write_or_again())

    async def _write_or_again(self) -> None:
        with suppress(StoreError):  # which was told, and it is tried again
            await self._write_said()

    async def _write_said(self) -> None:
        async with self._lock:
            if self._behind:
                record = self._record
                left = bool(record.leaves or record.presumed or record.stopping)
                cancelled = await self._write(self._of_said, self._workflow.document, marks(record), left=left)
                if cancelled is not None:
                    raise cancelled

    def _of_outside(self, said: Said, taken: Mapping[str, Result], sheet: Sheet) -> Pieces:
        """What was said from outside, as it is by now: the reports of a loop's leaves may be a hundred thousand. Nobody
        has to know any more of those that were taken up."""
        reports = self._record.reports
        for some in batched(said[REPORT]):
            for key in [key for key in some if key not in taken or reports.get(key) is not taken[key]]:
                sheet.set(REPORT, key, reports.get(key))
            yield
        for some in batched(said[LEAF]):
            for key in some:
                sheet.set(LEAF, key, self._state(key))
            yield

    def _of_said(self, sheet: Sheet) -> Pieces:
        if sheet.whole:
            yield from sheet.all_of(self._record, self._workflow.committed())

    # Both

    async def _write(
        self,
        changed: Callable[[Sheet], Pieces],
        document: Document,
        noted: Marks,
        taken: Mapping[str, Result] = _NONE,
        *,
        left: bool = False,
        patient: bool = False,
    ) -> asyncio.CancelledError | None:
        """Write what changed, with what was said by now but for reports that were ``taken`` up; ``left`` is whether the
        executor has leaves besides those of which that says so, ``patient`` whether it may be put off for a moment."""
        pace = self._books.pace
        said, self._said = self._said, {REPORT: {}, LEAF: {}}
        sheet, self._all = Sheet(whole=self._all), False
        self._behind = False
        self.rest()
        cancelled = None
        try:
            if sheet.whole or noted != self._marks:
                sheet.set(MARKS, "", noted)
            sheet.document(document, None if sheet.whole else self._document)
            await pace.through(chain(self._of_outside(said, taken, sheet), changed(sheet)))
            if sheet:
                # A workflow that has leaves to stop needs somebody to do that.
                workflow, phase = self._workflow, document["status"].get("phase") or ""
                finished = has_ended(document) and not left and not sheet.put.get(LEAF)
                head = Head(workflow.uid, workflow.namespace, workflow.name, phase, finished)
                cancelled = await self._commit(Change(head, sheet.put, sheet.gone, sheet.whole, patient))
                if sheet.whole or REPORT in sheet.put or REPORT in sheet.gone:
                    cancelled = await self._reported(sheet) or cancelled
        except BaseException:  # cancelled, or the store has failed
            self._said = {kind: keys | self._said[kind] for kind, keys in said.items()}
            self._all = self._all or sheet.whole
            self.say()
            raise
        finally:
            made: tuple[dict[Any, Any], ...] = (*sheet.put.values(), *sheet.gone.values(), *said.values())
            for some in made:
                if len(some) > MANY:
                    cancelled = await pace.to_the_end(used_up(some)) or cancelled
        self._document, self._marks = document, noted
        if not self._behind:
            self._settle()
        return cancelled

    async def _reported(self, sheet: Sheet) -> asyncio.CancelledError | None:
        """Know which reports are written now."""
        if sheet.whole:
            self._reports = set()
        cancelled, reports = None, self._reports
        for change, of in ((reports.difference_update, sheet.gone), (reports.update, sheet.put)):
            keys = of.get(REPORT, {})
            if len(keys) <= MANY:
                change(keys)
            else:
                pieces = (change(some) for some in batched(keys))
                cancelled = await self._books.pace.to_the_end(pieces) or cancelled
        return cancelled

    def _settle(self) -> None:
        """Nothing is to be written; there may be another ledger of the workflow by now."""
        if self._books.unwritten.get(self._workflow.uid) is self:
            del self._books.unwritten[self._workflow.uid]

    async def _commit(self, change: Change) -> asyncio.CancelledError | None:
        cancelled = None
        try:
            writing = self._books.store.commit(change)
            if not isinstance(writing, asyncio.Future):
                writing = asyncio.ensure_future(writing)
            while not writing.done():
                try:
                    await asyncio.shield(writing)
                except asyncio.CancelledError as error:
                    cancelled = error
            writing.result()
        except (Exception, asyncio.CancelledError) as error:  # the store's own
            self._all = True  # whatever it has made of the change
            self._failed(error)
            raise StoreError(self.error) from error
        self._failures, self.error, self._books.error = 0, "", ""
        self._books.counts.writes += 1
        return cancelled

    def _failed(self, error: BaseException) -> None:
        self._failures += 1
        self.error = str(error) if isinstance(error, StoreError) else f"{type(error).__name__}: {error}"
        self._books.counts.writes_failed += 1
        self._books.error = self.error
        _log.warning("store failed", workflow=self._workflow.key, reason=self.error)

    @property
    def _delay(self) -> float:
        """Seconds until what is to be written is tried by itself."""
        return min(LINGER * float(2 ** min(self._failures, 16)), LONGEST)

    def _state(self, key: str) -> str | None:
        """That of a leaf."""
        record = self._record
        states = ((record.leaves, GIVEN), (record.presumed, PRESUMED), (record.stopping, STOPPING))
        return next((state for leaves, state in states if key in leaves), None)
