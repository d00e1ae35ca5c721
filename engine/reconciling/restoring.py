"""What an engine goes on with that another process had: all workflows of a store, or one that it is given."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from engine.model.clock import SimulatedClock
from engine.model.workflow import Workflow
from engine.reconciling.active import Active
from engine.reconciling.entries import read
from engine.reconciling.starting import Leaves
from engine.storage.store import Entry, WorkflowStore


class Restoring:
    """Takes in workflows as a store has them. Raises `StoreError` for entries that make none."""

    def __init__(self, active: Active, leaves: Leaves, clock: Callable[[], float]) -> None:
        self._active = active
        self._leaves = leaves
        self._clock = clock

    async def all_of(self, store: WorkflowStore) -> None:
        """All that are not finished, or have leaves that are to be stopped."""
        for head in await store.heads(finished=False):
            await self.one(head.uid, await store.entries(head.uid))

    async def one(self, uid: str, entries: Iterable[Entry]) -> Workflow:
        """One of them; where it is finished, what of its leaves is to be stopped is."""
        workflow, record = await read(uid, entries)
        if isinstance(self._clock, SimulatedClock) and record.at is not None:
            self._clock.jump(record.at)  # it had been set forward
        run = self._active.found(workflow, record)
        if workflow.finished:
            await self._active.pace.through(self._leaves.follow(run))
        return workflow
