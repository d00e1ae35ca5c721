"""A service as an embedder has it, for as long as one likes: ``python -m tests.soak.service --rounds 1000``.

Two engines in one event loop, one of them with a store, both serving. In each round workflows of several namespaces
come and go: they end, fail and are retried, are stopped, suspended and resumed, forgotten and submitted again, deleted;
runs are cancelled, who waits gives up, templates and ConfigMaps change. After it nothing is under way, and nothing may
be held.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import click
import uvloop

from engine import Engine, Node, NotFinished, OperationError, Result, SqliteStore, Workflow, WorkflowHandle
from tests.soak.gauges import Gauges, objects_of_ours
from tests.soak.storm import becomes_true

NAMESPACES: Final = ("default", "blue", "red")
FATES: Final = (*["wait"] * 3, "forget", "delete", "stop", "suspend", "cancel", "give up", "retry")


class Leaves:
    """Runs leaves for some turns of the event loop. Those named ``fails`` fail the first time."""

    engine: Engine

    def __init__(self, dice: random.Random) -> None:
        self.running: dict[tuple[str, str], asyncio.TimerHandle] = {}
        self.failed: set[tuple[str, str]] = set()
        self._dice = dice

    def start(self, workflow: Workflow, template: Mapping[str, Any], node: Node) -> Result | None:
        key = workflow.uid, node.id
        if key in self.running:  # it was forgotten, and submitted again
            return None
        result = Result("Succeeded", outputs={"result": template["container"]["args"][0], "exitCode": "0"})
        if template["name"] == "fails" and key not in self.failed:
            self.failed.add(key)
            result = Result("Failed", "as it was told to")
        if self._dice.random() < 0.3:
            return result
        later = asyncio.get_running_loop().call_later
        self.running[key] = later(self._dice.uniform(0.0, 0.01), self.end, workflow, node.id, result)
        return None

    def stop(self, workflow: Workflow, node: Node) -> None:
        handle = self.running.pop((workflow.uid, node.id), None)
        if handle is not None:
            handle.cancel()

    def end(self, workflow: Workflow, node_id: str, result: Result) -> None:
        del self.running[workflow.uid, node_id]
        with contextlib.suppress(OperationError):  # it was forgotten
            self.engine.report(workflow, node_id, result)


def documents(namespace: str, version: int) -> list[dict[str, Any]]:
    """What workflows refer to: each version says so in its leaves, and has another size of the semaphore."""
    leaf = {"inputs": {"parameters": [{"name": "n", "value": "-"}]}}
    container = {"image": "any", "command": ["echo"], "args": [f"{namespace} {version}", "{{inputs.parameters.n}}"]}
    semaphore = {"semaphores": [{"configMapKeyRef": {"name": "sizes", "key": "few"}}]}
    memo = {"key": f"{version}-{{{{inputs.parameters.n}}}}", "maxAge": "1s", "cache": {"configMap": {"name": "memo"}}}
    templates = [
        {"name": "plain", "container": container, **leaf},
        {"name": "fails", "container": container, **leaf},
        {
            "name": "held",
            "container": container,
            "synchronization": {"mutexes": [{"name": "{{workflow.name}}"}]},
            **leaf,
        },
        {"name": "counted", "container": container, "synchronization": semaphore, **leaf},
        {"name": "kept", "container": container, "memoize": memo, **leaf},
        {"name": "again", "container": container, "retryStrategy": {"limit": "2"}, **leaf},
    ]
    return [
        {
            "kind": "WorkflowTemplate",
            "metadata": {"name": "shared", "namespace": namespace},
            "spec": {"templates": templates},
        },
        {
            "kind": "ConfigMap",
            "metadata": {"name": "sizes", "namespace": namespace},
            "data": {"few": str(1 + version % 3)},
        },
    ]


def workflow(name: str, namespace: str, dice: random.Random) -> Workflow:
    """Two groups of steps that call the templates of its namespace, one of them a loop."""
    calls = [
        {"name": f"s{number}", "templateRef": {"name": "shared", "template": template}}
        for number, template in enumerate(dice.choices(["plain", "held", "counted", "kept", "again", "fails"], k=3))
    ]
    loop = {**calls[0], "name": "each", "withSequence": {"count": "3"}}
    loop["arguments"] = {"parameters": [{"name": "n", "value": "{{item}}"}]}
    spec = {"entrypoint": "main", "templates": [{"name": "main", "steps": [calls, [loop]]}]}
    named = {"name": name} if dice.random() < 0.5 else {"generateName": f"{name}-"}
    metadata = {**named, "namespace": namespace}
    return Workflow({"kind": "Workflow", "metadata": metadata, "spec": spec})


class Held(NamedTuple):
    """What the process holds at rest."""

    blocks: int
    descriptors: int
    tasks: int
    objects: Counter[type]
    """Of our own types."""


class Service:
    """Two engines that serve, and rounds of workflows for them."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._dice = random.Random(seed)
        self._version = 0
        self._gauges = Gauges()
        self.done: Counter[str] = Counter()
        self._executors = Leaves(self._dice), Leaves(self._dice)
        self._engines = (
            Engine(executor=self._executors[0], store=SqliteStore(folder / "soak.db")),
            Engine(executor=self._executors[1], max_workflows=1000),
        )

    async def run(self, rounds: int) -> list[Held]:
        """So many rounds; what was held after each."""
        held = []
        for executor, engine in zip(self._executors, self._engines, strict=True):
            executor.engine = engine
        async with self._engines[0], self._engines[1]:
            served = [asyncio.create_task(engine.serve()) for engine in self._engines]
            for _ in range(rounds):
                await self._round()
                held.append(await self._rest())
            for engine in self._engines:
                engine.drain(0.0)
            await asyncio.gather(*served)
        return held

    async def _round(self, workflows: int = 40) -> None:
        self._version += 1
        for engine in self._engines:
            for namespace in NAMESPACES:
                for document in documents(namespace, self._version):
                    engine.templates.put(document)
        async with asyncio.TaskGroup() as group:
            for number in range(workflows):
                for engine in self._engines:
                    group.create_task(self._life(engine, f"w{number}"))
        for engine in self._engines:
            engine.templates.remove("WorkflowTemplate", "shared", namespace="red")

    async def _life(self, engine: Engine, name: str) -> None:
        """One workflow, from its beginning to its end."""
        dice, version = self._dice, self._version
        work = workflow(name, dice.choice(NAMESPACES), dice)
        what = dice.choice(FATES)
        try:
            handle = engine.submit(work)
        except OperationError:  # there is one of that name
            self.done["refused"] += 1
            return
        self.done[what] += 1
        await asyncio.sleep(dice.uniform(0.0, 0.02))
        with contextlib.suppress(OperationError):  # it is over already
            await self._treat(engine, handle, what)
        with contextlib.suppress(NotFinished):
            await handle.finished()
            for _ in range(2):  # a leaf fails once, and the second group may have some, too
                if what == "retry" and handle.phase == "Failed":
                    engine.retry(handle)
                    await handle.finished()
            assert what != "retry" or handle.phase == "Succeeded", work.message
            for node in work.nodes.values():
                said = (node.outputs or {}).get("result")
                assert said in (None, f"{work.namespace} {version}"), f"{work.key} {node.name}: {said}"
        if engine.archive is not None:
            await engine.archive.delete(work.uid)
        for executor in self._executors:
            executor.failed = {key for key in executor.failed if key[0] != work.uid}

    async def _treat(self, engine: Engine, handle: WorkflowHandle, what: str) -> None:
        if what == "forget":
            await engine.forget(handle)
            if self._dice.random() < 0.5:
                engine.submit(handle.workflow)
        elif what == "delete":
            await engine.delete(handle)
        elif what == "stop":
            engine.stop(handle)
        elif what == "suspend":
            engine.suspend(handle)
            await asyncio.sleep(0.005)
            engine.resume(handle)
        elif what in ("cancel", "give up"):
            waiting = engine.run([handle]) if what == "cancel" else handle.finished()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(waiting, 0.002)

    async def _rest(self) -> Held:
        for engine, executor in zip(self._engines, self._executors, strict=True):
            assert engine.stats.workflows == engine.stats.queued == engine.stats.in_flight == 0
            await becomes_true(partial(_none, executor.running))  # of what was forgotten
        objects = objects_of_ours()
        sample = self._gauges.read(0.0)
        return Held(sys.getallocatedblocks(), sample.descriptors, sample.tasks, objects)


def _none(of: Mapping[Any, Any]) -> bool:
    return not of


@click.command()
@click.option("--rounds", type=click.IntRange(2), default=100, show_default=True, help="Of 80 workflows each.")
@click.option("--seed", default=0, show_default=True, help="What the dice are seeded with.")
def main(rounds: int, seed: int) -> None:
    """Have two engines serve, and print what the process held now and then."""
    with tempfile.TemporaryDirectory(prefix="oarlock-soak-") as folder:
        service = Service(Path(folder), seed)
        held = uvloop.run(service.run(rounds))
    for number in range(0, rounds, max(rounds // 10, 1)):
        each = held[number]
        click.echo(
            f"round {number + 1}: {each.blocks:,} blocks of memory, {each.objects.total():,} objects of ours,"
            f" {each.descriptors} file descriptors, {each.tasks} tasks"
        )
    more = held[-1].objects - held[len(held) // 2].objects
    click.echo(f"more objects: { {each.__name__: count for each, count in more.items()} }")
    click.echo(", ".join(f"{what} {count}" for what, count in service.done.items()))


if __name__ == "__main__":
    main()
