"""Random workflows, run undisturbed, and with a store that fails now and then, passes aborted and cancelled, and after
any pass the engine gone and another one on its store: the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from itertools import count
from random import Random
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import MemoryStore, Node, StoreError, Workflow
from engine.model.pace import Pace
from engine.storage.store import Change
from tests.walks.comparing import CONFIG_MAPS, Difference, Run, Telling, difference
from tests.walks.doubles import Registry, World
from tests.walks.generate import generate


class Lasting(World):
    """Leaves that outlive the engine."""

    def adopt(self, workflow: Workflow, template: Mapping[str, Any], node: Node) -> bool:
        return node.id in self.running


class Shaky(MemoryStore):
    """Fails where `dice` say so, before or after it has written, and takes some turns of the event loop."""

    def __init__(self, dice: Random, quiet: Callable[[], bool]) -> None:
        super().__init__()
        self.dice = dice
        self.quiet = quiet

    async def commit(self, change: Change) -> int:
        fails = None if self.quiet() else self.dice.random()
        for _ in range(self.dice.randrange(3)):
            await asyncio.sleep(0)
        if fails is not None and fails < 0.1:
            raise StoreError("it failed before")
        revision = await super().commit(change)
        if fails is not None and fails > 0.9:
            raise StoreError("it failed after")
        return revision


class Calm(Run):
    """An undisturbed run. Replies that are used again are an engine's, and plugins may say something else later."""

    caches = ("auto",)


class Restarting(Calm):
    """A disturbed run whose engine is replaced by another one, where `restarts` say so, after a pass."""

    def __init__(self, document: dict[str, Any], seed: int, dice: Random) -> None:
        super().__init__(document, seed, dice)
        self.store = Shaky(Random(f"store {seed}"), lambda: self.quiet)
        self.world = Lasting(seed, self.time)
        self.restarts = Random(f"restarts {seed}")
        self.restarted = 0
        self.engine = self._engine()

    def _engine(self) -> Telling:
        registry: Any = Registry(self.seed, self.time, self._turns, self.caches)
        engine = Telling(registry, executor=self.world, config_maps=CONFIG_MAPS, clock=self.time, store=self.store)
        engine._surroundings.pace = Pace(self.restarts.randrange(1, 30), count().__next__)
        return engine

    async def _pass(self) -> float | None:
        after = await super()._pass()
        self.quiet = True
        if not self.work.finished and self.restarts.random() < 0.3:
            await self._restart()
        return after

    async def _restart(self) -> None:
        before = self.work.encode()
        await self.engine.saved(self.work)  # operations, of which no pass was made
        self.engine = engine = self._engine()
        await engine._restoring.all_of(self.store)
        (self.work,) = self.engine.workflows
        assert self.work.encode() == before
        self.restarted += 1


@settings(max_examples=60)
@given(st.integers(0, 100_000))
def test_a_run_with_restarts_is_one_without(seed: int) -> None:
    compare(seed)


def test_what_waited_for_a_lock_in_what_is_over_waits_no_more_after_a_restart() -> None:
    compare(1427)


def compare(seed: int) -> int:
    """How often the engine was replaced. Raises `Difference`."""
    document = generate(seed)
    for template in document["spec"]["templates"]:
        template.pop("memoize", None)  # what is remembered is an engine's, and gone with it
    calm, wild = Calm(document, seed, None), Restarting(document, seed, Random(f"dice {seed}"))
    asyncio.run(calm.finish())
    asyncio.run(wild.finish())
    steps = zip(_steps(calm), _steps(wild), strict=False)
    for number, (left, right) in enumerate(steps, start=1):
        if left != right:
            raise Difference(f"seed {seed}, step {number}:\n{difference(left, right)}")
    assert len(_steps(calm)) == len(_steps(wild))
    return wild.restarted


def _steps(run: Run) -> list[bytes]:
    """What passes came to, without those that changed nothing: after a restart a workflow may look once more whether
    it is its turn to take a lock."""
    steps: list[bytes] = []
    for each in run.history:
        at = each.rindex(b"}[") + 1
        step = each[:at] + orjson.dumps([None, orjson.loads(each[at:])[1]])
        if step not in steps[-1:]:
            steps.append(step)
    return steps
