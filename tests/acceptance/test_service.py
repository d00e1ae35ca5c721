"""An engine that stays: it serves and runs, somebody waits for workflows, and it ends in order."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from itertools import product

import pytest

from engine import (
    Commit,
    Draining,
    Engine,
    Executor,
    NotFinished,
    OperationError,
    PendingExecutor,
    Result,
    SimulatedExecutor,
)
from tests.acceptance.fixtures import StartEngine, StartPlugin
from tests.acceptance.manifests import by_name, container, steps, workflow
from tests.acceptance.peer import Hanging
from tests.acceptance.staying import Runs, leaf, serving, turns


async def test_it_serves_what_is_submitted_until_it_is_drained() -> None:
    executor = Runs()
    async with serving(Engine(executor=executor)) as engine:
        first = engine.submit(leaf("first"))
        await executor.heard("+first a")
        assert (first.phase, first.progress) == ("Running", "0/1")
        second = engine.submit(leaf("second"))
        await executor.heard("+second a")
        executor.end(engine)
        assert (await first.finished()).phase == "Succeeded"
        assert await second.finished() is second.workflow
        assert (second.phase, second.progress, second.key) == ("Succeeded", "1/1", "default/second")
    assert engine.stats.workflows == 0


async def test_it_sleeps_while_there_is_nothing_to_do() -> None:
    async with serving(Engine(executor=Runs())) as engine:
        for _ in range(10):
            await asyncio.sleep(0)
        turned = engine._loop.turned_at
        for _ in range(100):
            await asyncio.sleep(0)
        assert engine._loop.turned_at == turned


async def test_it_sees_that_the_clock_was_set_while_it_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.reconciling.looping.LONGEST_NAP", 0.01)
    ahead = 0.0
    executor = Runs()
    async with serving(Engine(executor=executor, clock=lambda: 1e9 + ahead)) as engine:
        rows = [[{"name": "a", "template": "leaf"}], [{"name": "b", "template": "pause"}]]
        pause = {"name": "pause", "suspend": {"duration": "1h"}}
        work = engine.submit(workflow({"name": "main", "steps": rows}, container("leaf"), pause))
        await executor.heard(f"+{work.workflow.name} a")
        executor.end(engine)
        while True:
            if "b" in by_name(work.workflow):
                break
            await asyncio.sleep(0)
        ahead = 7200.0
        assert (await work.finished()).phase == "Succeeded"


@pytest.mark.parametrize("executor", [SimulatedExecutor(), PendingExecutor()])
async def test_it_serves_a_simulation_too(executor: Executor) -> None:
    work = workflow({"name": "main", "suspend": {"duration": "1h"}})
    clock = SimulatedExecutor().clock
    async with serving(Engine(executor=executor, clock=clock)) as engine:
        assert (await engine.submit(work).finished()).phase == "Succeeded"


async def test_a_run_waits_for_its_workflows_only_and_others_get_passes_meanwhile() -> None:
    executor = Runs()
    async with Engine(executor=executor) as engine:
        other = engine.submit(leaf("other"))
        mine = leaf("mine")
        run = asyncio.create_task(engine.run([mine]))
        await executor.heard("+other a")
        await executor.heard("+mine a")
        engine.report(mine, by_name(mine)["a"].id, Result("Succeeded"))
        await run
        assert (mine.phase, other.phase) == ("Succeeded", "Running")


async def test_runs_at_the_same_time_share_a_loop() -> None:
    works = [workflow(container("main"), name=f"w{number}") for number in range(20)]
    async with Engine() as engine:
        await asyncio.gather(*(engine.run([work]) for work in works))
    assert {work.phase for work in works} == {"Succeeded"}


async def test_a_run_that_is_cancelled_leaves_its_workflow_queued_and_whole(
    plugin: StartPlugin, engine: StartEngine
) -> None:
    hang = Hanging()
    executor = Runs()
    running = await engine(await plugin({"node.preExecute": hang}), executor=executor)
    work = leaf()
    before = work.encode()
    run = asyncio.create_task(running.run([work]))
    await hang.asked.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert work.encode() == before
    assert running.stats.queued == 1
    hang.leave.set()
    handle = running.submit(work)
    run = asyncio.create_task(running.run([work]))
    await executor.heard("+work a")
    executor.end(running)
    await run
    assert (await handle.finished()).phase == "Succeeded"
    assert executor.told == ["+work a"]


@pytest.mark.parametrize("way", ["serve", "run"])
async def test_who_comes_and_goes_leaves_the_loop_fit_for_the_next(way: str, slowly: None) -> None:
    """At whatever moment: also while the passes are aborted that there were for the one before."""
    for halting, staying in product(range(10), repeat=2):
        executor = Runs()
        async with Engine(executor=executor) as engine:
            engine.submit(leaf())
            first = asyncio.create_task(engine.serve())
            await turns(5)
            first.cancel()
            await turns(halting)
            second = asyncio.create_task(engine.serve() if way == "serve" else engine.run())
            await turns(staying)
            second.cancel()
            await asyncio.wait((first, second))
            served = asyncio.create_task(engine.serve())
            await turns(100)
            assert executor.told == ["+work a"], (halting, staying)
        await served


async def test_a_run_that_ends_before_a_pass_has_begun_leaves_it_to_the_next(slowly: None) -> None:
    """What it waited for is forgotten, and one that was submitted just then is handed out already."""
    for coming, going in product(range(10), repeat=2):
        executor = Runs()
        async with Engine(executor=executor) as engine:
            work = leaf()
            run = asyncio.create_task(engine.run([work]))
            await turns(1 + coming)
            engine.submit(leaf("other"))
            await turns(going)
            engine.forget(work)
            await run
            assert engine.stats.in_flight == 0, (coming, going)
            served = asyncio.create_task(engine.serve())
            await turns(100)
            assert "+other a" in executor.told
        await served


async def test_who_waits_hears_that_the_engine_was_drained() -> None:
    executor = Runs()
    async with Engine(executor=executor) as engine:
        served = asyncio.create_task(engine.serve())
        handle = engine.submit(leaf())
        await executor.heard("+work a")
        waiting = asyncio.create_task(handle.finished())
        await asyncio.sleep(0)
        engine.drain(1.0)
        await served
        with pytest.raises(NotFinished, match="the engine makes no more passes"):
            await waiting
        with pytest.raises(NotFinished, match="the engine makes no more passes"):
            await handle.finished()
        with pytest.raises(Draining, match="default/late: the engine is draining"):
            engine.submit(leaf("late"))
    with pytest.raises(NotFinished, match="the engine makes no more passes"):
        await handle.finished()


async def test_who_waits_goes_on_waiting_where_a_closed_engine_is_run_again() -> None:
    executor = Runs()
    engine = Engine(executor=executor)
    async with engine:
        handle = engine.submit(leaf())
    async with engine:
        served = asyncio.create_task(engine.serve())
        await executor.heard("+work a")
        waiting = asyncio.create_task(handle.finished())
        await asyncio.sleep(0)
        engine.report(handle, by_name(handle.workflow)["a"].id, Result("Succeeded"))
        assert (await waiting).phase == "Succeeded"
        engine.drain(0)
        await served


async def test_an_engine_that_is_closed_ends_what_serves_it() -> None:
    executor = Runs()
    async with Engine(executor=executor) as engine:
        served = asyncio.create_task(engine.serve())
        handle = engine.submit(leaf())
        await executor.heard("+work a")
    await served
    async with serving(Engine(executor=Runs())) as other:
        assert other.submit(handle.workflow).phase == "Running"


async def test_its_health_tells_what_it_is_about() -> None:
    executor = Runs()
    engine = Engine(executor=executor)
    assert (engine.health.turning, engine.health.since_turn, engine.health.ready) == (False, None, False)
    async with serving(engine):
        engine.submit(leaf())
        await executor.heard("+work a")
        health = engine.health
        assert health.ready
        assert health.since_turn is not None
        assert (health.workflows, health.queued) == (1, 0)
    assert (engine.health.turning, engine.health.draining) == (False, True)


async def test_an_error_of_the_loop_reaches_whoever_it_turns_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(when: float) -> None:
        raise RuntimeError("a mistake of ours")

    async with Engine() as engine:
        monkeypatch.setattr(engine._active.queue, "wake", fail)
        with pytest.raises(RuntimeError, match="a mistake of ours"):
            await engine.serve()
        assert not engine.health.turning


async def test_passes_over_one_workflow_do_not_overlap(plugin: StartPlugin, engine: StartEngine) -> None:
    hang = Hanging()
    running = await engine(await plugin({"node.preExecute": hang}))
    work = leaf()
    first = asyncio.create_task(running.reconcile(work))
    await hang.asked.wait()
    with pytest.raises(ValueError, match="a pass over the workflow is under way"):
        await running.reconcile(work)
    hang.leave.set()
    await first


async def test_a_pass_that_an_embedder_makes_is_in_nobodys_way(slowly: None) -> None:
    """The loop makes its own once that is over."""
    for number in range(10):
        executor = Runs()
        async with serving(Engine(executor=executor)) as engine:
            handle = engine.submit(leaf())
            await turns(number)
            with suppress(OperationError):  # the loop was first
                await engine.reconcile(handle.workflow)
            await executor.heard("+work a")
            executor.end(engine)
            assert (await handle.finished()).phase == "Succeeded"


async def test_small_workflows_end_before_all_others_have_begun() -> None:
    """First come, first served among all would begin every one before any has its second pass."""
    works = [workflow(steps(*"abcdefghi"), container("leaf"), name=f"w{number}") for number in range(300)]
    begun, when = set[str](), list[int]()

    def listen(commit: Commit) -> None:
        begun.add(commit.workflow.key)
        if commit.finished:
            when.append(len(begun))

    async with Engine() as engine:
        engine.listeners.append(listen)
        await engine.run(works)
    assert len(when) == 300
    assert when[0] < 50
