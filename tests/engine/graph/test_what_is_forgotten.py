"""An engine that has seen many workflows come and go keeps no more than one that has seen few."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter

from engine import Engine
from tests.engine.graph.running import Recorder, outcomes, workflow
from tests.engine.graph.test_namespaces import config_map, template

SPEC = """
    synchronization: {mutex: {name: '{{workflow.name}}'}}
    templates:
    - {name: main, steps: [[{name: x, templateRef: {name: lib, template: t}}, {name: y, template: own}]]}
    - name: own
      inputs: {parameters: [{name: p, valueFrom: {configMapKeyRef: {name: c, key: k}}}]}
      container: {image: i}
      memoize: {key: '{{workflow.name}}', maxAge: 1s, cache: {configMap: {name: c}}}
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
