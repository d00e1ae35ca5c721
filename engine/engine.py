"""The engine: workflows in a queue, passes over them, leaves handed to an executor in between."""

from __future__ import annotations

import time
from asyncio import CancelledError
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import asdict
from os import PathLike
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypedDict, Unpack

from engine.executors.executor import Executor, Result
from engine.executors.simulated import SimulatedExecutor
from engine.graph.nodes import MAX_NODES
from engine.model.node import ERROR, FAILED, SUCCEEDED, SUSPEND, Node
from engine.model.pace import Pieces
from engine.model.statistics import Counts, EngineStats
from engine.model.workflow import Workflow
from engine.operations import AlreadySubmitted, OperationError, answers, retried
from engine.plugins import LONGEST_WAIT, Patience
from engine.reconciling.keeping import WORKERS, Surroundings
from engine.reconciling.looping import Loop
from engine.reconciling.observing import Observer, PassEnd
from engine.reconciling.pass_ import is_suspended
from engine.reconciling.results import DeadlinePassed, PassResult
from engine.reconciling.run import Run
from engine.templates.catalog import CONFIG_MAP, Change, Documents, Templates
from rpc import TransientError
from rpc.logs import Logger, get_logger

if TYPE_CHECKING:  # an engine without plugins needs none of it
    from registry import Registry, Reload

BACKOFF: Final = (0.1, 30.0)
"""Seconds to wait after the first aborted pass of a workflow, and the most it grows to."""

REQUEUE: Final = 0.1
"""Seconds until a pass that a plugin asks for, at least: with less, it could keep us busy for nothing."""

TRIES: Final = 10
"""So often in a row a pass over a workflow may be cut off by ``loop_deadline`` with nothing answered meanwhile."""

_DOUBLINGS: Final = 16
"""More would say nothing, and a plugin may be dead for weeks: the thousandth power is no float any more."""

_log = get_logger(__name__)


class EngineOptions(TypedDict, total=False):
    """The options of an `Engine`, for who passes them on."""

    executor: Executor | None
    workflow_templates: Documents | None
    cluster_workflow_templates: Documents | None
    config_maps: Documents | None
    clock: Callable[[], float] | None
    workers: int
    max_nodes: int
    observer: Observer | None


class Engine:
    """Reconciles workflows through the plugins of a registry; an async context manager.

    `executor` runs the leaves, by default a `SimulatedExecutor`. `workflow_templates`, `cluster_workflow_templates`
    and `config_maps` are what workflows may refer to, by ``NAME`` or ``NAMESPACE/NAME``, or as documents that say so
    themselves; `templates` has them, and changes them. `clock` gives seconds since the epoch; by default it is
    the executor's if that is simulated, else the machine's. A workflow of more than `max_nodes` nodes ends in Error.
    `observer` is told of every pass, and of every request to the plugins. One engine belongs to one event loop.
    """

    def __init__(
        self,
        registry: Registry | None = None,
        *,
        executor: Executor | None = None,
        workflow_templates: Documents | None = None,
        cluster_workflow_templates: Documents | None = None,
        config_maps: Documents | None = None,
        clock: Callable[[], float] | None = None,
        workers: int = WORKERS,
        max_nodes: int = MAX_NODES,
        observer: Observer | None = None,
    ) -> None:
        self.registry = registry
        self._observer = observer
        if registry is not None and observer is not None:
            registry.observer = observer
        self.executor: Executor = executor or SimulatedExecutor()
        if clock is None:
            clock = self.executor.clock if isinstance(self.executor, SimulatedExecutor) else time.time
        self.clock = clock
        self.templates = Templates(workflow_templates, cluster_workflow_templates, config_maps)
        self.templates.listeners.append(self._resize)
        self._surroundings = Surroundings(self.templates, workers, max_nodes)
        self._counts: Counts = self._surroundings.counts
        self._runs: dict[str, Run] = {}
        self._loop = Loop(self._runs, self.reconcile, self.executor, clock)
        self._stack = AsyncExitStack()

    @classmethod
    def from_config(cls, path: str | PathLike[str], **options: Unpack[EngineOptions]) -> Self:
        """An engine with the plugins of a TOML file; `options` are those of `Engine`. Raises `registry.ConfigError`."""
        from registry import Registry

        return cls(Registry(path), **options)

    async def __aenter__(self) -> Self:
        if self.registry is not None:
            await self._stack.enter_async_context(self.registry)
            self.registry.listeners.append(self._reloaded)
            self._stack.callback(self.registry.listeners.remove, self._reloaded)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    @property
    def stats(self) -> EngineStats:
        """The figures at this moment."""
        return EngineStats(
            **asdict(self._counts),
            workflows=len(self._runs),
            queued=len(self._loop.queue),
            in_flight=self._loop.queue.in_flight,
        )

    # One pass

    async def reconcile(self, workflow: Workflow) -> PassResult:
        """Make one pass over one workflow, then start the leaves that it decided to start.

        A pass that a transient failure aborts leaves the workflow as it was, to the byte, and says so in its result;
        the next one begins anew. Passes over one workflow must not overlap; those over different ones may.
        """
        observer = self._observer
        if observer is None:
            return await self._reconcile(workflow)
        observer.pass_begun(workflow.key)
        began, aborted = time.perf_counter(), "cancelled"
        try:
            result = await self._reconcile(workflow)
            aborted = str(result.aborted or "")
            return result
        finally:
            observer.pass_ended(PassEnd(workflow.key, workflow.phase, aborted, time.perf_counter() - began))

    async def _reconcile(self, workflow: Workflow) -> PassResult:
        run = self._run(workflow)
        was_finished = workflow.finished
        self._counts.passes += 1
        run.log = run.log.bind(pass_id=self._counts.passes)
        cancelled = None
        try:
            cancelled = await self._pass(run)
        except (TransientError, DeadlinePassed) as error:
            return self._aborted(run, error)
        except Exception as error:
            # A mistake of ours: it must not take the other workflows with it (Argo's operator recovers likewise).
            run.log.exception("pass failed")
            reason = f"internal error: {type(error).__name__}: {error}"
            cancelled = await self._surroundings.pace.to_the_end(run.give_up(reason, self.clock()))
        finally:
            woken = self._surroundings.locks.take_woken()
            for each in woken:
                self._loop.wake(each)
        # Whatever is cancelled from here on, what is committed is also done.
        cancelled = await self._surroundings.pace.to_the_end(self._start_leaves(run)) or cancelled
        result = self._committed_pass(run, woken, was_finished=was_finished)
        if cancelled is not None:
            raise cancelled
        return result

    def _committed_pass(self, run: Run, woken: set[str], *, was_finished: bool = False) -> PassResult:
        workflow = run.workflow
        run.aborts = run.cut_off = 0
        others = frozenset(woken - {workflow.key})
        if workflow.finished:
            self._counts.workflows_finished += not was_finished
            self._runs.pop(workflow.key, None)
            return PassResult(woken=others)
        if run.has_news or workflow.key in woken:
            return PassResult(requeue_after=0.0, woken=others)
        now = self.clock()
        waits = [
            max(when - now, least)
            for when, least in ((run.next_timer, 0.0), (run.requeue_at, REQUEUE))
            if when is not None
        ]
        return PassResult(requeue_after=min(waits, default=None), woken=others)

    async def _pass(self, run: Run) -> CancelledError | None:
        """Make a pass; returns a cancellation that came when it was committed already."""
        if self.registry is None:
            return await run.reconcile((), self.clock(), Patience())
        deadline, heard = self.registry.config.engine.loop_deadline, run.answers
        patience = Patience(deadline)
        with self.registry.lease() as plugins:
            try:
                return await run.reconcile(plugins, self.clock(), patience)
            except TimeoutError as error:
                run.cut_off = run.cut_off + 1 if run.answers == heard else 0
                reason = f"the pass took longer than loop_deadline, {deadline:g}s"
                if run.cut_off < TRIES:
                    raise DeadlinePassed(reason) from error
                reason = f"{reason}, {TRIES} times in a row, and plugin {patience.awaited!r} answered nothing meanwhile"
                run.log.error("workflow given up", reason=reason)
                return await self._surroundings.pace.to_the_end(run.give_up(reason, self.clock()))

    def _aborted(self, run: Run, error: TransientError | DeadlinePassed) -> PassResult:
        """The pass left no trace. Its workflow waits, longer each time, unless it got on and only ran out of time."""
        self._counts.aborted += 1
        run.aborts = max(run.cut_off, 1) if isinstance(error, DeadlinePassed) else run.aborts + 1
        run.abort_reason = str(error)
        first, most = BACKOFF
        delay = min(first * 2 ** min(run.aborts - 1, _DOUBLINGS), most)
        if isinstance(error, TransientError):
            delay = max(delay, min(error.retry_after or 0.0, LONGEST_WAIT))
        told: BaseException | None = error
        while told is not None:  # whoever keeps the result would keep all that the pass had made, by its frames
            told.__traceback__, told = None, told.__cause__ or told.__context__
        run.log.warning("pass aborted", reason=str(error), retry_in=f"{delay:g}s")
        return PassResult(aborted=error, requeue_after=delay)

    def _resize(self, change: Change) -> None:
        """The sizes of semaphores are of the moment, as in Argo: who waits may have room now."""
        data = (change.document or {}).get("data")
        if change.kind == CONFIG_MAP and isinstance(data, Mapping):
            self._surroundings.locks.resize(change.namespace, change.name, data)
            for each in self._surroundings.locks.take_woken():
                self._loop.wake(each)

    def _reloaded(self, reload: Reload) -> None:
        """Other plugins are there now: what waits because the old ones asked for it, or failed, need not any more."""
        if reload.added or reload.changed or reload.removed:
            for key, run in self._runs.items():
                if run.aborts or run.requeue_at is not None or self._loop.queue.is_in_flight(key):
                    self._loop.wake(key)

    def report(self, workflow: Workflow, node_id: str, result: Result) -> None:
        """Say what became of a leaf that the executor started; the workflow's next pass takes it up.

        To be called from the event loop's thread. What is said of a node that is over already is ignored.
        """
        run = self._runs.get(workflow.key)
        if run is None or run.workflow is not workflow:
            return
        run.record.reports[node_id] = result
        self._loop.wake(workflow.key)

    def _run(self, workflow: Workflow) -> Run:
        run = self._runs.get(workflow.key)
        if run is not None and run.workflow is not workflow:
            raise AlreadySubmitted(
                f"{workflow.key}: there is an unfinished workflow of that name already, with the uid {run.workflow.uid}"
            )
        if run is None:
            run = self._runs[workflow.key] = Run(workflow, self._surroundings)
        return run

    def _start_leaves(self, run: Run) -> Pieces:
        """Between passes: hand the executor what the pass decided, so that an aborted one has started nothing."""
        workflow = run.workflow
        for stopped in run.take_stops():
            if stopped is not None:
                self._stop_leaf(workflow, workflow.nodes[stopped], run.log)
            yield
        ended = False
        for invocation in run.take_starts():
            node_id = invocation.node_id
            node = workflow.nodes[node_id]
            if not self._is_run(node):
                run.record.leaves.discard(node_id)
                continue
            try:
                result = self.executor.start(workflow, run.template_of(invocation), node)
            except Exception as error:
                run.log.exception("executor failed to start a leaf", node=node_id)
                result = Result(ERROR, f"{type(error).__name__}: {error}")
            if result is not None:
                run.record.reports[node_id], ended = result, True
            yield
        if ended:
            self._loop.wake(workflow.key)
        yield from run.over()

    def _is_run(self, node: Node) -> bool:
        """Whether there is anything to be run: only a simulated executor makes something of a suspend."""
        return node.type != SUSPEND or isinstance(self.executor, SimulatedExecutor)

    def _stop_leaf(self, workflow: Workflow, node: Node, log: Logger) -> None:
        if not self._is_run(node):
            return
        try:
            self.executor.stop(workflow, node)
        except Exception:
            log.exception("executor failed to stop a leaf", node=node.id)

    # Operations: what `argo stop`, `terminate`, `suspend`, `resume` and `retry` do (workflow/util/util.go). To be
    # called from the event loop's thread. One that raises has changed nothing; else the workflow's next pass acts on
    # it, whatever becomes of one that is under way.

    def stop(self, workflow: Workflow, *, node_field_selector: str = "", message: str = "") -> None:
        """Have a workflow end now, as Failed, but for its exit handlers; ``message`` is added to what its nodes say.

        With a selector (as in ``displayName=approve``) only the suspended nodes that match are ended, as Failed,
        with ``message``. Raises `OperationError` where the workflow is finished, or no node matches.
        """
        if node_field_selector:
            self._answer(workflow, answers(self._committed(workflow), node_field_selector, FAILED, message))
        else:
            self._amend(workflow, message, shutdown="Stop")

    def terminate(self, workflow: Workflow, *, message: str = "") -> None:
        """Have a workflow end now, as Failed, without its exit handlers.

        ``message`` is added to what its nodes say. Raises `OperationError` where the workflow is finished.
        """
        self._amend(workflow, message, shutdown="Terminate")

    def suspend(self, workflow: Workflow) -> None:
        """Have nothing happen to a workflow any more until it is resumed; what runs goes on and is heard later.

        Raises `OperationError` where the workflow is finished.
        """
        self._amend(workflow, suspend=True)

    def resume(
        self, workflow: Workflow, *, node_field_selector: str = "", parameters: Mapping[str, str] | None = None
    ) -> None:
        """Have a workflow go on that is suspended, and all its suspended nodes succeed; or only the nodes that match.

        ``parameters`` are the values of outputs that somebody is to supply. Where nothing is suspended nothing happens.
        Raises `OperationError` where the workflow is finished, no node matches, one lacks a value or expects no such.
        """
        told = answers(self._committed(workflow), node_field_selector, SUCCEEDED, parameters=parameters)
        if not node_field_selector:
            self._amend(workflow, suspend=None)
        elif is_suspended(workflow.document):
            raise OperationError(f"{workflow.key} is suspended as a whole: resume it without a node field selector")
        self._answer(workflow, told)

    def retry(
        self,
        workflow: Workflow,
        *,
        restart_successful: bool = False,
        node_field_selector: str = "",
        parameters: Mapping[str, str] | None = None,
    ) -> None:
        """Have a workflow that failed go on from where it did; `run` sees to it, the one under way or the next.

        Failed leaves run again, with everything after them, and so does the exit handler. With ``restart_successful``
        nodes that match the selector do, too, and the workflow may have succeeded. ``parameters`` override the
        workflow's arguments. The executor is told to stop, that is to forget, the leaves that are to run again. Raises
        `OperationError` where the workflow is not finished, or nothing of it would run again.
        """
        if workflow.finished and workflow.key in self._runs:
            raise OperationError(f"{workflow.key}: its last pass is not over yet")
        again = retried(
            workflow,
            self.clock(),
            restart_successful=restart_successful,
            selector=node_field_selector,
            parameters=parameters,
        )
        workflow.document, workflow.nodes = again.document, again.nodes
        for node in again.dropped:
            self._stop_leaf(workflow, node, _log.bind(workflow=workflow.key))
        self.submit(workflow)

    def _committed(self, workflow: Workflow) -> list[Node]:
        """The nodes of an unfinished workflow, without what a pass under way has made of them."""
        _refuse_finished(workflow)
        run = self._runs.get(workflow.key)
        return run.committed() if run is not None and run.workflow is workflow else list(workflow.nodes.values())

    def _amend(self, workflow: Workflow, why: str = "", **fields: Any) -> None:
        _refuse_finished(workflow)
        self._run(workflow).amend(why, **fields)
        self._loop.wake(workflow.key)

    def _answer(self, workflow: Workflow, told: Mapping[str, Result]) -> None:
        """Report on suspended nodes. A simulated executor may have meant to do that later, and need not."""
        run = self._run(workflow)
        for node_id in sorted(run.record.leaves & told.keys()):
            run.record.leaves.discard(node_id)
            self._stop_leaf(workflow, workflow.nodes[node_id], _log.bind(workflow=workflow.key))
        for node_id, result in told.items():
            self.report(workflow, node_id, result)

    # Many passes

    async def run(self, workflows: Iterable[Workflow], *, timeout: float | None = None) -> None:
        """Reconcile workflows until all are done, or nothing that this engine knows of can change any more.

        ``timeout`` is in seconds of the engine's clock. With a simulated executor that clock jumps over suspends,
        deadlines and durations, but never while a plugin's requeue or the backoff after a transient failure is awaited.
        Cancelling it aborts the passes under way.
        """
        for workflow in workflows:
            self.submit(workflow)
        await self._loop.run(timeout)

    def submit(self, workflow: Workflow) -> None:
        """Have `run` see to this workflow too, the one under way or the next; a finished workflow is none of its.

        To be called from the event loop's thread.
        """
        if not workflow.finished:
            self._run(workflow)
            self._loop.wake(workflow.key)

    def drain(self, grace: float) -> None:
        """Have `run` begin no more passes and return once those under way are over, or after `grace` seconds.

        What is not over by then is aborted. Said again, the shorter grace counts.
        """
        self._loop.drain(grace)

    def waiting_for(self, workflow: Workflow) -> str:
        """Why an unfinished workflow does not go on, in words."""
        run = self._runs.get(workflow.key)
        if run is None or run.workflow is not workflow:
            return "nothing was started"
        return run.abort_reason if run.aborts else run.waiting_for()


def _refuse_finished(workflow: Workflow) -> None:
    if workflow.finished:
        raise OperationError(f"{workflow.key}: expected a workflow that is not finished, this one is {workflow.phase}")
