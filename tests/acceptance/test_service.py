"""An engine that stays: workflows come and go, somebody waits for them, and what cannot be is said at once."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from itertools import product
from typing import Any

import pytest

from engine import (
    AlreadySubmitted,
    Commit,
    Draining,
    Engine,
    Executor,
    LeafEnded,
    Node,
    NotFinished,
    OperationError,
    Outcome,
    Outcomes,
    PendingExecutor,
    Result,
    SimulatedExecutor,
    TooManyWorkflows,
    UnknownLeaf,
    UnknownWorkflow,
    Workflow,
)
from engine.model.pace import Pace
from tests.acceptance.fixtures import StartEngine, StartPlugin
from tests.acceptance.manifests import by_name, container, steps, workflow


class Runs:
    """Takes leaves, and remembers those that run and all that it was told."""

    def __init__(self) -> None:
        self.running: dict[tuple[str, str], Workflow] = {}
        self.told: list[str] = []
        self.news = asyncio.Event()

    def start(self, workflow: Workflow, template: Mapping[str, Any], node: Node) -> Result | None:
        assert (workflow.uid, node.id) not in self.running, "started twice"
        self.running[workflow.uid, node.id] = workflow
        self._tell(f"+{workflow.name} {node.display_name}")
        return None

    def stop(self, workflow: Workflow, node: Node) -> None:
        self.running.pop((workflow.uid, node.id), None)
        self._tell(f"-{workflow.name} {node.display_name}")

    def _tell(self, what: str) -> None:
        self.told.append(what)
        self.news.set()

    async def heard(self, what: str) -> None:
        while what not in self.told:
            self.news.clear()
            await self.news.wait()

    def end(self, engine: Engine, phase: str = "Succeeded") -> None:
        for (_, node_id), work in list(self.running.items()):
            del self.running[work.uid, node_id]
            engine.report(work, node_id, Result(phase))


@asynccontextmanager
async def serving(engine: Engine) -> AsyncIterator[Engine]:
    """The engine while it serves; drained in the end."""
    async with engine:
        served = asyncio.create_task(engine.serve())
        yield engine
        engine.drain(5.0)
        await served


def leaf(name: str = "work") -> Workflow:
    return workflow(steps("a"), container("leaf"), name=name)


@pytest.fixture
def slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """All rest wherever they may: the smallest pass takes many turns of the event loop."""
    monkeypatch.setattr("engine.reconciling.keeping.Pace", partial(Pace, 0.0))


async def turns(number: int) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


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
    go_on = asyncio.Event()

    async def hang(args: dict[str, Any]) -> dict[str, Any]:
        asked.set()
        await go_on.wait()
        return {}

    asked = asyncio.Event()
    executor = Runs()
    running = await engine(await plugin({"node.preExecute": hang}), executor=executor)
    work = leaf()
    before = work.encode()
    run = asyncio.create_task(running.run([work]))
    await asked.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert work.encode() == before
    assert running.stats.queued == 1
    go_on.set()
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


async def test_a_workflow_cannot_be_submitted_twice() -> None:
    async with Engine(executor=Runs()) as engine, Engine(executor=Runs()) as other:
        work = leaf()
        engine.submit(work)
        with pytest.raises(AlreadySubmitted, match="default/work: this workflow was submitted before"):
            engine.submit(work)
        with pytest.raises(AlreadySubmitted, match="default/work: there is an unfinished workflow of that name"):
            engine.submit(leaf())
        with pytest.raises(AlreadySubmitted, match="default/work: another engine has this workflow"):
            other.submit(work)
        same = Workflow({**leaf("else").document, "metadata": {"name": "else", "uid": work.uid}})
        with pytest.raises(AlreadySubmitted, match=f"of the uid {work.uid} already, default/work"):
            engine.submit(same)
        with pytest.raises(AlreadySubmitted, match="default/more: given twice"):
            await engine.run([leaf("more"), leaf("more")])
        assert engine.stats.workflows == 1


async def test_a_workflow_that_is_over_makes_room_for_one_of_its_name() -> None:
    async with Engine() as engine:
        works = [leaf(), leaf()]
        for work in works:
            await engine.run([work])
        assert [work.phase for work in works] == ["Succeeded", "Succeeded"]
        assert await engine.submit(works[0]).finished() is works[0]


async def test_no_more_are_taken_in_than_there_may_be() -> None:
    async with Engine(executor=Runs(), max_workflows=2) as engine:
        engine.submit(leaf("first"))
        refused = [leaf("second"), leaf("third")]
        with pytest.raises(TooManyWorkflows, match="may have 2 workflows and has 1: expected at most 1 more, got 2"):
            await engine.run(refused)
        assert engine.stats.workflows == 1
        engine.submit(refused[0])
        assert engine.health.full
        with pytest.raises(TooManyWorkflows):
            engine.submit(refused[1])
        engine.forget(refused[0])
        engine.submit(refused[1])


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
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def hang(args: dict[str, Any]) -> dict[str, Any]:
        asked.set()
        await go_on.wait()
        return {}

    executor = Runs()
    running = await engine(await plugin({"node.preExecute": hang}), executor=executor)
    work = leaf()
    before = work.encode()
    served = asyncio.create_task(running.serve())
    running.submit(work)
    await asked.wait()
    deleted = running.delete(work)
    with pytest.raises(AlreadySubmitted, match="it is not gone yet: await what `forget` returned"):
        running.submit(work)
    await deleted
    assert work.encode() == before
    assert executor.told == []
    running.submit(work)
    running.drain(0.0)
    await served
    go_on.set()


async def test_listeners_are_told_of_every_commit_and_of_the_nodes_that_it_changed() -> None:
    executor, heard = Runs(), list[tuple[str, set[str], bool]]()

    def listen(commit: Commit) -> None:
        names = {commit.workflow.nodes[each].display_name for each in commit.nodes}
        heard.append((commit.workflow.name, names, commit.finished))

    def fail(commit: Commit) -> None:
        raise RuntimeError("not my day")

    async with serving(Engine(executor=executor)) as engine:
        engine.listeners += [fail, listen]
        handle = engine.submit(leaf())
        await executor.heard("+work a")
        executor.end(engine)
        await handle.finished()
    assert heard == [("work", {"work", "[0]", "a"}, False), ("work", {"work", "[0]", "a"}, True)]


async def test_a_listener_may_submit_the_next_one() -> None:
    done = asyncio.Event()

    def again(commit: Commit) -> None:
        if commit.finished and engine.stats.workflows_finished < 3:
            engine.submit(leaf())
        elif commit.finished:
            done.set()

    async with serving(Engine()) as engine:
        engine.listeners.append(again)
        engine.submit(leaf())
        await done.wait()


async def test_reports_from_other_threads_are_taken_in() -> None:
    executor = Runs()
    async with serving(Engine(executor=executor)) as engine:
        handle = engine.submit(leaf())
        await executor.heard("+work a")
        work, node_id = handle.workflow, by_name(handle.workflow)["a"].id
        with pytest.raises(RuntimeError, match="use report_threadsafe"):
            await asyncio.to_thread(engine.report, work, node_id, Result("Failed"))
        with pytest.raises(RuntimeError, match="thread of the engine's event loop"):
            await asyncio.to_thread(engine.submit, leaf("else"))

        def report() -> None:
            engine.report_threadsafe(handle, node_id, Result("Succeeded"))

        thread = threading.Thread(target=report)
        thread.start()
        assert (await handle.finished()).phase == "Succeeded"
        thread.join()
        late = engine.report_threadsafe(work, node_id, Result("Failed"))
        with pytest.raises(LeafEnded):
            await asyncio.wrap_future(late)
    with pytest.raises(RuntimeError, match="does not run"):
        Engine().report_threadsafe(work, node_id, Result("Failed"))


async def test_a_report_that_cannot_count_is_refused() -> None:
    wrong: Any = "Succeeded"
    executor = Runs()
    async with serving(Engine(executor=executor)) as engine:
        work = workflow(steps("a", "b"), container("leaf"))
        handle = engine.submit(work)
        await executor.heard("+work a")
        a = by_name(work)["a"].id
        for node_id, what in (("nothing", "there is none"), ("work", "it is a Steps")):
            with pytest.raises(UnknownLeaf, match=f"{node_id}.*expected the id of a leaf, {what}"):
                engine.report(work, node_id, Result("Succeeded"))
        with pytest.raises(UnknownWorkflow, match="submit it first"):
            engine.report(leaf("else"), a, Result("Succeeded"))
        with pytest.raises(TypeError, match="expected a Result, got 'Succeeded'"):
            engine.report(work, a, wrong)
        engine.report(work, a, Result("Succeeded"))
        engine.report(work, a, Result("Succeeded"))
        with pytest.raises(LeafEnded, match="was reported before, as Succeeded"):
            engine.report(work, a, Result("Failed"))
        await executor.heard("+work b")
        with pytest.raises(LeafEnded, match="had ended before, as Succeeded"):
            engine.report(work, a, Result("Failed"))
        engine.report(work, by_name(work)["b"].id, Result("Succeeded"))
        assert (await handle.finished()).phase == "Succeeded"
        with pytest.raises(LeafEnded, match="the workflow is Succeeded"):
            engine.report(work, a, Result("Failed"))


async def test_a_workflow_of_an_engine_that_is_gone_may_be_submitted_to_another() -> None:
    work = leaf()
    Engine(executor=Runs()).submit(work)
    gc.collect()
    async with Engine() as engine:
        await engine.reconcile(work)
        handle = engine.submit(work)
        await engine.run()
        assert handle.phase == "Succeeded"


async def test_a_handle_of_another_engine_is_refused() -> None:
    wrong: Any = "default/work"
    async with Engine(executor=Runs()) as engine, Engine(executor=Runs()) as other:
        handle = engine.submit(leaf())
        for use in (other.stop, other.suspend, other.forget, other.delete, other.waiting_for):
            with pytest.raises(UnknownWorkflow, match="default/work: the handle is another engine's"):
                use(handle)
        with pytest.raises(TypeError, match="expected a Workflow, or the handle of one, got 'default/work'"):
            engine.stop(wrong)
        with pytest.raises(AlreadySubmitted, match="another engine has this workflow"):
            other.stop(handle.workflow)


async def test_a_workflow_is_found_by_its_key() -> None:
    async with Engine(executor=Runs()) as engine:
        handle = engine.submit(leaf())
        found = engine.find("default/work")
        assert found is not None
        assert found.workflow is handle.workflow
        await engine.delete(found)
        assert engine.find("default/work") is None


async def test_operations_take_handles() -> None:
    executor = Runs()
    async with serving(Engine(executor=executor)) as engine:
        handle = engine.submit(leaf())
        await executor.heard("+work a")
        engine.suspend(handle)
        engine.resume(handle)
        executor.end(engine, "Failed")
        assert (await handle.finished()).phase == "Failed"
        executor.told.clear()
        engine.retry(handle)
        await executor.heard("+work a")
        executor.end(engine)
        assert (await handle.finished()).phase == "Succeeded"


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
        with pytest.raises(Draining, match="default/late: the engine is draining"):
            engine.submit(leaf("late"))


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


class Coroutines:
    async def start(self, workflow: Workflow, template: Mapping[str, Any], node: Node) -> Result | None:
        return None

    def stop(self, workflow: Workflow, node: Node) -> None:
        """Nothing runs."""


class Deaf:
    def start(self, workflow: Workflow, template: Mapping[str, Any], node: Node) -> Result | None:
        return None


class Narrow(Deaf):
    def stop(self, node: Node) -> None:
        """Nothing runs."""


@pytest.mark.parametrize(
    ("executor", "message"),
    [
        (Coroutines(), "expected start.workflow, template, node. that is no `async def`, as Coroutines has it"),
        (Deaf(), "expected stop.workflow, node., Deaf has none"),
        (Narrow(), "expected stop.workflow, node., Narrow has one with other arguments: too many"),
        (PendingExecutor, "expected an object with start and stop, got the class PendingExecutor"),
    ],
)
def test_an_executor_of_the_wrong_shape_is_refused(executor: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        Engine(executor=executor)


async def test_what_an_executor_returns_has_to_be_a_result() -> None:
    class Odd(Runs):
        def start(self, workflow: Workflow, template: Mapping[str, Any], node: Node) -> Any:
            return asyncio.sleep(0) if node.display_name == "a" else "Succeeded"

    work = workflow(
        {"name": "main", "steps": [[{"name": "a", "template": "leaf"}, {"name": "b", "template": "leaf"}]]},
        container("leaf"),
    )
    async with Engine(executor=Odd()) as engine:
        await engine.run([work])
    nodes, expected = by_name(work), "TypeError: executor: expected start to return a Result or None, got"
    assert nodes["a"].message == f"{expected} an awaitable: it is not awaited"
    assert nodes["b"].message == f"{expected} 'Succeeded'"


async def test_passes_over_one_workflow_do_not_overlap(plugin: StartPlugin, engine: StartEngine) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def hang(args: dict[str, Any]) -> dict[str, Any]:
        asked.set()
        await go_on.wait()
        return {}

    running = await engine(await plugin({"node.preExecute": hang}))
    work = leaf()
    first = asyncio.create_task(running.reconcile(work))
    await asked.wait()
    with pytest.raises(ValueError, match="a pass over the workflow is under way"):
        await running.reconcile(work)
    go_on.set()
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
