"""The loop over all active workflows: when which one gets a pass, and what to do while none of them wants one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from engine.executors.executor import Executor
from engine.executors.simulated import SimulatedExecutor, is_silent
from engine.model.clock import LONGEST_NAP, SimulatedClock
from engine.model.pace import FEW, Pieces
from engine.model.workflow import Workflow
from engine.reconciling.active import Active
from engine.reconciling.results import PassResult
from engine.reconciling.run import Run
from engine.reconciling.waiter import Waiter

PASSES: Final = 16
"""How many workflows are being reconciled at a time; a large one shares the plugins with the small ones."""


SMALL: Final = 256
"""Nodes of a workflow whose passes may follow each other, `IN_A_ROW` of them: one whose leaves end at once is over
before others are begun, so few are half done at a time, and what they need meanwhile does not grow old."""
IN_A_ROW: Final = 16


class Loop:
    """Hands out keys from the queue and waits: for reports, for times to come, or, simulated, not at all.

    It turns, in a task of its own, while there is anybody to turn for; then the passes under way are aborted, and their
    workflows stay in the queue.
    """

    def __init__(
        self,
        active: Active,
        reconcile: Callable[[Workflow], Awaitable[PassResult]],
        executor: Executor,
        clock: Callable[[], float],
    ) -> None:
        self._active = active
        self._reconcile = reconcile
        self._executor = executor
        self._clock = clock
        self._drain_by: float | None = None
        self._waiters: set[Waiter[Run]] = set()
        self._timed: set[Waiter[Run]] = set()
        self._ripe: list[Waiter[Run]] = []
        """Those that have none left: there may be thousands, of which few are it in one turn."""
        self._turning: asyncio.Task[None] | None = None
        self._halting = False
        self._passes: dict[str, asyncio.Task[None]] = {}
        self._began: dict[str, float] = {}
        self.turned_at: float | None = None
        """When it turned last, by `time.monotonic`."""
        self.resting: list[Callable[[], None]] = []
        """Called, in the event loop, when no pass is under way or wanted now and it is about to wait."""

    @property
    def turning(self) -> bool:
        """Whether it turns: there is somebody for whom."""
        return self._turning is not None and not self._turning.done()

    @property
    def draining(self) -> bool:
        """Whether no more passes are begun."""
        return self._drain_by is not None

    @property
    def next_due(self) -> float | None:
        """When something happens by itself, by the engine's clock: a pass is wanted, or a simulated leaf ends; None
        where nothing ever will, 0 where something does now."""
        if self._passes or len(self._active.queue):
            return 0.0
        leaves_end = self._executor.next_due if isinstance(self._executor, SimulatedExecutor) else None
        return min((when for when in (self._active.queue.next_due, leaves_end) if when is not None), default=None)

    @property
    def longest_pass(self) -> float:
        """For how many seconds the pass that began first of those under way has been so; 0 where none is."""
        return time.monotonic() - min(self._began.values()) if self._began else 0.0

    def drain(self, grace: float) -> None:
        """Begin no more passes; give those under way `grace` seconds."""
        by = self._clock() + grace
        self._drain_by = by if self._drain_by is None else min(by, self._drain_by)
        self._active.news.set()
        if not self.turning:
            self._active.settle()

    async def run(self, runs: Iterable[Run] | None, timeout: float | None) -> None:
        """Turn until these workflows are over, or all (None), nothing can change any more, `timeout` is over, or
        `drain` was asked for."""
        left = None if runs is None else set(runs)
        runs = None  # one that is over is nobody's
        if left is not None and not left:
            return
        limit = None if timeout is None else self._clock() + timeout
        waiter = Waiter(left, limit, self._ripe.append)
        with waiter.hearing():
            await self._turn_for(waiter)

    async def serve(self, timeout: float | None = None) -> None:
        """Turn until `drain` was asked for, or `timeout` is over, sleeping while there is nothing to do."""
        limit = None if timeout is None else self._clock() + timeout
        await self._turn_for(Waiter(None, limit, self._ripe.append, stays=True))

    async def close(self) -> None:
        """Turn no more; whoever it turns for goes on as if drained."""
        self._no_more()
        await self._halt()

    def abort(self, key: str) -> None:
        """Abort the pass over `key`, if one of this loop's is under way that did not ask for that itself."""
        task = self._passes.get(key)
        if task is not None and task is not asyncio.current_task():
            task.cancel()

    async def _turn_for(self, waiter: Waiter[Run]) -> None:
        self._waiters.add(waiter)
        if waiter.limit is not None:
            self._timed.add(waiter)
        self._active.news.set()
        if self._turning is None:
            self._begin_turning()
        try:
            await waiter.over
        finally:
            self._waiters.discard(waiter)
            self._timed.discard(waiter)
            if not self._waiters:
                await self._halt()

    def _begin_turning(self) -> None:
        self._active.settled = False
        self._turning = asyncio.create_task(self._turn(), name="the loop over workflows")
        self._turning.add_done_callback(self._turned)

    def _turned(self, _: asyncio.Task[None]) -> None:
        """It turns no more, if it ever did: a task that is cancelled before its first step does nothing at all."""
        self._turning, self._halting = None, False
        if self._waiters:
            self._begin_turning()

    async def _halt(self) -> None:
        """Stop turning, and wait until the passes under way are aborted."""
        turning = self._turning
        if turning is not None:
            if not self._halting:
                turning.cancel()
            await asyncio.wait((turning,))

    async def _turn(self) -> None:
        try:
            while self._anybody_left():
                self._active.news.clear()  # before anything is looked at: what comes from now on is not missed
                self.turned_at = time.monotonic()
                self._active.queue.wake(self._clock())
                await self._active.pace.through(self._collect())
                self._begin_passes()
                if self._passes:
                    await self._watch(self._active.queue.next_due, self._limit, self._drain_by)
                elif self.draining:
                    self._no_more()
                else:
                    await self._idle()
        except Exception as error:
            self._let_go_of(self._waiters, error)
        finally:
            self._halting = True
            await self._abort_passes()

    # For whom

    @property
    def _limit(self) -> float | None:
        return min((waiter.limit for waiter in self._timed if waiter.limit is not None), default=None)

    def _anybody_left(self) -> bool:
        """Let go those who have what they waited for, or no more time."""
        now = self._clock()
        if self._drain_by is not None and now >= self._drain_by:
            self._no_more()
        self._let_go_of(self._ripe)
        self._ripe.clear()
        self._let_go_of(each for each in self._timed if each.limit is not None and now >= each.limit)
        if not self._active.runs:
            self._let_go_of(each for each in self._waiters if each.left is None and not each.stays)
        return bool(self._waiters)

    def _no_more(self) -> None:
        """No more passes are made: whoever waits goes on."""
        self._active.settle()
        self._let_go_of(self._waiters)

    def _let_go_of(self, waiters: Iterable[Waiter[Run]], error: BaseException | None = None) -> None:
        for waiter in list(waiters):
            waiter.let_go(error)
            self._waiters.discard(waiter)
            self._timed.discard(waiter)

    # Passes

    def _begin_passes(self) -> None:
        queue = self._active.queue
        while not self.draining and len(self._passes) < PASSES and (key := queue.get()) is not None:
            self._began[key] = time.monotonic()
            self._passes[key] = asyncio.create_task(self._pass(key), name=f"pass over {key}")

    async def _pass(self, key: str) -> None:
        """Make a pass; a small workflow's next ones follow at once where they are wanted."""
        queue = self._active.queue
        try:
            for left in reversed(range(IN_A_ROW)):
                run = self._active.runs.get(key)
                if run is None:
                    return
                if run.busy:  # with a pass that somebody else makes
                    run.overlooked = True
                    return
                self._began[key] = time.monotonic()
                result = await self._reconcile(run.workflow)
                if result.requeue_after is not None and self._active.runs.get(key) is run:
                    queue.add_at(key, self._clock() + result.requeue_after)
                if not left or self.draining or len(run.workflow.nodes) > SMALL or not queue.again(key):
                    return
        finally:
            queue.done(key)
            self._active.news.set()

    def _aborted(self, key: str) -> None:
        """A pass was cancelled, perhaps before its first step: it is still wanted."""
        self._active.queue.done(key)
        self._active.wake(key)

    async def _watch(self, *times: float | None) -> None:
        """Wait for news: a pass that is over, a report, or the first of `times`, for a nap at the most."""
        due = min((when for when in times if when is not None), default=None)
        try:
            async with asyncio.timeout(None if due is None else min(max(due - self._clock(), 0.0), LONGEST_NAP)):
                await self._active.news.wait()
        except TimeoutError:
            pass
        for key, task in [each for each in self._passes.items() if each[1].done()]:
            del self._passes[key], self._began[key]
            if task.cancelled():
                self._aborted(key)
            else:
                task.result()

    async def _abort_passes(self) -> None:
        passes, self._passes, self._began = self._passes, {}, {}
        for task in passes.values():
            task.cancel()
        await asyncio.gather(*passes.values(), return_exceptions=True)
        for key, task in passes.items():
            if task.cancelled():
                self._aborted(key)

    # While no pass is under way

    def _collect(self) -> Pieces:
        """Take in what the simulated executor's leaves have come to."""
        while isinstance(self._executor, SimulatedExecutor) and (ended := self._executor.take_due(FEW)):
            for workflow, node_id, result in ended:
                run = self._active.runs.get(workflow.key)
                if run is not None and run.workflow.uid == workflow.uid:
                    self._active.note(run, node_id, result)
            yield

    async def _idle(self) -> None:
        """Wait, or jump, until a pass is wanted; where none ever will be, let go those who cannot wait for ever."""
        if len(self._active.queue):
            return
        limit, due = self._limit, self.next_due
        if due is None and is_silent(self._executor):
            await self._stall(limit)
        elif (
            due is None or not isinstance(self._clock, SimulatedClock) or (self._clock.for_plugins and self._is_real())
        ):
            self._rest()
            await self._watch(due, limit)
        elif limit is not None and due > limit:
            self._let_go_of(each for each in self._timed if each.limit is not None and due > each.limit)
        else:
            self._clock.jump(due)

    async def _stall(self, limit: float | None) -> None:
        self._let_go_of(each for each in self._waiters if not each.stays)
        if self._waiters:
            self._rest()
            await self._watch(limit)

    def _rest(self) -> None:
        for tell in self.resting:
            tell()

    def _is_real(self) -> bool:
        """Whether something is awaited that is of the world outside: a plugin's requeue, or the backoff of a pass."""
        return any(run.aborts or run.requeue_at is not None for run in self._active.runs.values())
