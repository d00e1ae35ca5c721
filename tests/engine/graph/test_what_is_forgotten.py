"""An engine that has seen many workflows come and go keeps no more than one that has seen few."""

from __future__ import annotations

import asyncio
import gc
import itertools
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from engine import Engine, MemoryStore, PendingExecutor, Workflow
from engine.graph.invocation import Invocation
from engine.graph.series import Series
from engine.model.pace import Pace
from tests.engine.graph.running import Recorder, outcomes, workflow
from tests.engine.graph.test_namespaces import config_map, template

pytestmark = pytest.mark.usefixtures("settled")

SPEC = """
    synchronization: {mutex: {name: '{{workflow.name}}'}}
    templates:
    - {name: main, steps: [[{name: x, templateRef: {name: lib, template: t}}, {name: y, template: own}]]}
    - name: own
      inputs: {parameters: [{name: p, valueFrom: {configMapKeyRef: {name: c, key: k}}}]}
      container: {image: i}
      memoize: {key: '{{workflow.name}}', maxAge: 1s, cache: {configMap: {name: memos}}}
      synchronization: {semaphores: [{configMapKeyRef: {name: c, key: k}}], mutexes: [{name: 'of-{{workflow.name}}'}]}
"""


def objects() -> Counter[str]:
    """How many there are of each class of the engine's."""
    gc.collect()
    kinds = Counter(f"{type(each).__module__}.{type(each).__qualname__}" for each in gc.get_objects())
    return Counter({name: count for name, count in kinds.items() if name.startswith(("engine.", "registry.", "rpc."))})


def test_nothing_grows_with_the_workflows_that_are_over() -> None:
    async def counted() -> tuple[Counter[str], Counter[str]]:
        executor = Recorder(outcomes(""))
        async with Engine(executor=executor) as engine:

            async def one_round(number: int) -> None:
                namespace = f"n-{number}"
                engine.templates.put(template(f"{number}", namespace=namespace))
                engine.templates.put(config_map("2", namespace=namespace))
                works = [workflow(SPEC, f"w-{number}-{each}", namespace=namespace) for each in range(5)]
                await engine.run(works)
                assert {work.phase for work in works} == {"Succeeded"}
                engine.templates.remove("WorkflowTemplate", "lib", namespace=namespace)
                engine.templates.remove("ConfigMap", "c", namespace=namespace)
                # Simulated time stands still while nothing takes any: what is remembered for a second expires with it.
                executor.clock.jump(executor.clock() + 60)

            for number in range(4):
                await one_round(number)
            before = objects()
            for number in range(4, 24):
                await one_round(number)
            return before, objects()

    before, after = asyncio.run(counted())
    assert after - before == Counter()


def test_a_library_that_nobody_refers_to_any_more() -> None:
    async def libraries() -> list[int]:
        async with Engine(executor=Recorder(outcomes("")), workflow_templates=[template("0")]) as engine:
            found = []
            for number in range(1, 6):
                await engine.run([workflow("workflowTemplateRef: {name: lib}", f"w-{number}")])
                engine.templates.put(template(f"{number}"))
                found.append(objects()["engine.templates.library.Library"])
            return found

    found = asyncio.run(libraries())
    assert len(set(found)) == 1


LOOPS = """
    templates:
    - name: main
      dag: {tasks: [{name: steps, template: steps}, {name: turns, template: leaf, withSequence: {count: '1000'}}]}
    - name: steps
      steps:
      - - {name: turns, template: leaf, withSequence: {count: '1000'}}
        - {name: told, template: echo, arguments: {parameters: [{name: text, value: '{{item}}'}]}, withItems: [a, b]}
"""


async def until(is_so: Callable[[], bool]) -> None:
    for _ in iter(is_so, True):
        await asyncio.sleep(0)  # some of it happens in threads: there is no telling in how many turns


async def has_begun(engine: Engine, work: Workflow) -> asyncio.Task[Any]:
    passing = asyncio.create_task(engine.run([work]))
    await until(lambda: bool(work.phase))
    return passing


async def drop_after_a_pass(work: Workflow) -> None:
    await has_begun(Engine(executor=PendingExecutor()), work)


async def drop_closed(work: Workflow) -> None:
    async with Engine(executor=PendingExecutor()) as engine:
        (await has_begun(engine, work)).cancel()


async def drop_forgotten(work: Workflow) -> None:
    async with Engine(executor=PendingExecutor()) as engine:
        (await has_begun(engine, work)).cancel()
        await engine.forget(work)


async def drop_in_the_midst_of_a_pass(work: Workflow) -> None:
    passing = asyncio.create_task(Engine(executor=PendingExecutor()).run([work]))
    await until(lambda: any(node.type == "Pod" for node in work.nodes.values()))
    assert not work.phase
    passing.cancel()


async def _stored(work: Workflow) -> MemoryStore:
    """A store that has the workflow, and will go on with it."""
    store = MemoryStore()
    async with Engine(executor=PendingExecutor(), store=store) as engine:
        (await has_begun(engine, work)).cancel()
    return store


async def drop_after_a_restart(work: Workflow) -> None:
    async with Engine(executor=PendingExecutor(), store=await _stored(work)) as engine:
        (again,) = engine.workflows
        await engine.reconcile(again)
        assert sum(type(each) is Invocation for each in gc.get_objects()) < 100


async def drop_in_the_midst_of_a_restart(work: Workflow) -> None:
    async with Engine(executor=PendingExecutor(), store=await _stored(work)) as engine:
        engine._surroundings.pace = Pace(1, itertools.count().__next__)
        passing = asyncio.create_task(engine.run())
        await until(lambda: any(type(each) is Series for each in gc.get_objects()))
        passing.cancel()


@pytest.mark.parametrize(
    "drop",
    [
        drop_after_a_restart,
        drop_in_the_midst_of_a_restart,
        drop_after_a_pass,
        drop_closed,
        drop_forgotten,
        drop_in_the_midst_of_a_pass,
    ],
)
def test_loops_that_are_dropped_unfinished(drop: Callable[[Workflow], Coroutine[Any, Any, None]]) -> None:
    work = workflow(LOOPS)
    before = objects()
    asyncio.run(drop(work))
    gc.collect()  # lets go of what graphs refer to
    left = objects() - before
    assert [name for name in left if name.startswith("engine.graph.")] == []
