"""The engine: workflows in a queue, passes over them, leaves handed to an executor in between."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack, ExitStack
from os import PathLike
from types import TracebackType
from typing import Any, Final, Self

import msgspec
import orjson
import structlog

from engine.clock import SimulatedClock
from engine.execution import Executor, Result
from engine.node import ERROR
from engine.queueing import Queue
from engine.reconciliation import WORKERS, Run, Surroundings
from engine.simulation import PendingExecutor, SimulatedExecutor
from engine.template import Library
from engine.workflow import Workflow
from registry import Registry
from rpc import TransientError

Document = Mapping[str, Any]

PASSES: Final = 16
"""How many workflows are being reconciled at a time; a large one shares the plugins with the small ones."""

BACKOFF: Final = (0.1, 30.0)
"""Seconds to wait after the first aborted pass of a workflow, and the most it grows to."""

_log = structlog.get_logger()


class PassResult(msgspec.Struct, frozen=True):
    """What came of one pass. ``aborted`` is why it left no trace, None where it was committed.

    ``requeue_after`` is in how many seconds another pass would do something, None where nothing but a report or a
    change from outside will.
    """

    aborted: TransientError | None = None
    requeue_after: float | None = None


class EngineStats(msgspec.Struct, frozen=True):
    """Counts since the engine was made."""

    passes: int
    aborted: int
    nodes_visited: int
    failures_ignored: int
    workflows: int
    workflows_finished: int
    queued: int
    in_flight: int


class Engine:
    """Reconciles workflows through the plugins of a registry; an async context manager.

    `executor` runs the leaves, by default a `SimulatedExecutor`. `workflow_templates`, `cluster_workflow_templates`
    and `config_maps` are what workflows may refer to, by name. `clock` gives seconds since the epoch; by default it is
    the executor's if that is simulated, else the machine's. One engine belongs to one event loop.
    """

    def __init__(
        self,
        registry: Registry | None = None,
        *,
        executor: Executor | None = None,
        workflow_templates: Mapping[str, Document] | None = None,
        cluster_workflow_templates: Mapping[str, Document] | None = None,
        config_maps: Mapping[str, Document] | None = None,
        clock: Callable[[], float] | None = None,
        workers: int = WORKERS,
    ) -> None:
        self.registry = registry
        self.executor: Executor = executor or SimulatedExecutor()
        if clock is None:
            clock = self.executor.clock if isinstance(self.executor, SimulatedExecutor) else time.time
        self.clock = clock
        library = Library(workflow_templates, cluster_workflow_templates)
        self._surroundings = Surroundings(library, config_maps, workers)
        self._runs: dict[str, Run] = {}
        self._queue = Queue()
        self._backoffs: dict[str, tuple[int, float, TransientError]] = {}
        self._news = asyncio.Event()
        self._stack = AsyncExitStack()
        self._passes = self._aborted = self._finished = 0

    @classmethod
    def from_config(cls, path: str | PathLike[str], **options: Any) -> Engine:
        """An engine with the plugins of a TOML file; `options` are those of `Engine`. Raises `registry.ConfigError`."""
        return cls(Registry(path), **options)

    async def __aenter__(self) -> Self:
        if self.registry is not None:
            await self._stack.enter_async_context(self.registry)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    @property
    def stats(self) -> EngineStats:
        """The counts at this moment."""
        return EngineStats(
            passes=self._passes,
            aborted=self._aborted,
            nodes_visited=self._surroundings.visited,
            failures_ignored=self._surroundings.skips.count,
            workflows=len(self._runs),
            workflows_finished=self._finished,
            queued=len(self._queue),
            in_flight=self._queue.in_flight,
        )

    # One pass

    async def reconcile(self, workflow: Workflow) -> PassResult:
        """Make one pass over one workflow, then start the leaves that it decided to start.

        A pass that a transient failure aborts leaves the workflow as it was, to the byte, and says so in its result;
        the next one begins anew. Passes over one workflow must not overlap; those over different ones may.
        """
        run = self._run(workflow)
        was_finished = workflow.finished
        self._passes += 1
        try:
            with ExitStack() as stack:
                plugins = stack.enter_context(self.registry.lease()) if self.registry is not None else ()
                await run.reconcile(plugins, self.clock())
        except TransientError as error:
            self._aborted += 1
            attempts = self._backoffs.get(workflow.key, (0,))[0] + 1
            delay = max(min(BACKOFF[0] * 2 ** (attempts - 1), BACKOFF[1]), error.retry_after or 0.0)
            self._backoffs[workflow.key] = (attempts, self.clock() + delay, error)
            _log.warning("pass aborted", workflow=workflow.key, reason=str(error), retry_in=f"{delay:g}s")
            return PassResult(aborted=error, requeue_after=delay)
        self._backoffs.pop(workflow.key, None)
        self._start_leaves(run)
        for key in run.woken:
            self._wake(key)
        if workflow.finished:
            self._finished += not was_finished
            del self._runs[workflow.key]
            return PassResult()
        times = [when for when in (run.next_timer, run.requeue_at) if when is not None]
        after = 0.0 if run.has_news else max(min(times) - self.clock(), 0.0) if times else None
        return PassResult(requeue_after=after)

    def report(self, workflow: Workflow, node_id: str, result: Result) -> None:
        """Say what became of a leaf that the executor started; the workflow's next pass takes it up.

        To be called from the event loop's thread. What is said of a node that is over already is ignored.
        """
        run = self._runs.get(workflow.key)
        if run is None:
            return
        run.inbox[node_id] = result
        self._wake(workflow.key)

    def _run(self, workflow: Workflow) -> Run:
        run = self._runs.get(workflow.key)
        if run is None or run.workflow is not workflow:
            run = self._runs[workflow.key] = Run(workflow, self._surroundings)
        return run

    def _start_leaves(self, run: Run) -> None:
        """Between passes: hand the executor what the pass decided, so that an aborted one has started nothing."""
        workflow = run.workflow
        for node_id in run.take_stops():
            self.executor.stop(workflow, workflow.nodes[node_id])
        for invocation, text in run.take_starts():
            node_id = invocation.node_id
            try:
                result = self.executor.start(workflow, orjson.loads(text), workflow.nodes[node_id])
            except Exception as error:
                _log.exception("executor failed to start a leaf", workflow=workflow.key, node=node_id)
                result = Result(ERROR, f"{type(error).__name__}: {error}")
            if result is not None:
                self.report(workflow, node_id, result)

    def _wake(self, key: str) -> None:
        if key in self._runs:
            self._queue.add(key)
            self._news.set()

    # Many passes

    async def run(self, workflows: Iterable[Workflow], *, timeout: float | None = None) -> None:
        """Reconcile workflows until all are done, or nothing that this engine knows of can change any more.

        ``timeout`` is in seconds of the engine's clock. With a simulated executor that clock jumps over suspends,
        deadlines and durations, but never while a plugin's requeue or the backoff after a transient failure is awaited.
        Cancelling it aborts the passes under way.
        """
        limit = None if timeout is None else self.clock() + timeout
        for workflow in workflows:
            if not workflow.finished:
                self._run(workflow)
                self._wake(workflow.key)
        passes: set[asyncio.Task[None]] = set()
        try:
            while self._runs:
                self._queue.wake(self.clock())
                self._collect()
                while len(passes) < PASSES and (key := self._queue.get()) is not None:
                    passes.add(asyncio.create_task(self._pass(key), name=f"pass over {key}"))
                if not passes and not await self._idle(limit):
                    return
                if passes:
                    passes = await self._watch(passes, limit)
                    if limit is not None and self.clock() >= limit:
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
            result = await self.reconcile(run.workflow)
            if result.requeue_after is not None:
                self._queue.add_at(key, self.clock() + result.requeue_after)
        finally:
            self._queue.done(key)
            self._news.set()

    async def _watch(self, passes: set[asyncio.Task[None]], limit: float | None) -> set[asyncio.Task[None]]:
        """Wait for news: a pass that is over, a report, a key whose time has come."""
        self._news.clear()
        times = [when for when in (self._queue.next_due, limit) if when is not None]
        wait = max(min(times) - self.clock(), 0.0) if times else None
        try:
            async with asyncio.timeout(wait):
                await self._news.wait()
        except TimeoutError:
            pass
        for task in [task for task in passes if task.done()]:
            passes.discard(task)
            task.result()
        return passes

    def _collect(self) -> None:
        """Take in what the simulated executor's leaves have come to."""
        if isinstance(self.executor, SimulatedExecutor):
            for key, node_id, result in self.executor.take_due():
                run = self._runs.get(key)
                if run is not None:
                    self.report(run.workflow, node_id, result)

    async def _idle(self, limit: float | None) -> bool:
        """Nothing is ready: wait, or jump, until something is. False where nothing will be, or not before `limit`."""
        if len(self._queue):
            return True
        simulated = self.executor if isinstance(self.executor, SimulatedExecutor) else None
        times = [self._queue.next_due, simulated.next_due if simulated is not None else None]
        due = min((when for when in times if when is not None), default=None)
        if due is None and isinstance(self.executor, SimulatedExecutor | PendingExecutor):
            return False
        if due is not None and limit is not None and due > limit:
            if not self._awaits_something_real():
                return False
            due = limit
        if due is not None and isinstance(self.clock, SimulatedClock) and not self._awaits_something_real():
            self.clock.jump(due)
            return True
        await self._watch(set(), due if limit is None else min(due or limit, limit))
        return limit is None or self.clock() < limit

    def _awaits_something_real(self) -> bool:
        return any(key in self._backoffs or run.requeue_at is not None for key, run in self._runs.items())

    def waiting_for(self, workflow: Workflow) -> str:
        """Why an unfinished workflow does not go on, in words."""
        if workflow.key in self._backoffs:
            return str(self._backoffs[workflow.key][2])
        run = self._runs.get(workflow.key)
        return "nothing was started" if run is None else run.waiting_for()
