"""What leaves of deleted workflows have left in files goes with them, whenever this process ends on the way."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from engine.executors.executor import Keeping
from engine.reconciler import Reconciler
from engine.reconciling.archive import Archive
from engine.storage.store import Store, StoreError
from rpc.logs import get_logger

KIND: Final = "Removal"
"""The documents that say whose files are still to be removed."""

_log = get_logger(__name__)


class Removals:
    """The files of workflows that are deleted. It is written down whose they are before the store forgets them."""

    def __init__(self, engine: Reconciler, store: Store) -> None:
        self._engine, self._store = engine, store
        self._under_way: set[asyncio.Task[None]] = set()

    async def go_on(self) -> None:
        """Finish what an earlier process has begun; the store may still have the workflow. Raises `StoreError`."""
        workflows = {workflow.uid: workflow for workflow in self._engine.workflows}
        for item in await self._store.items(KIND):
            workflow = workflows.get(item.name)
            if workflow is not None:
                await self._engine.delete(workflow)
            else:
                await Archive(self._store).delete(item.name)
            self.remove(item.name)

    async def begin(self, uid: str) -> None:
        """The workflow of that uid is about to be deleted. Raises `StoreError`."""
        if isinstance(self._engine.executor, Keeping):
            await self._store.put(KIND, "", uid, {})

    async def take_back(self, uid: str) -> None:
        """It could not be deleted: it is to be there after a restart, too."""
        with suppress(StoreError):  # then it is not to be
            await self._store.remove(KIND, "", uid)

    def remove(self, uid: str) -> None:
        """It is deleted: remove its files, once nothing of it runs any more."""
        executor = self._engine.executor
        if isinstance(executor, Keeping):
            task = asyncio.create_task(self._remove(executor, uid))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _remove(self, executor: Keeping, uid: str) -> None:
        try:
            await executor.forget(uid)
            await self._store.remove(KIND, "", uid)
        except (StoreError, OSError, ValueError) as error:
            _log.warning("files not removed", uid=uid, reason=str(error))

    async def close(self) -> None:
        """What is not removed by now is for the next process to remove."""
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
