"""The same workflow run twice: once undisturbed, and once with passes aborted, cancelled, and walks made anew.

Time stands still while a pass is tried again, so what nodes say of time is the same in both; no backoff is waited for.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from itertools import count
from random import Random
from typing import Any

import msgspec
import orjson

from engine import Engine, OperationError, PassResult, Workflow
from engine.graph.record import WalkRecord
from engine.model.pace import Pace
from engine.reconciling.passes import Passes
from engine.reconciling.starting import Leaves
from rpc import Method
from tests.walks.doubles import Registry, Time, World
from tests.walks.generate import generate

PASSES = 80
TRIES = 4
"""How often one pass is disturbed before it is left alone."""

CONFIG_MAPS = {"sizes": {"metadata": {"name": "sizes"}, "data": {"one": "1", "two": "2"}}}


class Difference(AssertionError):
    """The two runs are not the same: which seed, and where they part."""


class TellingPasses(Passes):
    """Tells also of a pass that was committed when it was cancelled."""

    last: PassResult | None = None

    def _committed(self, *args: Any, **options: Any) -> PassResult:
        self.last = super()._committed(*args, **options)
        return self.last


class Telling(Engine):
    """Makes its passes so."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        leaves = Leaves(self._active, self.executor)
        self._told = TellingPasses(self._active, leaves, self._surroundings, self.registry, self.clock)
        self._passes = self._told

    def take_committed(self) -> PassResult | None:
        """What came of the last pass, where it was committed; said once."""
        last, self._told.last = self._told.last, None
        return last


class Run:
    """One run of the workflow of a seed; `dice` disturbs it, None leaves it alone."""

    caches: Sequence[str] = ("auto", "on")
    """What plugins may have for `cache`."""

    def __init__(self, document: dict[str, Any], seed: int, dice: Random | None) -> None:
        self.dice = dice
        self.seed = seed
        self.quiet = True
        self.time = Time()
        self.world = World(seed, self.time)
        self.work = Workflow(document)
        registry: Any = Registry(seed, self.time, self._turns, self.caches)
        self.engine = Telling(registry, executor=self.world, config_maps=CONFIG_MAPS, clock=self.time)
        if dice is not None:  # it rests often, and may be cancelled wherever it does
            self.engine._surroundings.pace = Pace(dice.randrange(1, 30), count().__next__)
        self.history: list[bytes] = []
        self.cuts = 0

    def _turns(self, plugin: str, method: Method) -> int:
        if self.dice is None or self.quiet:
            return 0
        turns = self.dice.randrange(4)
        if method is Method.TEMPLATE_EXECUTE:
            return turns  # a 503 aborts nothing there: the plugin is asked again in later passes
        return -turns - 1 if self.dice.random() < 0.08 else turns

    async def finish(self) -> None:
        """Passes until it is over or nothing can change any more."""
        operations = Random(f"operations {self.seed}")
        for number in range(PASSES):
            if self.work.finished:
                return
            for node_id, result in list(self.world.take_due()):
                self.engine.report(self.work, node_id, result)
            self._operate(operations, number)
            after = await self._pass()
            self.history.append(self.work.encode() + orjson.dumps([after, self.world.told]))
            due = [when for when in (self.world.next_due,) if when is not None]
            if after is not None:
                due.append(self.time.now + after)
            if not due:
                assert self.work.finished or self.engine.waiting_for(self.work)
                return
            self.time.now = max(self.time.now, min(due))

    def _operate(self, dice: Random, number: int) -> None:
        if dice.random() > 0.03:
            return
        action = dice.choice(("stop", "terminate", "suspend", "resume", "resume"))
        with contextlib.suppress(OperationError):
            getattr(self.engine, action)(self.work)

    async def _pass(self) -> float | None:
        for _ in range(TRIES):
            if self.dice is None:
                break
            self.quiet = False
            before, told = self.work.encode(), list(self.world.told)
            self.engine.take_committed()
            task = asyncio.ensure_future(self.engine.reconcile(self.work))
            if self.dice.random() < 0.4:
                for _turn in range(self.dice.randrange(self.dice.choice((12, 100)))):
                    await asyncio.sleep(0)
                task.cancel()
            try:
                result = await task
            except asyncio.CancelledError:
                self.cuts += 1
                late = self.engine.take_committed()
                if late is not None:
                    self._rebuild()
                    return late.requeue_after
                self._same(before, told)
                continue
            if result.aborted is None:
                self._rebuild()
                return result.requeue_after
            self.cuts += 1
            self._same(before, told)
        self.quiet = True
        result = await self.engine.reconcile(self.work)
        assert result.aborted is None
        self._rebuild()
        return result.requeue_after

    def _same(self, before: bytes, told: list[str]) -> None:
        assert self.work.encode() == before, "a pass that was given up has changed something"
        assert self.world.told == told, "a pass that was given up has started or stopped something"

    def _rebuild(self) -> None:
        """Drop the walk, as a restart does that has kept nodes in their order, and the record."""
        run = self.engine._active.runs.get(self.work.key)
        if run is None or self.dice is None or self.dice.random() > 0.3:
            return
        record = msgspec.json.decode(msgspec.json.encode(run.record), type=WalkRecord)
        assert record == run.record
        run._kept.walk = None


def compare(seed: int, document: dict[str, Any] | None = None) -> int:
    """How often passes were given up in the disturbed run. Raises `Difference`."""
    document = generate(seed) if document is None else document
    calm, wild = Run(document, seed, None), Run(document, seed, Random(f"dice {seed}"))
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(calm.finish())
        loop.run_until_complete(wild.finish())
    finally:
        loop.close()
    for number, (left, right) in enumerate(zip(calm.history, wild.history, strict=False), start=1):
        if left != right:
            raise Difference(f"seed {seed}, pass {number} of {len(calm.history)}:\n{difference(left, right)}")
    if len(calm.history) != len(wild.history):
        raise Difference(f"seed {seed}: {len(calm.history)} passes, and {len(wild.history)} when disturbed")
    return wild.cuts


def difference(left: bytes, right: bytes) -> str:
    texts = []
    for each in (left, right):
        at = each.rindex(b"}[") + 1
        document, (after, told) = orjson.loads(each[:at]), orjson.loads(each[at:])
        nodes = document["status"].pop("nodes", {})
        texts.append(
            {
                **{f"status {key}": each for key, each in document["status"].items()},
                "rest": document["metadata"],
                "after": after,
                **{f"told {n}": t for n, t in enumerate(told)},
                **nodes,
            }
        )
    keys = [key for key in {**texts[0], **texts[1]} if texts[0].get(key) != texts[1].get(key)]
    return "\n".join(
        f"{key}\n  calm: {_short(texts[0].get(key))}\n  wild: {_short(texts[1].get(key))}" for key in keys[:6]
    )


def _short(value: object) -> str:
    return orjson.dumps(value).decode()[:900]
