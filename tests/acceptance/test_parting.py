"""What is forgotten or deleted is gone: for locks, simulations and passes under way, too."""

from __future__ import annotations

import asyncio

import pytest

from engine import (
    AlreadySubmitted,
    Engine,
    Node,
    NotFinished,
    Outcome,
    Outcomes,
    Result,
    SimulatedExecutor,
    UnknownWorkflow,
)
from tests.acceptance.fixtures import StartEngine, StartPlugin
from tests.acceptance.manifests import by_name, container, steps, workflow
from tests.acceptance.peer import Hanging
from tests.acceptance.staying import Runs, leaf, serving


async def test_what_is_forgotten_is_not_stopped_and_may_be_submitted_again() -> None:
    executor = Runs()
    async with serving(Engine(executor=executor)) as engine:
        handle = engine.submit(leaf())
        await executor.heard("+work a")
        waiting = asyncio.create_task(handle.finished())
        await asyncio.sleep(0)
        await engine.forget(handle)
        with pytest.raises(NotFinished, match="default/work is not finished, and the engine has it no more"):
            await waiting
        assert executor.told == ["+work a"]
        assert engine.stats.workflows == 0
        with pytest.raises(UnknownWorkflow, match="default/work: this engine does not have the workflow"):
            executor.end(engine)
        executor.told.clear()
        again = engine.submit(handle.workflow)
        await executor.heard("+work a")  # it ran when the workflow was found
        executor.end(engine)
        assert (await again.finished()).phase == "Succeeded"
        await engine.forget(again)
        with pytest.raises(UnknownWorkflow, match="nothing to delete"):
            engine.delete(leaf())


async def test_what_is_deleted_is_stopped_and_gives_its_locks_back() -> None:
    executor = Runs()
    locked = [
        workflow(steps("a"), container("leaf"), name=name, synchronization={"mutexes": [{"name": "only"}]})
        for name in ("first", "second")
    ]
    async with serving(Engine(executor=executor)) as engine:
        handles = [engine.submit(work) for work in locked]
        await executor.heard("+first a")
        node = by_name(locked[0])["a"]
        engine.delete(handles[0])
        assert executor.told == ["+first a", "-first a"]
        engine.report(locked[0], node.id, Result("Succeeded"))  # it has crossed with the stop
        await executor.heard("+second a")
        executor.end(engine)
        assert (await handles[1].finished()).phase == "Succeeded"


@pytest.mark.parametrize("way", ["forget", "delete"])
@pytest.mark.parametrize("place", ["workflow", "template"])
async def test_what_is_gone_wakes_whoever_waits_for_its_locks(way: str, place: str) -> None:
    executor, lock = Runs(), {"synchronization": {"mutexes": [{"name": "only"}]}}
    spec, template = (lock, {}) if place == "workflow" else ({}, lock)
    works = [
        workflow(steps("a"), {**container("leaf"), **template}, name=name, **spec)
        for name in ("first", "second", "third")
    ]
    async with serving(Engine(executor=executor)) as engine:
        first, second, third = (engine.submit(work) for work in works)
        await executor.heard("+first a")
        await getattr(engine, way)(second)  # who waits in the middle of the line
        await getattr(engine, way)(first)
        await executor.heard("+third a")
        engine.report(third, by_name(works[2])["a"].id, Result("Succeeded"))
        assert (await third.finished()).phase == "Succeeded"


async def test_a_simulation_remembers_nothing_of_what_is_gone() -> None:
    failing = Outcomes({"leaf": [Outcome(phase="Failed"), Outcome(duration="1h")]})
    executor = SimulatedExecutor(failing)
    async with Engine(executor=executor) as engine:
        for gone in (engine.forget, engine.delete):
            work = workflow(steps("a"), container("leaf", retryStrategy={"limit": 5}))
            await engine.reconcile(work)
            await engine.reconcile(work)
            await gone(work)
        assert not executor._chosen


async def test_a_leaf_that_is_stopped_and_started_again_takes_its_whole_time() -> None:
    executor = SimulatedExecutor(Outcomes({"leaf": [Outcome(duration="10s")]}))
    work, template = leaf(), container("leaf")
    node = Node(id="n", name="n", display_name="n", type="Pod")
    began = executor.clock()
    executor.start(work, template, node)
    executor.clock.jump(began + 8)
    executor.stop(work, node)
    executor.start(work, template, node)
    executor.clock.jump(began + 12)
    assert executor.take_due() == []
    assert (executor.next_due or 0.0) >= began + 18


async def test_a_pass_over_what_is_deleted_is_undone(plugin: StartPlugin, engine: StartEngine) -> None:
    hang = Hanging()
    executor = Runs()
    running = await engine(await plugin({"node.preExecute": hang}), executor=executor)
    work = leaf()
    before = work.encode()
    served = asyncio.create_task(running.serve())
    running.submit(work)
    await hang.asked.wait()
    deleted = running.delete(work)
    with pytest.raises(AlreadySubmitted, match="it is not gone yet: await what `forget` returned"):
        running.submit(work)
    await deleted
    assert work.encode() == before
    assert executor.told == []
    running.submit(work)
    running.drain(0.0)
    await served
    hang.leave.set()
