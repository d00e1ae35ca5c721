"""The loop over all active workflows: when which one gets a pass, and what to do while none of them wants one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from engine.executors.executor import Executor
from engine.executors.local import LocalExecutor
from engine.executors.simulated import PendingExecutor, SimulatedExecutor
from engine.model.clock import SimulatedClock
from engine.model.workflow import Workflow
from engine.reconciling.queueing import Queue
from engine.reconciling.results import PassResult
from engine.reconciling.run import Run

PASSES: Final = 16
"""How many workflows are being reconciled at a time; a large one shares the plugins with the small ones."""


class Loop:
    """Hands out keys from the queue and waits: for reports, for times to come, or, simulated, not at all."""

    def __init__(
        self,
        runs: Mapping[str, Run],
        reconcile: Callable[[Workflow], Awaitable[PassResult]],
        executor: Executor,
        clock: Callable[[], float],
    ) -> None:
        self.queue = Queue()
        self._runs = runs
        self._reconcile = reconcile
        self._executor = executor
        self._clock = clock
        self._news = asyncio.Event()
        self._drain_by: float | None = None

    def wake(self, key: str) -> None:
        """The workflow wants a pass, if it is still one of ours."""
        if key in self._runs:
            self.queue.add(key)
            self._news.set()

    def drain(self, grace: float) -> None:
        """Begin no more passes; give those under way `grace` seconds."""
        by = self._clock() + grace
        self._drain_by = by if self._drain_by is None else min(by, self._drain_by)
        self._news.set()

    async def run(self, timeout: float | None) -> None:
        """Until no workflow is left, nothing can change any more, `timeout` is over, or `drain` was asked for."""
        limit = None if timeout is None else self._clock() + timeout
        passes: set[asyncio.Task[None]] = set()
        try:
            while self._runs:
                end = limit if self._drain_by is None else self._drain_by
                if end is not None and self._clock() >= end:
                    return
                self.queue.wake(self._clock())
                self._collect()
                while self._drain_by is None and len(passes) < PASSES and (key := self.queue.get()) is not None:
                    passes.add(asyncio.create_task(self._pass(key), name=f"pass over {key}"))
                if passes:
                    passes = await self._watch(passes, self.queue.next_due, end)
                elif self._drain_by is not None or not await self._idle(limit):
                    return
        finally:
            for task in passes:
                task.cancel()
            await asyncio.gather(*passes, return_exceptions=True)

    async def _pass(self, key: str) -> None:
        try:
            run = self._runs.get(key)
            if run is None:
                return
            result = await self._reconcile(run.workflow)
            if result.requeue_after is not None:
                self.queue.add_at(key, self._clock() + result.requeue_after)
        finally:
            self.queue.done(key)
            self._news.set()

    async def _watch(self, passes: set[asyncio.Task[None]], *times: float | None) -> set[asyncio.Task[None]]:
        """Wait for news: a pass that is over, a report, or the first of `times`. Returns the passes still under way."""
        self._news.clear()
        due = min((when for when in times if when is not None), default=None)
        try:
            async with asyncio.timeout(None if due is None else max(due - self._clock(), 0.0)):
                await self._news.wait()
        except TimeoutError:
            pass
        for task in [task for task in passes if task.done()]:
            passes.discard(task)
            task.result()
        return passes

    def _collect(self) -> None:
        """Take in what the simulated executor's leaves have come to."""
        if isinstance(self._executor, SimulatedExecutor):
            for workflow, node_id, result in self._executor.take_due():
                run = self._runs.get(workflow.key)
                if run is not None and run.workflow.uid == workflow.uid:
                    run.record.reports[node_id] = result
                    self.queue.add(workflow.key)

    async def _idle(self, limit: float | None) -> bool:
        """No pass is under way: wait, or jump, until one is wanted. False where none will be, or not before `limit`."""
        if len(self.queue):
            return True
        leaves_end = self._executor.next_due if isinstance(self._executor, SimulatedExecutor) else None
        due = min((when for when in (self.queue.next_due, leaves_end) if when is not None), default=None)
        real = any(run.aborts or run.requeue_at is not None for run in self._runs.values())
        if due is None and self._is_silent():
            return False
        if isinstance(self._clock, SimulatedClock) and not real and due is not None:
            if limit is not None and due > limit:
                return False
            self._clock.jump(due)
            return True
        await self._watch(set(), due, limit)
        return True

    def _is_silent(self) -> bool:
        """Whether the executor is one that will say nothing more of itself."""
        if isinstance(self._executor, LocalExecutor):
            return not self._executor.busy
        return isinstance(self._executor, SimulatedExecutor | PendingExecutor)
