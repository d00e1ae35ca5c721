"""An engine that is gone, and another one that opens its store: leaves are adopted, started again, stopped."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from engine import Engine, PendingExecutor, Result, Workflow
from tests.acceptance.manifests import container, workflow
from tests.storage.doubles import Leaves, Making
from tests.storage.workflows import only, two_steps


class Dying(Leaves):
    """Whoever is to be stopped is not, as if the process had ended there."""

    def stop(self, workflow: Workflow, node: Any) -> None:
        raise asyncio.CancelledError


async def test_leaves_that_an_executor_does_not_know_are_started_again(make: Making) -> None:
    for _ in range(2):
        leaves = Leaves()
        async with Engine(executor=leaves, store=make()) as engine:
            await engine.reconcile(only(engine) if engine.workflows else two_steps())
        assert leaves.started == ["work[0].a"]


async def test_leaves_are_started_again_by_an_executor_that_cannot_tell(make: Making) -> None:
    async with Engine(executor=PendingExecutor(), store=make()) as engine:
        await engine.reconcile(two_steps())
    async with Engine(store=make()) as engine:
        await engine.run([])
        assert engine.archive is not None
        assert [each["status"]["phase"] async for each in engine.archive.list()] == ["Succeeded"]


async def test_nothing_is_started_again_whose_report_was_not_taken_up(make: Making) -> None:
    leaves = Leaves()
    async with Engine(executor=leaves, store=make()) as engine:
        work = two_steps()
        await engine.reconcile(work)
        engine.report(work, leaves.ended("work[0].a"), Result("Succeeded"))
        await engine.saved(work)
    async with Engine(executor=leaves, store=make()) as engine:
        await engine.reconcile(only(engine))
    assert leaves.started == ["work[0].a", "work[1].b"]
    assert leaves.asked == []


async def test_leaves_of_a_suspended_workflow_are_adopted_before_it_goes_on(make: Making) -> None:
    leaves = Leaves()
    async with Engine(executor=leaves, store=make()) as engine:
        work = two_steps()
        await engine.reconcile(work)
        engine.suspend(work)
        await engine.saved(work)
    before = work.encode()
    async with Engine(executor=leaves, store=make()) as engine:
        again = only(engine)
        await engine.reconcile(again)
        assert leaves.asked == ["work[0].a"]
        engine.report(again, leaves.ended("work[0].a"), Result("Succeeded"))
        await engine.reconcile(again)
        assert again.encode() == before
        engine.resume(again)
        await engine.reconcile(again)
    assert (leaves.asked, leaves.started) == (["work[0].a"], ["work[0].a", "work[1].b"])


async def test_leaves_of_a_finished_workflow_are_stopped_if_that_had_not_been_done(make: Making) -> None:
    leaves = Dying()
    async with Engine(executor=leaves, store=make()) as engine:
        work = two_steps()
        await engine.reconcile(work)
        engine.terminate(work)
        with pytest.raises(asyncio.CancelledError):
            await engine.reconcile(work)
    alive = Leaves()
    async with Engine(executor=alive, store=make()) as engine:
        assert engine.workflows == []
    assert alive.stopped == ["work[0].a"]
    after = Leaves()
    async with Engine(executor=after, store=make()):
        pass
    assert after.stopped == []


async def test_leaves_that_are_to_be_stopped_are_while_the_workflow_ends(make: Making) -> None:
    leaves = Dying()
    daemon = {**container("daemon"), "daemon": True}
    inner = {"name": "inner", "steps": [[{"name": "up", "template": "daemon"}]]}
    steps = [[{"name": "a", "template": "inner"}, {"name": "b", "template": "leaf"}]]
    async with Engine(executor=leaves, store=make()) as engine:
        work = workflow({"name": "main", "steps": steps}, inner, daemon, container("leaf"))
        await engine.reconcile(work)
        daemons = [key for key, name in leaves.running.items() if name.endswith("up")]
        engine.report(work, daemons[0], Result("Running"))
        with pytest.raises(asyncio.CancelledError):  # its boundary is over with that
            await engine.reconcile(work)
    dying = Dying()
    dying.running = leaves.running
    async with Engine(executor=dying, store=make()) as engine:
        engine.report(only(engine), dying.ended("work[0].b"), Result("Succeeded"))
        with pytest.raises(asyncio.CancelledError):
            await engine.reconcile(only(engine))
    alive = Leaves()
    async with Engine(executor=alive, store=make()) as engine:
        assert engine.workflows == []
    assert alive.stopped == ["work[0].a[0].up"]
