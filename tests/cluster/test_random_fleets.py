"""Fleets whose shards are ended or cut off at any moment, and whose driver is: no leaf is lost or started twice."""

from __future__ import annotations

import asyncio
import copy
import os
from collections.abc import Mapping
from random import Random
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from engine import Fleet, MemoryStore, Node, Result, Workflow
from engine.reconciling.entries import LEAF
from tests.acceptance.manifests import container, workflow
from tests.acceptance.staying import turns
from tests.cluster.inside import Inside, InsideLink

HISTORIES = int(os.environ.get("OARLOCK_FLEETS", "6"))
"""``OARLOCK_FLEETS=1000`` is for when there is time."""
SHARDS = 3
Key = tuple[str, str]


class World:
    """Leaves that are there whatever becomes of a driver, and what was done to them that must not be."""

    def __init__(self, choice: Random) -> None:
        self.choice = choice
        self.running: dict[Key, None] = {}
        self.ended: dict[Key, Result] = {}
        self.wrong: list[str] = []


class Leaves:
    """The world as one driver has it, for as long as it lives."""

    def __init__(self, world: World, store: MemoryStore) -> None:
        self.world = world
        self.store = store
        self.alive = True
        self.due: list[tuple[Workflow, str]] = []
        """What is to be reported."""

    def start(self, workflow: Workflow, template: Mapping[str, Any], node: Node) -> Result | None:
        if not self.alive:
            return None
        key = workflow.uid, node.id
        if key in self.world.running or key in self.world.ended:
            self.world.wrong.append(f"{node.name} was started twice")
        if node.id not in self.store._entries[workflow.uid].get(LEAF, {}):
            self.world.wrong.append(f"{node.name} was started before that was durable")
        if self.world.choice.random() < 0.2:
            self.world.ended[key] = Result("Succeeded", message=f"{key}")
            return self.world.ended[key]
        self.world.running[key] = None
        self.due.append((workflow, node.id))
        return None

    def adopt(self, workflow: Workflow, template: Mapping[str, Any], node: Node) -> bool:
        key = workflow.uid, node.id
        known = key in self.world.running or key in self.world.ended
        if known and self.alive:
            self.due.append((workflow, node.id))
        return known

    def stop(self, workflow: Workflow, node: Node) -> None:
        self.world.wrong.append(f"{node.name} was stopped")

    def report_some(self, fleet: Fleet) -> None:
        """Some leaves end, in any order, or say how far they are."""
        self.world.choice.shuffle(self.due)
        count = self.world.choice.randint(0, len(self.due))
        some, self.due = self.due[:count], self.due[count:]
        for work, node_id in some:
            key = work.uid, node_id
            if key in self.world.running and self.world.choice.random() < 0.2:
                fleet.report(work, node_id, Result("Running", progress=f"{self.world.choice.randint(1, 9)}/9"))
                self.due.append((work, node_id))
                continue
            self.world.running.pop(key, None)
            fleet.report(work, node_id, self.world.ended.setdefault(key, Result("Succeeded", message=f"{key}")))


class Fragile(Inside):
    """Shards that may be cut off: nothing more is exchanged with them, and they go on all the same."""

    def cut_off(self, link: InsideLink) -> None:
        link.why = f"{link.name} was cut off"
        for each in list(link._waiting):
            each.cancel()

    async def __aexit__(self, *_: object) -> None:
        await super().__aexit__(None, None, None)
        for link in self.links:
            if link.why.endswith("cut off"):
                await link.shard.__aexit__(None, None, None)


def works() -> list[Workflow]:
    """Loops and DAGs, some of which contend for a mutex."""
    steps = [{"name": "a", "template": "leaf", "withSequence": {"count": "3"}}, {"name": "b", "template": "leaf"}]
    tasks = [{"name": "c", "template": "leaf"}, {"name": "d", "template": "leaf", "depends": "c"}]
    loop: dict[str, Any] = {"name": "main", "steps": [steps, [{"name": "last", "template": "leaf"}]]}
    dag: dict[str, Any] = {
        "name": "main",
        "dag": {"tasks": [*tasks, {"name": "e", "template": "leaf", "depends": "c"}]},
    }
    locked = {**container("leaf"), "synchronization": {"mutexes": [{"name": "m"}]}}
    kinds = [(body, leaf) for body in (loop, dag) for leaf in (container("leaf"), locked)] * 2
    return [workflow(body, leaf, name=f"w-{number}") for number, (body, leaf) in enumerate(kinds)]


async def go_wrong(choice: Random, transport: Fragile, most: int) -> None:
    """Shards end at some moments."""
    for _ in range(choice.randint(0, most)):
        await turns(choice.randint(0, 400))
        if alive := transport.alive():
            link = choice.choice(alive)
            if choice.random() < 0.5:
                await link.kill()
            else:
                transport.cut_off(link)


async def history(choice: Random) -> None:
    world, store, lives = World(choice), MemoryStore(), choice.randint(1, 3)
    submitted = works()
    for life in range(lives):
        transport, leaves = Fragile(), Leaves(world, store)
        async with Fleet(over=transport, executor=leaves, store=store, shards=SHARDS) as fleet:
            if not life:
                for each in submitted:
                    fleet.submit(each)
                await asyncio.gather(*map(fleet.saved, submitted))
            serving = asyncio.create_task(fleet.serve())
            trouble = asyncio.create_task(go_wrong(choice, transport, 4))
            left = choice.randint(0, 60) if life < lives - 1 else None
            while fleet.workflows and left != 0:
                left = None if left is None else left - 1
                await turns(choice.randint(1, 30))
                leaves.report_some(fleet)
            # What is said and done from here on is that of a process that is no more.
            leaves.alive, store = False, copy.deepcopy(store)
            trouble.cancel()
            serving.cancel()
            await asyncio.wait((trouble, serving))
    assert not world.wrong
    assert not world.running
    heads = await store.heads()
    assert {head.name: head.phase for head in heads} == {each.name: "Succeeded" for each in submitted}
    assert len(world.ended) == 4 * 5 + 4 * 3


@pytest.mark.no_cover
@settings(max_examples=HISTORIES)
@given(seed=st.integers(0, 2**32))
def test_no_leaf_is_lost_or_started_twice(seed: int) -> None:
    asyncio.run(history(Random(seed)))
