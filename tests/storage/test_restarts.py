"""An engine that is gone, and another one that opens its store: the workflow goes on where it was."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from engine import (
    AlreadySubmitted,
    Engine,
    MemoryStore,
    PendingExecutor,
    Result,
    SqliteStore,
    StoreError,
    Workflow,
)
from tests.acceptance.manifests import WHOLE, container, loop, workflow
from tests.storage.doubles import Leaves, Making
from tests.storage.workflows import only, two_steps


async def test_a_workflow_goes_on_and_is_the_same_to_the_byte(make: Making) -> None:
    leaves = Leaves()
    async with Engine(executor=leaves, store=make()) as engine:
        work = two_steps()
        await engine.reconcile(work)
    async with Engine(executor=leaves, store=make()) as engine:
        again = only(engine)
        assert again is not work
        assert again.encode() == work.encode()
        assert list(again.nodes) == list(work.nodes)
        await engine.reconcile(again)
        assert leaves.asked == ["work[0].a"]
        engine.report(again, leaves.ended("work[0].a"), Result("Succeeded"))
        await engine.reconcile(again)
    async with Engine(executor=leaves, store=make()) as engine:
        again = only(engine)
        engine.report(again, leaves.ended("work[1].b"), Result("Succeeded"))
        await engine.reconcile(again)
        assert again.phase == "Succeeded"
    async with Engine(executor=leaves, store=make()) as engine:
        assert engine.workflows == []
    assert leaves.started == ["work[0].a", "work[1].b"]


async def test_a_submission_is_kept_before_its_first_pass(make: Making) -> None:
    async with Engine(store=make()) as engine:
        work = two_steps()
        engine.submit(work)
        await engine.saved(work)
    async with Engine(store=make()) as engine:
        again = only(engine)
        assert (again.uid, again.encode()) == (work.uid, work.encode())
        await engine.run([])
        assert again.phase == "Succeeded"


async def test_what_is_forgotten_leaves_the_store_before_it_may_be_submitted_again(make: Making) -> None:
    async with Engine(executor=Leaves(), store=make()) as engine:
        work = two_steps()
        engine.submit(work)
        gone = engine.forget(work)
        assert engine._books is not None
        assert not engine._books.unwritten, "nothing is held of it"
        with pytest.raises(AlreadySubmitted, match="it is not gone yet"):
            engine.submit(work)
        await gone
        engine.submit(work)
        await engine.saved(work)
    async with Engine(executor=Leaves(), store=make()) as engine:
        assert only(engine).uid == work.uid


async def test_what_is_said_before_the_store_is_open_is_written_once_it_is(
    make: Making, caplog: pytest.LogCaptureFixture
) -> None:
    engine, work = Engine(executor=Leaves(), store=make()), two_steps()
    engine.submit(work)
    async with engine:
        assert engine.archive is not None
        while True:
            if [each async for each in engine.archive.list(finished=False)]:
                break
            await asyncio.sleep(0.001)
    engine.suspend(work)  # nobody can write that any more, and nobody tries
    run = engine._active.find(work)
    assert run is not None
    assert run.ledger is not None
    assert run.ledger._timer is None
    assert not caplog.records


async def test_operations_are_kept_with_what_was_said_of_them(make: Making) -> None:
    leaves = Leaves()
    async with Engine(executor=leaves, store=make()) as engine:
        work = two_steps()
        await engine.reconcile(work)
        engine.stop(work, message="since it rains")
        await engine.saved(work)
    async with Engine(executor=leaves, store=make()) as engine:
        again = only(engine)
        await engine.reconcile(again)
        assert again.phase == "Failed"
        assert again.nodes[next(iter(again.nodes))].phase == "Failed"
        leaf = next(node for node in again.nodes.values() if node.type == "Pod")
        assert leaf.message == "workflow shutdown with strategy:  Stop: since it rains"
    assert leaves.stopped == ["work[0].a"]


async def test_a_suspended_workflow_keeps_what_was_reported_meanwhile(make: Making) -> None:
    leaves = Leaves()
    async with Engine(executor=leaves, store=make()) as engine:
        work = two_steps()
        await engine.reconcile(work)
        engine.suspend(work)
        engine.report(work, leaves.ended("work[0].a"), Result("Succeeded"))
        await engine.reconcile(work)
        await engine.saved(work)
    async with Engine(executor=leaves, store=make()) as engine:
        again = only(engine)
        await engine.reconcile(again)
        assert leaves.started == ["work[0].a"]
        engine.resume(again)
        await engine.reconcile(again)
        assert leaves.started == ["work[0].a", "work[1].b"]


async def test_what_waits_for_room_keeps_its_turn(make: Making) -> None:
    leaves = Leaves()
    work = workflow(loop(6), container("leaf"), parallelism=2)
    async with Engine(executor=leaves, store=make()) as engine:
        await engine.reconcile(work)
    for _ in range(6):
        async with Engine(executor=leaves, store=make()) as engine:
            again = only(engine)
            name = next(iter(leaves.running.values()))
            engine.report(again, leaves.ended(name), Result("Succeeded"))
            await engine.reconcile(again)
    assert again.phase == "Succeeded"
    assert leaves.started == [node.name for node in again.nodes.values() if node.type == "Pod"]
    assert len(leaves.started) == 6


async def test_locks_are_held_across_a_restart_and_waited_for(make: Making) -> None:
    leaves = Leaves()
    lock = {"synchronization": {"mutex": {"name": "m"}}}
    async with Engine(executor=leaves, store=make()) as engine:
        for name in ("first", "second"):
            await engine.reconcile(workflow(container("leaf"), name=name, **lock))
    async with Engine(executor=leaves, store=make()) as engine:
        first, second = engine.workflows
        await engine.reconcile(second)
        assert leaves.started == ["first"]
        engine.report(first, leaves.ended("first"), Result("Succeeded"))
        await engine.reconcile(first)
        await engine.reconcile(second)
    assert leaves.started == ["first", "second"]


async def test_a_retry_is_kept_and_what_it_dropped_is_gone(make: Making) -> None:
    leaves = Leaves()
    async with Engine(executor=leaves, store=make()) as engine:
        work = two_steps()
        await engine.reconcile(work)
        engine.report(work, leaves.ended("work[0].a"), Result("Failed"))
        await engine.reconcile(work)
        assert work.phase == "Failed"
        engine.retry(work)
        await engine.saved(work)
    async with Engine(executor=leaves, store=make()) as engine:
        again = only(engine)
        assert again.encode() == work.encode()
        await engine.reconcile(again)
    assert leaves.started == ["work[0].a", "work[0].a"]


async def test_finished_workflows_stay_until_they_are_deleted(make: Making) -> None:
    async with Engine(store=make()) as engine:
        works = [workflow(container("leaf"), name=name) for name in ("a", "b")]
        await engine.run(works)
    async with Engine(store=make()) as engine:
        archive = engine.archive
        assert archive is not None
        listed = [each async for each in archive.list()]
        assert [each["metadata"]["name"] for each in listed] == ["a", "b"]
        assert "nodes" not in listed[0]["status"]
        found = await archive.get(works[0].uid)
        assert found is not None
        assert found.encode() == works[0].encode()
        assert [each["metadata"]["name"] async for each in archive.list(name="b", namespace="default")] == ["b"]
        assert await archive.delete(works[0].uid)
        assert not await archive.delete(works[0].uid)
        assert await archive.get(works[0].uid) is None
        assert [each["metadata"]["name"] async for each in archive.list()] == ["b"]


async def test_everything_that_a_document_may_have_comes_back(make: Making) -> None:
    document = {**WHOLE, "unknown": {"a": [1, None, 1.5]}, "status": {"later": None, "nodes": {}}}
    async with Engine(executor=PendingExecutor(), store=make()) as engine:
        work = Workflow(document)
        await engine.reconcile(work)
    async with Engine(executor=PendingExecutor(), store=make()) as engine:
        assert only(engine).encode() == work.encode()


async def test_a_node_with_many_children_comes_back_with_all_of_them_in_their_order(make: Making) -> None:
    leaves = Leaves()
    async with Engine(executor=leaves, store=make()) as engine:
        work = workflow(loop(1000), container("leaf"), parallelism=600)
        await engine.reconcile(work)
        for name in list(leaves.running.values())[:500]:
            engine.report(work, leaves.ended(name), Result("Succeeded"))
        await engine.reconcile(work)
    async with Engine(executor=leaves, store=make()) as engine:
        assert only(engine).encode() == work.encode()
        assert list(only(engine).nodes) == list(work.nodes)


@pytest.mark.parametrize("how", ["forget", "delete"])
async def test_what_was_forgotten_is_not_back(make: Making, how: str) -> None:
    leaves = Leaves()
    async with Engine(executor=leaves, store=make()) as engine:
        assert engine.archive is not None
        works = [workflow(container("leaf"), name=name) for name in ("begun", "new", "stays")]
        for work in works:
            engine.submit(work)
        await engine.reconcile(works[0])
        await asyncio.gather(*map(engine.saved, works))
        for work in works[:2]:
            await getattr(engine, how)(work)
            assert await engine.archive.get(work.uid) is None
    async with Engine(executor=leaves, store=make()) as engine:
        assert [work.name for work in engine.workflows] == ["stays"]
    assert leaves.stopped == (["begun"] if how == "delete" else [])


async def test_what_was_forgotten_may_be_submitted_again(make: Making) -> None:
    async with Engine(executor=Leaves(), store=make()) as engine:
        work = two_steps()
        await engine.reconcile(work)
        await engine.forget(work)
        engine.submit(work)
        await engine.saved(work)
    async with Engine(executor=Leaves(), store=make()) as engine:
        assert only(engine).encode() == work.encode()


async def test_two_engines_on_one_store_are_refused(make: Making) -> None:
    store = make()
    async with Engine(executor=Leaves(), store=store) as engine:
        await engine.reconcile(two_steps())
        with pytest.raises(StoreError, match="expected a store that no other engine has"):
            async with Engine(executor=Leaves(), store=store):
                raise AssertionError("it was opened")
        await engine.reconcile(workflow(container("leaf"), name="other"))
    async with Engine(executor=Leaves(), store=store) as engine:
        assert len(engine.workflows) == 2


async def test_two_engines_on_one_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "oarlock.db"
    async with Engine(store=SqliteStore(path)):
        with pytest.raises(StoreError, match="in use by process"):
            async with Engine(store=SqliteStore(path)):
                raise AssertionError("it was opened")


async def test_a_store_that_is_closed_under_the_engine_starts_nothing_and_is_told(tmp_path: Path) -> None:
    store, leaves = SqliteStore(tmp_path / "oarlock.db"), Leaves()
    async with Engine(executor=leaves, store=store) as engine:
        work = two_steps()
        await engine.reconcile(work)
        engine.report(work, leaves.ended("work[0].a"), Result("Succeeded"))
        await engine.saved(work)
        await store.__aexit__(None, None, None)
        before = work.encode()
        result = await engine.reconcile(work)
        assert isinstance(result.aborted, StoreError)
        assert "expected a store that is open" in str(result.aborted)
        assert (work.encode(), leaves.started) == (before, ["work[0].a"])
    async with Engine(executor=leaves, store=store) as engine:
        await engine.reconcile(only(engine))
    assert leaves.started == ["work[0].a", "work[1].b"]


async def test_without_a_store_there_is_nothing_to_wait_for() -> None:
    async with Engine() as engine:
        work = two_steps()
        engine.submit(work)
        await engine.saved(work)
        assert engine.archive is None


async def test_a_leaf_that_ends_in_a_large_workflow_writes_little(tmp_path: Path) -> None:
    path = tmp_path / "oarlock.db"
    store, leaves = SqliteStore(path), Leaves()
    async with Engine(executor=leaves, store=store) as engine:
        work = workflow(loop(10_000), container("leaf"))
        await engine.reconcile(work)
        await engine.saved(work)
        assert store._connection is not None
        store._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        engine.report(work, leaves.ended("work[0].each(7777:7777)"), Result("Succeeded"))
        await engine.reconcile(work)
        log = await asyncio.to_thread((tmp_path / "oarlock.db-wal").stat)
        assert 0 < log.st_size <= 64 * 1024, log.st_size


async def test_one_workflow_is_taken_in_with_the_entries_that_another_engine_has_written() -> None:
    store, leaves, others = MemoryStore(), Leaves(), Leaves()
    async with Engine(executor=leaves, store=store) as engine:
        work = two_steps()
        await engine.reconcile(work)
        entries = await store.entries(work.uid)
    other = Engine(executor=others)
    again = await other.take_in(work.uid, entries)
    assert again.encode() == work.encode()
    with pytest.raises(AlreadySubmitted):
        other.submit(again)
    await other.reconcile(again)
    assert others.asked == ["work[0].a"]
    with pytest.raises(StoreError, match="expected entries that make a workflow"):
        await other.take_in("gone", [])


@pytest.mark.parametrize("turns", range(24))
async def test_a_report_is_saved_whenever_it_comes_in_a_pass_that_takes_an_earlier_one(
    turns: int, slowly: None
) -> None:
    store, leaves = MemoryStore(), Leaves()
    async with Engine(executor=leaves, store=store) as engine:
        work = two_steps()
        await engine.reconcile(work)
        leaf = leaves.ended("work[0].a")
        engine.report(work, leaf, Result("Running", "half of it"))
        making = asyncio.ensure_future(engine.reconcile(work))
        for _ in range(turns):
            await asyncio.sleep(0)
        engine.report(work, leaf, Result("Failed", "all of it"))
        await making
        await engine.saved(work)
        written = {(kind, key): value for kind, key, value in await store.entries(work.uid, ("node", "report"))}
        assert b"all of it" in written["node", leaf] + written.get(("report", leaf), b"")
