"""An engine with a store and its API on a socket, by a clock that stands until a test sets it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aiohttp.test_utils import TestClient, TestServer

from engine import Engine, SimulatedExecutor
from engine.executors.executor import Executor
from engine.serving.app import application
from engine.serving.firing import Firing
from engine.serving.records import Records
from engine.serving.shelves import Shelves
from engine.storage.memory import MemoryStore
from engine.storage.store import Store

NINE = datetime(2026, 3, 2, 9, tzinfo=UTC).timestamp()
LEAF: dict[str, Any] = {"name": "leaf", "container": {"image": "busybox", "command": ["true"]}}
SPEC: dict[str, Any] = {"entrypoint": "leaf", "templates": [LEAF]}


@dataclass
class Clock:
    """Seconds since the epoch."""

    now: float = NINE

    def __call__(self) -> float:
        return self.now


@dataclass
class Served:
    """What is served, and a client of it."""

    engine: Engine
    records: Records
    shelves: Shelves
    firing: Firing
    clock: Clock
    client: TestClient[Any, Any]

    async def ask(self, method: str, path: str, body: object = None, **query: str) -> tuple[int, Any]:
        """The status and the answer."""
        async with self.client.request(method, f"/api/v1/{path}", json=body, params=query) as response:
            return response.status, await response.json()

    async def ok(self, method: str, path: str, body: object = None, **query: str) -> Any:
        """The answer of what goes well."""
        status, answer = await self.ask(method, path, body, **query)
        assert status == 200, answer
        return answer

    async def refused(self, method: str, path: str, body: object = None, **query: str) -> tuple[int, int, str]:
        """The status, the code and the message of what does not."""
        status, answer = await self.ask(method, path, body, **query)
        assert answer.keys() == {"code", "message"}
        assert "\n" not in answer["message"]
        return status, answer["code"], answer["message"]


@asynccontextmanager
async def served(
    store: Store | None = None, clock: Clock | None = None, executor: Executor | None = None
) -> AsyncIterator[Served]:
    """It, until the block ends."""
    store, clock = MemoryStore() if store is None else store, clock or Clock()
    engine = Engine(executor=executor or SimulatedExecutor(), store=store, clock=clock)
    shelves = Shelves(engine, store)
    async with engine, Records(engine, store) as records, shelves, shelves.firing(records) as firing:
        app = application(engine, store, records, shelves, [], named=False)
        async with TestClient(TestServer(app)) as client:
            yield Served(engine, records, shelves, firing, clock, client)
