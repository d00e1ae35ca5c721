"""What is asked of a workflow may cross with its end: its shard has it no more, and the driver does not know."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any, Self

import pytest

from engine import Fleet, MemoryStore, Node, OperationError, Result, Workflow
from engine.cluster.transport import Link
from tests.acceptance.manifests import container, workflow
from tests.cluster.inside import Inside, InsideLink


class _SlowLink:
    """Answers arrive only while they may."""

    def __init__(self, link: InsideLink, may: asyncio.Event) -> None:
        self.name, self._link, self._may = link.name, link, may

    async def kill(self) -> None:
        await self._link.kill()

    async def close(self) -> None:
        await self._link.close()

    async def exchange(self, mail: bytes) -> bytes:
        answer = await self._link.exchange(mail)
        await self._may.wait()
        return answer


class _Slow:
    """A `Transport` whose links are such."""

    def __init__(self) -> None:
        self.inside = Inside()
        self.may = asyncio.Event()

    async def __aenter__(self) -> Self:
        await self.inside.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.inside.__aexit__(kind, error, trace)

    async def start(self, number: int, settings: bytes) -> Link:
        return _SlowLink(await self.inside.start(number, settings), self.may)

    def finished(self) -> asyncio.Event:
        """Set once the only shard has finished a workflow."""
        finished, (link,) = asyncio.Event(), self.inside.links
        link.shard._engine.listeners.append(lambda commit: finished.set() if commit.finished else None)
        return finished


class _Leaves:
    """Leaves end when they are told to."""

    def __init__(self) -> None:
        self.started: asyncio.Queue[tuple[Workflow, Node]] = asyncio.Queue()

    def start(self, workflow: Workflow, template: Mapping[str, Any], node: Node) -> None:
        self.started.put_nowait((workflow, node))

    def stop(self, workflow: Workflow, node: Node) -> None:
        pass


@pytest.fixture
async def crossing() -> AsyncIterator[tuple[Fleet, Workflow, _Slow, MemoryStore]]:
    """A workflow that is over in its shard."""
    leaves, store, over = _Leaves(), MemoryStore(), _Slow()
    over.may.set()
    async with Fleet(executor=leaves, store=store, shards=1, over=over) as fleet:
        serving = asyncio.create_task(fleet.serve())
        fleet.submit(workflow(container("leaf")))
        work, node = await leaves.started.get()
        over.may.clear()
        finished = over.finished()
        fleet.report(work, node.id, Result("Succeeded"))
        await finished.wait()
        assert not work.finished
        yield fleet, work, over, store
        fleet.drain(0.0)
        await serving


async def test_an_operation_is_refused_as_one_of_a_finished_workflow(crossing: Any) -> None:
    fleet, work, over, _ = crossing
    stopped = fleet.stop(work)
    over.may.set()
    with pytest.raises(OperationError, match="expected a workflow that is not finished, this one is Succeeded"):
        await stopped


async def test_a_deleted_one_is_gone(crossing: Any) -> None:
    fleet, work, over, store = crossing
    deleted = fleet.delete(work)
    over.may.set()
    await deleted
    assert await store.heads() == []
    assert await fleet.archive.get(work.uid) is None
