"""Whether the server is well, and whether it takes in more, as a probe is told."""

from __future__ import annotations

import asyncio

import pytest

from engine import MemoryStore, PendingExecutor, StoreError
from engine.storage.store import Change
from tests.serving.inside import inside, workflow
from tests.storage.doubles import Sick

pytestmark = pytest.mark.usefixtures("engine_or_fleet")

PATH = "/api/v1/workflows/default"


async def test_a_store_that_cannot_be_written_is_told_and_takes_in_nothing() -> None:
    store = Sick()
    async with inside(PendingExecutor(), store) as server:
        await server.submit(workflow("before"))
        store.is_sick = True
        answer = await server.ask("POST", PATH, {"workflow": workflow("lost")})
        assert answer.error == (503, 14, "oarlock.db: the disk is full")
        assert (await server.ask("GET", f"{PATH}/lost")).error[:2] == (404, 5)
        for probe in ("/healthz", "/readyz"):
            status, body = await server.ask("GET", probe)
            assert (status, body["status"]) == (503, "the store failed: oarlock.db: the disk is full")
        store.is_sick = False
        await server.submit(workflow("lost"))
        assert (await server.ask("GET", "/healthz")).status == 200


class OnceSick(MemoryStore):
    """Cannot be written the first time that it is asked, and is slow from then on, until it is told to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.go_on = asyncio.Event()

    async def commit(self, change: Change) -> int:
        self.asked += 1
        if self.asked == 1:
            await asyncio.sleep(0)
            raise StoreError("oarlock.db: the disk is full")
        await self.go_on.wait()
        return await super().commit(change)


async def test_of_what_was_not_taken_in_a_pass_under_way_makes_nothing() -> None:
    async with inside(PendingExecutor(), store := OnceSick()) as server:
        answer = await server.ask("POST", PATH, {"workflow": workflow("lost")})
        assert answer.error == (503, 14, "oarlock.db: the disk is full")
        store.go_on.set()
        await server.submit(workflow("next"))
        await server.until("next", "Running")
        assert (await server.ask("GET", f"{PATH}/lost")).error[:2] == (404, 5)
        await server.submit(workflow("lost"))


async def test_a_server_that_is_full_is_not_ready_and_says_so() -> None:
    async with inside(PendingExecutor(), max_workflows=1) as server:
        await server.submit(workflow("one"))
        status, body = await server.ask("GET", "/readyz")
        assert (status, body["status"], body["workflows"]) == (503, "full", 1)
        assert (await server.ask("GET", "/healthz")).status == 200
        answer = await server.ask("POST", PATH, {"workflow": workflow("two")})
        assert answer.error[:2] == (429, 8)
        await server.ask("DELETE", f"{PATH}/one")
        await server.submit(workflow("two"))


async def test_a_server_that_drains_takes_in_nothing() -> None:
    async with inside(PendingExecutor()) as server:
        await server.submit(workflow("one"))
        server.engine.drain(1.0)
        assert (await server.ask("GET", "/readyz")).body["status"] == "draining"
        for method, path in (("POST", PATH), ("PUT", f"{PATH}/one/stop"), ("DELETE", f"{PATH}/one")):
            answer = await server.ask(method, path, None if method == "DELETE" else {})
            assert answer.error == (503, 14, "the server is draining, and takes in nothing any more")
        assert (await server.get("one"))["metadata"]["name"] == "one"


async def test_streams_end_with_the_server() -> None:
    async with (
        inside(PendingExecutor()) as server,
        server.session.get(f"{server.url}/api/v1/workflow-events/") as response,
    ):
        assert response.status == 200
        ending = asyncio.create_task(server.runner.cleanup())
        assert await response.read() == b""
        await ending
