"""One pass after another, of any workflow: made, and what follows from it, be it committed or aborted."""

from __future__ import annotations

import time
from asyncio import CancelledError
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Final

from engine.model.pace import Pieces
from engine.model.statistics import PassEnding
from engine.operations import OperationError
from engine.plugins import LONGEST_WAIT, Patience
from engine.reconciling.active import Active
from engine.reconciling.keeping import Surroundings
from engine.reconciling.observing import Observer, PassEnd
from engine.reconciling.results import Commit, DeadlinePassed, PassResult
from engine.reconciling.run import Run
from engine.reconciling.starting import Leaves
from engine.storage.store import StoreError
from rpc import TransientError
from rpc.replies import LEAST_REQUEUE
from rpc.spans import Span

if TYPE_CHECKING:
    from registry import Registry

BACKOFF: Final = (0.1, 30.0)
"""Seconds to wait after the first aborted pass of a workflow, and the most it grows to."""

TRIES: Final = 10
"""So often in a row a pass over a workflow may be cut off by ``loop_deadline`` with nothing answered meanwhile."""

_DOUBLINGS: Final = 16
"""More would say nothing, and a plugin may be dead for weeks: the thousandth power is no float any more."""


class Passes:
    """Makes passes over workflows that are known; those over different ones may overlap."""

    def __init__(
        self,
        active: Active,
        leaves: Leaves,
        surroundings: Surroundings,
        registry: Registry | None,
        clock: Callable[[], float],
        observer: Observer | None = None,
    ) -> None:
        self._active = active
        self._leaves = leaves
        self._surroundings = surroundings
        self._counts = surroundings.counts
        self._registry = registry
        self._clock = clock
        self._observer = observer

    async def make(self, run: Run) -> PassResult:
        """Make a pass, then do what follows from it. Raises `OperationError` where one is under way."""
        workflow = run.workflow
        if run.busy:
            raise OperationError(f"{workflow.key}: a pass over the workflow is under way")
        about = {"oarlock.workflow": workflow.key, "oarlock.workflow.uid": workflow.uid}
        with self._surroundings.span("pass", about) as span:
            return await self._make(run, span)

    async def _make(self, run: Run, span: Span) -> PassResult:
        if self._observer is not None:
            self._observer.pass_begun(run.workflow.key)
        was_finished = run.workflow.finished
        self._counts.passes += 1
        run.number = self._counts.passes
        woken: set[str] = set()
        cancelled, pace = None, self._surroundings.pace
        run.busy = True
        ending: PassEnding = "cancelled"
        began = time.perf_counter()
        try:
            try:
                cancelled = await self._pass(run)
            except (TransientError, DeadlinePassed, StoreError) as error:
                ending = "aborted"
                span.fail(str(error), type(error).__name__)
                return self._aborted(run, error)
            except Exception as error:
                ending = "failed"
                span.fail(str(error), type(error).__name__)
                # A mistake of ours: it must not take the other workflows with it (Argo's operator recovers likewise).
                run.log.exception("pass failed")
                reason = f"internal error: {type(error).__name__}: {error}"
                cancelled = await self._give_up(run, reason)
            else:
                ending = "committed"
            finally:
                woken = self._surroundings.locks.take_woken()
                self._active.wake_all(woken)
            # Whatever is cancelled from here on, what is committed is also done: leaves are stopped and started, then
            # whoever waits is told.
            changed = tuple(run.changed) if self._active.listeners else ()
            cancelled = await pace.to_the_end(self._leaves.follow(run)) or cancelled
            result = self._committed(run, woken, changed, was_finished=was_finished)
            if cancelled is not None:
                raise cancelled
            return result
        finally:
            run.busy = False
            if run.overlooked:
                run.overlooked = False
                self._active.wake(run.workflow.key)
            seconds = time.perf_counter() - began
            self._surroundings.passes[ending].add(seconds)
            span.tell({"oarlock.pass": run.number, "oarlock.result": ending, "oarlock.phase": run.workflow.phase})
            if run.parting:
                self.part(run)
            why = {"aborted": run.abort_reason, "cancelled": "cancelled"}.get(ending, "")
            if self._surroundings.recorder is not None and run.recording is not None:
                run.recording.end(ending, why, run.workflow.phase, seconds)
            if self._observer is not None:
                self._observer.pass_ended(PassEnd(run.workflow.key, run.workflow.phase, why, seconds))

    def _committed(self, run: Run, woken: set[str], changed: Collection[str], *, was_finished: bool) -> PassResult:
        workflow = run.workflow
        run.aborts = run.cut_off = 0
        if workflow.finished:
            if not was_finished:
                self._counts.finish(workflow.phase)
            self._active.drop(run)
        if not was_finished:
            self._active.tell(Commit(workflow, changed))
        return PassResult(requeue_after=self._next(run, woken), woken=frozenset(woken - {workflow.key}))

    def _next(self, run: Run, woken: set[str]) -> float | None:
        """In how many seconds another pass would do something."""
        if run.workflow.finished:
            return None
        if run.has_news or run.workflow.key in woken:
            return 0.0
        now = self._clock()
        waits = [
            max(when - now, least)
            for when, least in ((run.next_timer, 0.0), (run.requeue_at, LEAST_REQUEUE))
            if when is not None
        ]
        return min(waits, default=None)

    def part(self, run: Run) -> None:
        """The workflow was forgotten or deleted, and no pass over it is under way any more."""
        self._surroundings.pace.begin(self._part(run))

    def _part(self, run: Run) -> Pieces:
        if run.parting == "delete":
            yield from self._leaves.stop_all(run)
        self._leaves.let_go(run.workflow)
        self._active.parted(run)

    async def _pass(self, run: Run) -> CancelledError | None:
        """Make a pass; returns a cancellation that came when it was committed already."""
        if self._registry is None:
            return await run.reconcile((), self._clock(), Patience())
        deadline, heard = self._registry.config.engine.loop_deadline, run.answers
        patience = Patience(deadline)
        with self._registry.lease() as plugins:
            try:
                return await run.reconcile(plugins, self._clock(), patience)
            except TimeoutError as error:
                run.cut_off = run.cut_off + 1 if run.answers == heard else 0
                reason = f"the pass took longer than loop_deadline, {deadline:g}s"
                if run.cut_off < TRIES:
                    raise DeadlinePassed(reason) from error
                reason = f"{reason}, {TRIES} times in a row, and plugin {patience.awaited!r} answered nothing meanwhile"
                run.log.error("workflow given up", reason=reason)
                return await run.give_up(reason, self._clock(), plugins)

    async def _give_up(self, run: Run, reason: str) -> CancelledError | None:
        if self._registry is None:
            return await run.give_up(reason, self._clock(), ())
        with self._registry.lease() as plugins:
            return await run.give_up(reason, self._clock(), plugins)

    def _aborted(self, run: Run, error: TransientError | DeadlinePassed | StoreError) -> PassResult:
        """The pass left no trace. Its workflow waits, longer each time, unless it got on and only ran out of time."""
        self._counts.aborted += 1
        run.aborts = max(run.cut_off, 1) if isinstance(error, DeadlinePassed) else run.aborts + 1
        run.abort_reason = str(error)
        first, most = BACKOFF
        delay = min(first * 2 ** min(run.aborts - 1, _DOUBLINGS), most)
        if isinstance(error, TransientError):
            delay = max(delay, min(error.retry_after or 0.0, LONGEST_WAIT))
        run.backoff = delay
        told: BaseException | None = error
        while told is not None:  # whoever keeps the result would keep all that the pass had made, by its frames
            told.__traceback__, told = None, told.__cause__ or told.__context__
        run.log.warning("pass aborted", reason=str(error), retry_in=f"{delay:g}s")
        return PassResult(aborted=error, requeue_after=delay)
