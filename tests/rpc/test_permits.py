"""Permits: never more in flight than allowed, nobody forgotten, in order."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from rpc.permits import Permits


class Model(RuleBasedStateMachine):
    """Callers come, are cancelled and go, while the limit changes."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.permits = Permits(2)
        self.inside: list[asyncio.Task[Any]] = []
        self.waiting: list[asyncio.Task[Any]] = []
        self.leave: dict[asyncio.Task[Any], asyncio.Event] = {}

    def settle(self) -> None:
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.run_until_complete(asyncio.sleep(0))

    async def caller(self, leave: asyncio.Event) -> None:
        permits = self.permits
        task = asyncio.current_task()
        assert task is not None
        if permits.in_flight < permits.limit:
            permits.in_flight += 1
        else:
            self.waiting.append(task)
            try:
                await permits.wait()
            except asyncio.CancelledError:
                self.waiting.remove(task)
                raise
            assert self.waiting.pop(0) is task, "out of turn"
        self.inside.append(task)
        try:
            await leave.wait()
        finally:
            self.inside.remove(task)
            permits.release()

    @rule()
    def comes(self) -> None:
        leave = asyncio.Event()
        self.leave[self.loop.create_task(self.caller(leave))] = leave
        self.settle()

    @precondition(lambda self: self.inside)
    @rule(data=st.data())
    def goes(self, data: st.DataObject) -> None:
        task = self.inside[data.draw(st.integers(0, len(self.inside) - 1))]
        self.leave[task].set()
        self.settle()

    @precondition(lambda self: self.inside and self.waiting)
    @rule()
    def goes_as_the_next_is_cancelled(self) -> None:
        waiting = self.waiting[0]
        self.leave[self.inside[0]].set()
        self.loop.call_soon(waiting.cancel)
        self.settle()
        assert waiting.done() or waiting in self.inside

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def is_cancelled(self, data: st.DataObject) -> None:
        self.waiting[data.draw(st.integers(0, len(self.waiting) - 1))].cancel()
        self.settle()

    @rule(limit=st.integers(0, 5))
    def resize(self, limit: int) -> None:
        self.permits.resize(limit)
        self.settle()

    @invariant()
    def nobody_waits_for_nothing(self) -> None:
        assert self.permits.in_flight == len(self.inside)
        assert self.permits.waiting == len(self.waiting)
        if self.waiting:
            assert self.permits.in_flight >= self.permits.limit

    def teardown(self) -> None:
        for task in self.leave:
            task.cancel()
        self.settle()
        self.loop.close()
        assert all(task.done() for task in self.leave)
        assert self.permits.in_flight == 0


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
