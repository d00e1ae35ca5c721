"""An executor that knows its leaves from an earlier process, and stores that fail or wait when they are told to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from engine import MemoryStore, Node, Result, SqliteStore, Store, StoreError, Workflow
from engine.storage.store import Change

Document = Mapping[str, Any]


class Leaves:
    """Leaves that outlive engines: what was started, what was stopped, what runs. One engine after the other has it."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.stopped: list[str] = []
        self.asked: list[str] = []
        self.running: dict[str, str] = {}
        """Names by node id."""

    def start(self, workflow: Workflow, template: Document, node: Node) -> Result | None:
        assert node.id not in self.running, f"{node.name} was started twice"
        self.started.append(node.name)
        self.running[node.id] = node.name
        return None

    def adopt(self, workflow: Workflow, template: Document, node: Node) -> bool:
        self.asked.append(node.name)
        return node.id in self.running

    def stop(self, workflow: Workflow, node: Node) -> None:
        self.stopped.append(node.name)
        self.running.pop(node.id, None)

    def ended(self, name: str) -> str:
        """The id of the leaf of that name, which runs no more."""
        node_id = next(key for key, each in self.running.items() if each == name)
        del self.running[node_id]
        return node_id


class Failing(MemoryStore):
    """Fails as often as `failures` says; with ``after`` it has written by then all the same."""

    def __init__(self) -> None:
        super().__init__()
        self.failures = 0
        self.after = False
        self.changes: list[Change] = []
        self.written = asyncio.Event()

    async def commit(self, change: Change) -> int:
        self.changes.append(change)
        if self.failures and not self.after:
            self.failures -= 1
            raise StoreError("disk: it is full")
        revision = await super().commit(change)
        self.written.set()
        if self.failures:
            self.failures -= 1
            raise StoreError("disk: it is slow")
        return revision


class Slow(Failing):
    """Writes when it is told to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.go_on = asyncio.Event(), asyncio.Event()

    async def commit(self, change: Change) -> int:
        self.begun.set()
        await self.go_on.wait()
        return await super().commit(change)


class Sick(MemoryStore):
    """Cannot be written for as long as it is sick."""

    is_sick = False

    async def commit(self, change: Change) -> int:
        if self.is_sick:
            raise StoreError("oarlock.db: the disk is full")
        return await super().commit(change)


Making = Callable[[], Store]


def making(kind: str, folder: Path) -> Making:
    """What opens the same store, ``sqlite`` or ``memory``, again and again."""
    if kind == "sqlite":
        return lambda: SqliteStore(folder / "oarlock.db")
    store = MemoryStore()
    return lambda: store
