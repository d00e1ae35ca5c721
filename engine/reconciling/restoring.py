"""What an engine goes on with when it opens a store: the workflows that another process had."""

from __future__ import annotations

from collections.abc import Callable

from engine.model.clock import SimulatedClock
from engine.reconciling.active import Active
from engine.reconciling.entries import read
from engine.reconciling.keeping import Surroundings
from engine.reconciling.starting import Leaves
from engine.storage.store import Store


async def restore(
    store: Store, active: Active, leaves: Leaves, surroundings: Surroundings, clock: Callable[[], float]
) -> None:
    """Have all that is not finished, and have stopped what was to be stopped of what is. Raises `StoreError`."""
    for head in await store.heads(finished=False):
        workflow, record = await read(head.uid, await store.entries(head.uid))
        if isinstance(clock, SimulatedClock) and record.at is not None:
            clock.jump(record.at)  # it had been set forward
        run = active.restored(workflow, record)
        if workflow.finished:
            await surroundings.pace.through(leaves.follow(run))
