"""A fleet whose store fails can be stopped, drained and left: what was not written is not acted upon."""

from __future__ import annotations

import asyncio

import pytest

from engine import Fleet, StoreError
from tests.cluster.doubles import Leaves, fan, until
from tests.cluster.inside import Inside
from tests.storage.doubles import Sick


@pytest.mark.parametrize("runs", [False, True], ids=["none before", "one before"])
@pytest.mark.parametrize("drains", [False, True], ids=["left", "drained"])
async def test_it_ends(runs: bool, drains: bool) -> None:
    store, leaves = Sick(), Leaves(at_once=False)
    async with Fleet(over=Inside(), executor=leaves, store=store) as fleet:
        serving = asyncio.create_task(fleet.serve())
        if runs:
            fleet.submit(fan("before"))
            await leaves.runs.get()
        store.is_sick = True
        lost = fleet.submit(fan("lost"))
        with pytest.raises(StoreError, match="the disk is full"):
            await fleet.saved(lost)
        if runs:
            with pytest.raises(StoreError, match="the disk is full"):
                await fleet.suspend(fleet.workflows[0])
        if drains:
            fleet.drain(0.1)
            await serving
            with pytest.raises(StoreError, match="the disk is full"):
                await fleet.saved(lost)
    await serving
    assert not [uid for uid, _ in leaves.started if uid == lost.workflow.uid]


@pytest.mark.parametrize("cancelled", [False, True], ids=["in time", "cancelled"])
async def test_whoever_it_turned_for_goes_on(cancelled: bool) -> None:
    store, leaves = Sick(), Leaves()
    async with Fleet(over=Inside(), executor=leaves, store=store) as fleet:
        work = fan("one")
        handle = fleet.submit(work)
        await fleet.saved(work)
        store.is_sick = True
        if cancelled:
            running = asyncio.create_task(fleet.run())
            await until(lambda: bool(fleet.health.store))
            running.cancel()
            await asyncio.wait((running,))
        while not fleet.health.store:
            await fleet.run(timeout=0.05)  # in which a busy machine may not get to a pass
        assert leaves.started == []
        store.is_sick = False
        await fleet.run()
    assert handle.phase == "Succeeded"
    assert leaves.twice == []


def test_an_event_loop_that_is_torn_down_does_not_wait_for_it() -> None:
    async def main() -> None:
        async with Fleet(over=Inside()) as fleet:
            asyncio.get_running_loop().call_later(0.05, asyncio.get_running_loop().stop)
            await fleet.serve()

    with pytest.raises(RuntimeError, match="Event loop stopped before Future completed"):
        asyncio.run(main())
