"""Workflows come to the driver of a fleet: they are written, and sent to the shard where they are to be.

A workflow goes to a shard as the store has it, be it new, of a shard that is gone, or of an earlier process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from engine.cluster.asking import Asking
from engine.cluster.custody import Custody
from engine.cluster.following import entries_of
from engine.cluster.holding import Held, Roster
from engine.cluster.mail import Committed, Sealed, Take
from engine.cluster.placement import Placement, groups_of
from engine.cluster.shards import Lines
from engine.cluster.writing import Writing
from engine.executors.executor import Result
from engine.graph.record import WalkRecord
from engine.model.workflow import Workflow
from engine.storage.store import Head
from engine.templates.catalog import Templates


class Placing:
    """Has the `Roster`, to which ``limit`` and ``heard`` are given; ``news`` is called when some were placed."""

    lines: Lines

    def __init__(
        self,
        limit: int | None,
        custody: Custody,
        writing: Writing,
        asking: Asking,
        templates: Templates,
        heard: Callable[[int, str, list[str], Result], None],
        news: Callable[[], None],
    ) -> None:
        self._custody = custody
        self._writing = writing
        self._asking = asking
        self._templates = templates
        self.roster = Roster(limit, self._came, heard)
        self._news = news
        self._placement = Placement()
        self._fresh: dict[str, tuple[Held, Sealed]] = {}
        """Those that the store is yet to be asked to have, by uid, and their entries."""
        self._wanted = asyncio.Event()
        """Set where a workflow may have to be placed."""
        self._is_placing = False

    @property
    def is_done(self) -> bool:
        """Whether all are where they are to be."""
        return not (self._fresh or self._is_placing or self._wanted.is_set())

    def _came(self, workflow: Workflow) -> Held:
        """There is another one. Raises `StoreError` for what is no JSON."""
        entries = entries_of(workflow)
        held = Held(workflow, self._custody.take_in(workflow.uid))
        self._fresh[workflow.uid] = held, entries
        self._wanted.set()
        return held

    def restored(self, workflow: Workflow, record: WalkRecord) -> None:
        """The store had it when it was opened."""
        held = Held(workflow, self._custody.take_in(workflow.uid, record.leaves))
        held.written.set_result(None)
        self.roster.restored(held)
        self._placement.add(workflow.uid, self._groups(workflow), live=bool(workflow.phase))
        self._wanted.set()

    def left(self, held: Held) -> None:
        """A workflow is over, or known no more."""
        self._placement.remove(held.workflow.uid)
        if not held.written.done():
            self._fresh.pop(held.workflow.uid, None)
            held.written.set_result(None)  # as far as it ever will be: nobody is to wait for that
        self._wanted.set()  # others may have waited for its place

    def joined(self, number: int) -> None:
        """There is a shard of this number."""
        self._placement.joined(number)
        self._wanted.set()

    def gone(self, number: int) -> None:
        """There is none any more."""
        self._placement.gone(number)
        self._wanted.set()

    async def place(self) -> None:
        """Have workflows be where they are to be, until cancelled. Raises `StoreError` once the store is given up."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            self._is_placing = True
            new, self._fresh = self._fresh, {}
            changes = [Committed(_head(held.workflow), entries, whole=True) for held, entries in new.values()]
            await self._writing.write(changes, self._custody.__contains__)
            for uid, (held, _) in new.items():
                if self.roster.by_uid(uid) is held:
                    held.written.set_result(None)
                    self._placement.add(uid, self._groups(held.workflow))
            for uid, number in self._placement.settle().items():
                await self._give(uid, number, new[uid][1] if uid in new else None)
            self._is_placing = False
            self._news()

    def _groups(self, workflow: Workflow) -> frozenset[str]:
        try:
            return groups_of(workflow, self._templates)
        except Exception:  # what is wrong with it its first pass will say
            return frozenset((workflow.namespace,))

    async def _give(self, uid: str, number: int, entries: Sealed | None) -> None:
        """Send a workflow to a shard, as the store has it."""
        if entries is None:
            entries = await self._writing.entries(uid)
        line, held = self.lines.of(number), self.roster.by_uid(uid)
        if line is None or held is None or self._placement.shard_of(uid) != number:
            return  # it is gone meanwhile, or where it was to go is
        reports = self._custody.give(uid, line.epoch)
        line.put(Take(uid, entries))
        for node_id, result in reports:
            line.report(uid, [node_id], result)
        asked, held.asked = held.asked, []
        for each in asked:
            self._asking.ask(line, uid, each)


def _head(workflow: Workflow) -> Head:
    return Head(workflow.uid, workflow.namespace, workflow.name, workflow.phase)
