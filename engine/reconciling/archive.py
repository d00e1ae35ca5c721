"""What a store has of workflows that nobody is at work on: finished ones, until somebody deletes them."""

from __future__ import annotations

from collections.abc import AsyncIterator

from engine.model.workflow import Workflow
from engine.reconciling.entries import DESCRIPTION, document_of, read
from engine.shape import Document
from engine.storage.store import WorkflowStore


class Archive:
    """The workflows in a store. Every method raises `StoreError`."""

    def __init__(self, store: WorkflowStore) -> None:
        self._store = store

    async def list(
        self, *, finished: bool | None = True, namespace: str | None = None, name: str | None = None
    ) -> AsyncIterator[Document]:
        """The documents of workflows, without their nodes, in the order in which they were submitted."""
        for head in await self._store.heads(finished=finished, namespace=namespace, name=name):
            entries = await self._store.entries(head.uid, DESCRIPTION)
            if entries:  # else it was deleted meanwhile
                yield document_of(head.uid, entries)

    async def get(self, uid: str) -> Workflow | None:
        """A workflow with its nodes, as the store has it."""
        entries = await self._store.entries(uid)
        return (await read(uid, entries))[0] if entries else None

    async def delete(self, uid: str) -> bool:
        """Forget a finished workflow; whether there was one."""
        return await self._store.delete(uid)
