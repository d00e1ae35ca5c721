"""What the driver has survives it, and a store that fails for a while costs time and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from pathlib import Path

import pytest

from engine import Engine, Fleet, MemoryStore, Node, Result, StoreError, Workflow
from engine.cluster import outbox
from engine.reconciling.entries import LEAF
from engine.storage.store import Change
from tests.acceptance.manifests import container, workflow
from tests.cluster.doubles import SUCCEEDED, Document, Lasting, Leaves, fan, until
from tests.cluster.inside import Inside
from tests.storage.doubles import Failing, Making, making


@pytest.fixture(params=["sqlite", "memory"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Making:
    return making(request.param, tmp_path)


async def begun(make: Making, leaves: Leaves, *works: Workflow) -> None:
    """Workflows with all their first leaves started, whose driver is gone."""
    async with Fleet(over=Inside(), executor=leaves, store=make()) as fleet:
        serving = asyncio.create_task(fleet.serve())
        for work in works:
            fleet.submit(work)
        for _ in range(3 * len(works)):
            await leaves.runs.get()
        serving.cancel()


async def finished(fleet: Fleet, leaves: Leaves) -> None:
    """All are run to their ends, whatever leaves that takes."""
    running = asyncio.create_task(fleet.run())
    while not running.done():
        runs = asyncio.ensure_future(leaves.runs.get())
        await asyncio.wait((runs, running), return_when=asyncio.FIRST_COMPLETED)
        if runs.done():
            work, node = runs.result()
            fleet.report(work, node.id, SUCCEEDED)
        runs.cancel()
    await running


async def test_workflows_go_on_and_leaves_that_run_are_adopted(make: Making) -> None:
    leaves = Lasting()
    await begun(make, leaves, fan("one"), fan("two"))
    async with Fleet(over=Inside(), executor=leaves, store=make(), shards=3) as fleet:
        works = fleet.workflows
        assert sorted(work.key for work in works) == ["default/one", "default/two"]
        await finished(fleet, leaves)
        assert fleet.archive is not None
        assert [document["status"]["phase"] async for document in fleet.archive.list()] == ["Succeeded"] * 2
    assert [work.phase for work in works] == ["Succeeded"] * 2
    assert len(leaves.adopted) == 6
    assert leaves.twice == []
    assert len(leaves.started) == 8


async def test_what_nobody_adopts_is_started_again(make: Making) -> None:
    await begun(make, Leaves(at_once=False), fan("one"))
    leaves = Leaves(at_once=False)
    async with Fleet(over=Inside(), executor=leaves, store=make()) as fleet:
        await finished(fleet, leaves)
    assert len(leaves.started) == 4


async def test_an_engine_goes_on_where_a_fleet_was_and_the_other_way_round(make: Making) -> None:
    leaves = Lasting()
    await begun(make, leaves, fan("one"))
    async with Engine(executor=leaves, store=make()) as engine:
        (work,) = engine.workflows
        await engine.reconcile(work)
        for node in [leaves.runs.get_nowait()[1] for _ in range(3)]:
            engine.report(work, node.id, SUCCEEDED)
        await engine.reconcile(work)
        leaves.runs.get_nowait()  # it runs on
    async with Fleet(over=Inside(), executor=leaves, store=make()) as fleet:
        (work,) = fleet.workflows
        await finished(fleet, leaves)
    assert work.phase == "Succeeded"
    assert leaves.twice == []


async def test_what_was_reported_is_saved_before_the_fleet_is_left(make: Making) -> None:
    leaves = Lasting()
    async with Fleet(over=Inside(), executor=leaves, store=make()) as fleet:
        serving = asyncio.create_task(fleet.serve())
        work = fan("one", width=1)
        fleet.submit(work)
        _, node = await leaves.runs.get()
        serving.cancel()
        await asyncio.wait((serving,))
        fleet.report(work, node.id, Result("Failed", "it broke"))
        await fleet.saved()
    async with Fleet(over=Inside(), executor=leaves, store=make()) as fleet:
        (work,) = fleet.workflows
        await fleet.run()
    assert work.nodes[node.id].message == "it broke"
    assert leaves.adopted == []


async def test_a_store_that_fails_is_tried_again_and_nothing_is_started_before() -> None:
    class Seen(Leaves):
        def start(self, workflow: Workflow, template: Document, node: Node) -> Result | None:
            assert not store.failures
            return super().start(workflow, template, node)

    store, leaves = Failing(), Leaves()
    async with Fleet(over=Inside(), executor=leaves, store=store) as fleet:
        work = fan("one")
        handle = fleet.submit(work)
        await fleet.saved(work)
        store.failures = 2
        store.after = True
        serving = asyncio.create_task(fleet.serve())
        await until(lambda: fleet.health.store == "disk: it is slow")
        assert leaves.started == []
        await handle.finished()
        assert fleet.health.store == ""
        assert fleet.stats.writes_failed == 2
        serving.cancel()
    assert leaves.twice == []
    assert len(leaves.started) == 4


async def test_a_store_that_fails_before_there_is_anything_to_await_is_tried_again_as_well() -> None:
    class Abrupt(MemoryStore):
        failures = 2

        def commit(self, change: Change) -> Awaitable[int]:
            if self.failures:
                self.failures -= 1
                raise OSError("the disk is full")
            return super().commit(change)

    async with Fleet(over=Inside(), executor=Leaves(), store=Abrupt()) as fleet:
        work = fan("one")
        await fleet.run([work])
        assert (work.phase, fleet.stats.writes_failed) == ("Succeeded", 2)


async def test_a_submission_that_cannot_be_written_waits() -> None:
    store = Failing()
    store.failures = 1
    async with Fleet(over=Inside(), executor=Leaves(), store=store) as fleet:
        work = fan("one")
        await fleet.run([work])
    assert work.phase == "Succeeded"


async def test_a_shard_waits_while_too_much_is_not_durable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "MOST", 2000)

    class Held(MemoryStore):
        def __init__(self) -> None:
            super().__init__()
            self.open = asyncio.Event()
            self.asked = 0

        async def commit(self, change: Change) -> int:
            self.asked += 1
            if self.asked > 8:
                await self.open.wait()
            return await super().commit(change)

    store, inside = Held(), Inside()
    async with Fleet(over=inside, executor=Leaves(), store=store, shards=1) as fleet:
        running = asyncio.create_task(fleet.run([workflow(container("main"), name=f"w-{n}") for n in range(8)]))
        (link,) = inside.links
        await until(lambda: link.held_up)
        store.open.set()
        await running
        assert fleet.stats.workflows_succeeded == 8


async def test_leaves_are_stopped_before_it_is_written_that_they_were() -> None:
    class Slow(MemoryStore):
        def __init__(self) -> None:
            super().__init__()
            self.open = asyncio.Event()
            self.open.set()
            self.asked = asyncio.Event()
            self.early = 0

        async def commit(self, change: Change) -> int:
            if not self.open.is_set():
                self.asked.set()
                await self.open.wait()
            self.early += len(change.gone.get(LEAF, ())) > len(leaves.stopped)
            return await super().commit(change)

    store, leaves = Slow(), Leaves(at_once=False)
    async with Fleet(over=Inside(), executor=leaves, store=store, shards=1) as fleet:
        handle = fleet.submit(fan("one"))
        serving = asyncio.create_task(fleet.serve())
        for _ in range(3):
            await leaves.runs.get()
        store.open.clear()
        terminated = fleet.terminate(handle)
        await store.asked.wait()
        store.open.set()
        await terminated
        await handle.finished()
        serving.cancel()
    assert len(leaves.stopped) == 3
    assert store.early == 0


async def test_a_store_is_one_fleets() -> None:
    store = MemoryStore()
    async with Fleet(over=Inside(), store=store):
        with pytest.raises(StoreError, match="no other engine"):
            async with Engine(store=store):
                pass
