"""A store that fails: leaves are not started, the workflow is tried again, and it is told."""

from __future__ import annotations

import asyncio
import logging

import pytest

from engine import Engine, Result, StoreError
from engine.storage.store import Change
from tests.acceptance.manifests import container, loop, workflow
from tests.storage.doubles import Failing, Leaves, Slow


@pytest.mark.parametrize("after", [False, True], ids=["before it wrote", "after it wrote"])
async def test_a_pass_that_cannot_be_written_leaves_no_trace(
    after: bool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.reconciling.ledger.LINGER", 3600.0)  # passes write, and nothing else
    store, leaves = Failing(), Leaves()
    store.after = after
    async with Engine(executor=leaves, store=store) as engine:
        work = workflow(container("leaf"))
        before = work.encode()
        store.failures = 2
        for tried, delay in ((1, 0.1), (2, 0.2)):
            result = await engine.reconcile(work)
            assert isinstance(result.aborted, StoreError)
            assert result.requeue_after == delay
            assert work.encode() == before
            assert leaves.started == []
            assert "disk: it is" in engine.waiting_for(work)
            assert (engine.stats.aborted, engine.stats.writes_failed) == (tried, tried)
        assert (await engine.reconcile(work)).aborted is None
        assert leaves.started == ["work"]
        assert engine.waiting_for(work) == "1 running (work)"
    assert caplog.messages.count('store failed workflow=default/work reason="disk: it is full"') == (0 if after else 2)
    async with Engine(executor=leaves, store=store) as engine:
        assert [each.encode() for each in engine.workflows] == [work.encode()]


class Once(Failing):
    """Fails at one of its commits."""

    def __init__(self, at: int, *, after: bool) -> None:
        super().__init__()
        self.at, self.after = at, after

    async def commit(self, change: Change) -> int:
        self.failures = int(len(self.changes) == self.at)
        return await super().commit(change)


@pytest.mark.parametrize("after", [False, True], ids=["before it wrote", "after it wrote"])
async def test_whichever_commit_fails_the_workflow_ends_as_if_none_had(after: bool) -> None:
    commits = at = 0
    while at <= commits:
        store, leaves = Once(at, after=after), Leaves()
        async with Engine(executor=leaves, store=store, clock=lambda: 1e9) as engine:
            work = workflow(loop(2), container("leaf"), parallelism=1)
            while not work.finished:
                await engine.reconcile(work)
                for name in list(leaves.running.values()):
                    engine.report(work, leaves.ended(name), Result("Succeeded"))
            assert work.phase == "Succeeded"
            assert sorted(leaves.started) == ["work[0].each(0:0)", "work[0].each(1:1)"]
            assert leaves.stopped == []
            assert engine.archive is not None
            found = await engine.archive.get(work.uid)
            assert found is not None
            assert found.encode() == work.encode()
            assert engine.stats.writes_failed == (at < len(store.changes))
        commits, at = len(store.changes), at + 1
    assert commits > 2


async def test_after_a_failure_everything_is_written_whatever_the_store_has() -> None:
    store, leaves = Failing(), Leaves()
    async with Engine(executor=leaves, store=store) as engine:
        work = workflow(container("leaf"), container("other"))
        await engine.reconcile(work)
        store.failures = 1
        engine.report(work, leaves.ended("work"), Result("Succeeded"))
        await engine.reconcile(work)
        await engine.reconcile(work)
        assert store.changes[-1].whole
        assert work.phase == "Succeeded"


async def test_a_run_goes_on_once_the_store_does() -> None:
    store = Failing()
    async with Engine(store=store) as engine:
        store.failures = 3
        works = [workflow(container("leaf"), name=name) for name in ("a", "b")]
        await engine.run(works)
        assert [work.phase for work in works] == ["Succeeded", "Succeeded"]
    assert [head.phase for head in await store.heads(finished=True)] == ["Succeeded", "Succeeded"]


async def test_what_was_said_is_tried_again_until_it_is_written() -> None:
    store = Failing()
    async with Engine(store=store) as engine:
        store.failures = 3
        work = workflow(container("leaf"))
        engine.submit(work)
        with pytest.raises(StoreError, match="disk: it is full"):
            await engine.saved(work)
        assert engine.waiting_for(work) == "disk: it is full"
        await store.written.wait()
        await engine.saved(work)
        assert engine.waiting_for(work) == "nothing was started"


async def test_whatever_a_store_raises_is_an_error_of_the_store(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Failing):
        async def commit(self, change: Change) -> int:
            raise OSError(5, "Input/output error")

    caplog.set_level(logging.WARNING)
    async with Engine(store=Broken()) as engine:
        result = await engine.reconcile(workflow(container("leaf")))
        assert isinstance(result.aborted, StoreError)
        assert str(result.aborted) == "OSError: [Errno 5] Input/output error"


async def test_a_pass_cancelled_while_it_is_written_is_committed_as_the_store_has_it() -> None:
    store, leaves = Slow(), Leaves()
    async with Engine(executor=leaves, store=store) as engine:
        work = workflow(container("leaf"))
        making = asyncio.ensure_future(engine.reconcile(work))
        await store.begun.wait()
        making.cancel()
        await asyncio.sleep(0)
        assert not making.done()
        assert leaves.started == []
        store.go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await making
        assert leaves.started == ["work"]
        assert work.phase == "Running"


@pytest.mark.parametrize("turns", range(10))
async def test_a_pass_cancelled_at_any_time_once_it_is_written_is_committed(turns: int, slowly: None) -> None:
    store, leaves = Failing(), Leaves()
    async with Engine(executor=leaves, store=store) as engine:
        work = workflow(loop(200), container("leaf"))
        engine.submit(work)
        await engine.saved(work)
        store.written.clear()  # of what is written from here on the pass is the first
        making = asyncio.ensure_future(engine.reconcile(work))
        await store.written.wait()
        for _ in range(turns):
            await asyncio.sleep(0)
        making.cancel()
        with pytest.raises(asyncio.CancelledError):
            await making
        assert len(leaves.started) == 200
        assert work.phase == "Running"


async def test_locks_are_given_back_only_when_that_is_written() -> None:
    store, leaves = Failing(), Leaves()
    lock = {"synchronization": {"mutex": {"name": "m"}}}
    async with Engine(executor=leaves, store=store) as engine:
        first, second = (workflow(container("leaf"), name=name, **lock) for name in ("first", "second"))
        await engine.reconcile(first)
        engine.report(first, leaves.ended("first"), Result("Succeeded"))
        store.failures = 1
        assert (await engine.reconcile(first)).aborted is not None
        await engine.reconcile(second)
        assert leaves.started == ["first"]
        await engine.reconcile(first)
        await engine.reconcile(second)
        assert leaves.started == ["first", "second"]


async def test_an_operation_while_a_pass_is_written_is_written_after_it() -> None:
    store, leaves = Slow(), Leaves()
    async with Engine(executor=leaves, store=store) as engine:
        work = workflow(container("leaf"))
        making = asyncio.ensure_future(engine.reconcile(work))
        await store.begun.wait()
        engine.suspend(work)
        store.go_on.set()
        await making
        await engine.saved(work)
    async with Engine(executor=leaves, store=store) as engine:
        (again,) = engine.workflows
        assert again.document["spec"]["suspend"] is True
