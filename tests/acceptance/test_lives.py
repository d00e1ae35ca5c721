"""Workflows in one engine, submitted, cancelled, run again, forgotten, deleted and reported in any order: none is lost,
and none of their leaves is started twice."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from functools import partial
from typing import Any
from unittest import mock

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from engine import (
    AlreadySubmitted,
    Engine,
    LeafEnded,
    Node,
    NotFinished,
    OperationError,
    Result,
    UnknownWorkflow,
    Workflow,
    WorkflowHandle,
)
from engine.model.pace import SHARE, Pace
from tests.acceptance.manifests import container, steps, workflow

names = st.sampled_from("abc")
turns = st.integers(0, 12)

ENOUGH = 30_000
"""Turns of the event loop by which three small workflows are over."""


class Ledger:
    """An executor that knows what runs, and what ever ran."""

    def __init__(self) -> None:
        self.running: dict[tuple[str, str], Workflow] = {}
        self.ended: dict[tuple[str, str], Workflow] = {}
        self.stopped_in_vain: list[str] = []

    def start(self, workflow: Workflow, template: Mapping[str, Any], node: Node) -> Result | None:
        key = workflow.uid, node.id
        assert key not in self.running, "started while it runs"
        assert key not in self.ended, "started though it had ended"
        self.running[key] = workflow
        return None

    def stop(self, workflow: Workflow, node: Node) -> None:
        if self.running.pop((workflow.uid, node.id), None) is None:
            self.stopped_in_vain.append(node.id)


class Lives(RuleBasedStateMachine):
    """`has` are those that the engine has to have, `left` those that it knows no more."""

    share = SHARE

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.ledger = Ledger()
        with mock.patch("engine.reconciling.keeping.Pace", partial(Pace, self.share)):
            self.engine = Engine(executor=self.ledger)
        self.has: dict[str, WorkflowHandle] = {}
        self.left: list[Workflow] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.do(self.engine.__aenter__())

    def do(self, coroutine: Any) -> Any:
        return self.loop.run_until_complete(coroutine)

    async def _spin(self, turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)

    @rule(name=names)
    def submit(self, name: str) -> None:
        self.do(self._submit(name))

    async def _submit(self, name: str) -> None:
        """Without a turn of the event loop between the look at what there is and the submission."""
        work = workflow(steps("x", "y"), container("leaf"), name=name)
        there = self.has.get(name)
        if there is None or self.is_over(there.workflow):
            self.has[name] = self.engine.submit(work)
            return
        with pytest.raises(AlreadySubmitted):
            self.engine.submit(work)
        if not there.workflow.finished:  # else nothing is left to do of that one
            with pytest.raises(AlreadySubmitted):
                self.engine.submit(there.workflow)

    def is_over(self, work: Workflow) -> bool:
        return work.finished and self.engine._active.find(work) is None

    @rule(turns=turns)
    def let_it_turn(self, turns: int) -> None:
        self.do(self._spin(turns))

    @rule(one=names, turns=turns, all_of_them=st.booleans())
    def run(self, one: str, turns: int, all_of_them: bool) -> None:
        works = [self.has[one].workflow] if one in self.has and not all_of_them else []
        self.tasks.append(self.loop.create_task(self.engine.run(works)))
        self.do(self._spin(turns))

    @rule(turns=turns)
    def serve(self, turns: int) -> None:
        self.tasks.append(self.loop.create_task(self.engine.serve()))
        self.do(self._spin(turns))

    @rule(which=st.integers(0, 5), wait=st.booleans())
    def cancel(self, which: int, wait: bool) -> None:
        if not self.tasks:
            return
        task = self.tasks.pop(which % len(self.tasks))
        task.cancel()
        if wait:
            self.do(asyncio.wait([task]))

    @rule(turns=turns, which=st.integers(0, 5))
    def report(self, turns: int, which: int) -> None:
        if self.ledger.running:
            key = list(self.ledger.running)[which % len(self.ledger.running)]
            self.do(self._report(key))
        self.do(self._spin(turns))

    async def _report(self, key: tuple[str, str]) -> None:
        work = self.ledger.ended[key] = self.ledger.running.pop(key)
        self.engine.report(work, key[1], Result("Succeeded"))

    @rule(which=st.integers(0, 5))
    def report_again(self, which: int) -> None:
        if self.ledger.ended:
            (_, node_id), work = list(self.ledger.ended.items())[which % len(self.ledger.ended)]
            with pytest.raises(LeafEnded if work not in self.left else (UnknownWorkflow, LeafEnded)):
                self.engine.report(work, node_id, Result("Failed"))

    @rule(name=names, turns=turns, delete=st.booleans())
    def part(self, name: str, turns: int, delete: bool) -> None:
        handle = self.has.pop(name, None)
        if handle is None:
            return
        work = handle.workflow
        self.left.append(work)
        self.do(self._part(work, turns, delete=delete))
        mine = [key for key in self.ledger.running if key[0] == work.uid]
        assert not (mine and delete), "it was deleted, and still runs"
        for key in mine:  # whoever forgets a workflow sees to what runs of it
            del self.ledger.running[key]
        if not work.finished:
            with pytest.raises(NotFinished):
                self.do(handle.finished())

    async def _part(self, work: Workflow, turns: int, *, delete: bool) -> None:
        parted = self.engine.delete(work) if delete else self.engine.forget(work)
        await self._spin(turns)
        await parted

    @invariant()
    def none_is_lost(self) -> None:
        known = {run.workflow.uid for run in self.engine._active.runs.values()}
        wanted = {each.workflow.uid for each in self.has.values() if not each.workflow.finished}
        assert wanted <= known
        assert not known & {work.uid for work in self.left}
        assert not self.ledger.stopped_in_vain

    def teardown(self) -> None:
        """Whatever was done to them, they can all be brought to their ends."""
        self.do(self._finish())
        for handle in self.has.values():
            assert self.do(handle.finished()).phase == "Succeeded"
            assert sum(key[0] == handle.workflow.uid for key in self.ledger.ended) == 2
        assert not self.ledger.running
        self.do(self.engine.__aexit__(None, None, None))
        assert not asyncio.all_tasks(self.loop)
        self.loop.close()

    async def _finish(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.tasks = []
        served = asyncio.create_task(self.engine.serve())
        turns = 0
        while left := [each.workflow for each in self.has.values() if not self.is_over(each.workflow)]:
            for key in list(self.ledger.running):
                await self._report(key)
            await asyncio.sleep(0)
            turns += 1
            assert turns < ENOUGH, [f"{work.key}: {self.engine.waiting_for(work)}" for work in left]
        self.engine.drain(1.0)
        await served
        with contextlib.suppress(OperationError):
            self.engine.submit(workflow(steps("x"), container("leaf"), name="late"))
            raise AssertionError("a drained engine has taken in a workflow")


class Unhurried(Lives):
    """Likewise where all rest wherever they may, so that anything can happen in the middle of everything else."""

    share = 0.0


for each in (Lives, Unhurried):
    each.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestLives, TestUnhurriedLives = Lives.TestCase, Unhurried.TestCase
