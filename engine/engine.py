"""The face of the engine: workflows are submitted, passes made over them, leaves reported, and operations called."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import asdict
from os import PathLike
from typing import TYPE_CHECKING, Any, Self, Unpack

from engine.executors.executor import Executor, Hosted, Result
from engine.executors.simulated import SimulatedExecutor
from engine.graph.nodes import MAX_NODES
from engine.model.figures import Figures, RegistryFigures
from engine.model.node import Node
from engine.model.statistics import EngineHealth, EngineStats, EngineTimings
from engine.model.workflow import Workflow
from engine.reconciler import Options, Reconciler, Subject, check_options
from engine.reconciling.active import Active
from engine.reconciling.archive import Archive
from engine.reconciling.keeping import WORKERS, Surroundings
from engine.reconciling.looping import Loop
from engine.reconciling.observing import Observer
from engine.reconciling.operating import operate
from engine.reconciling.parting import part
from engine.reconciling.passes import Passes
from engine.reconciling.promise import DONE
from engine.reconciling.restoring import Restoring
from engine.reconciling.results import PassResult
from engine.reconciling.run import Run
from engine.reconciling.starting import Leaves
from engine.storage.store import Entry, WorkflowStore
from engine.templates.catalog import CONFIG_MAP, Change, Documents, Templates
from rpc.spans import no_spans
from rpc.tracers import find_tracing

if TYPE_CHECKING:  # an engine without plugins needs none of it
    from engine.recording.recorder import Recorder
    from registry import Registry, Reload
    from rpc.tracing import TracerProvider


class EngineOptions(Options, total=False):
    """The options of an `Engine`, for who passes them on."""

    tracer_provider: TracerProvider | None


class Engine(Reconciler):
    """Reconciles workflows through the plugins of a registry; an async context manager.

    `executor` runs the leaves, by default a `SimulatedExecutor`. `workflow_templates`, `cluster_workflow_templates`
    and `config_maps` are what workflows may refer to, by ``NAME`` or ``NAMESPACE/NAME``, or as documents that say so
    themselves; `templates` has them, and changes them. `clock` gives seconds since the epoch; by default it is
    the executor's if that is simulated, else the machine's. A workflow that would have more than `max_nodes` nodes
    fails. No more than `max_workflows` unfinished ones are taken in, any number without it. `observer` is told of every
    pass, and of every request to the plugins, `recorder` of every call and of what it changed. Spans of them go to
    OpenTelemetry's `tracer_provider`, by default to the process's own, if one was set before; see ``docs/tracing.md``.

    With a `store` workflows survive the process: entering the engine opens it, which raises `StoreError` where that
    cannot be, and goes on with those that it has; see ``docs/storage.md``.

    One engine belongs to one event loop, and all but `report_threadsafe` is to be called in its thread: elsewhere that
    raises `RuntimeError`. So do `run` and `serve` of one that has plugins, a store or a recorder and is not entered.
    Where a workflow is expected its handle will do. What cannot be raises an `OperationError` that says so in one line,
    and has changed nothing.
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
        max_workflows: int | None = None,
        observer: Observer | None = None,
        tracer_provider: TracerProvider | None = None,
        recorder: Recorder | None = None,
        store: WorkflowStore | None = None,
    ) -> None:
        """Raises `TypeError` for an executor, store or the like that is none, and `ValueError` for a bound below 1."""
        self.executor: Executor = executor if executor is not None else SimulatedExecutor()
        bounds = {"workers": workers, "max_nodes": max_nodes, "max_workflows": max_workflows}
        check_options(registry, self.executor, store, recorder, **bounds)
        self.registry = registry
        if registry is not None and observer is not None:
            registry.observer = observer
        tracing = find_tracing(tracer_provider)
        if registry is not None and tracing is not None:
            registry.trace(tracing)
        if clock is None:
            clock = self.executor.clock if isinstance(self.executor, SimulatedExecutor) else time.time
        self.clock = clock
        self.templates = Templates(workflow_templates, cluster_workflow_templates, config_maps)
        self.templates.listeners.append(self._resize)
        span = tracing.span if tracing is not None else no_spans
        self._surroundings = Surroundings(self.templates, workers, max_nodes, store, span, recorder)
        self.recorder = recorder
        self._active = Active(self._surroundings, max_workflows)
        super().__init__(self._active)
        self._handing = leaves = Leaves(self._active, self.executor)
        self._passes = Passes(self._active, leaves, self._surroundings, registry, clock, observer)
        self._restoring = Restoring(self._active, leaves, clock)
        self._loop = Loop(self._active, self.reconcile, self.executor, clock)
        self._stack = AsyncExitStack()
        self._entered = False
        if isinstance(self.executor, Hosted):
            self.executor.attach(self._active.hear, self.templates)
        self._books = self._surroundings.books
        self.archive = Archive(store) if store is not None else None
        """The workflows in the store, None without one."""

    @classmethod
    def from_config(cls, path: str | PathLike[str], **options: Unpack[EngineOptions]) -> Self:
        """An engine with the plugins of a TOML file; `options` are those of `Engine`. Raises `registry.ConfigError`."""
        from registry import Registry

        return cls(Registry(path), **options)

    def _check_entered(self) -> None:
        """Whoever goes on by itself is to write down what it does."""
        if not self._entered and (self._books is not None or self.recorder is not None):
            raise RuntimeError(
                "expected an engine that is entered, by `async with`: it has a store or a recorder to open"
            )
        self._check_plugins()

    def _check_plugins(self) -> None:
        """No workflow is to pass without the plugins that are to look at it."""
        if not self._entered and self.registry is not None:
            with self.registry.lease():  # which raises, unless somebody else has entered it
                pass

    async def __aenter__(self) -> Self:
        self._active.bind()
        if self._entered:
            raise RuntimeError("expected an engine that is not entered")
        self._active.settled = self._is_draining
        async with AsyncExitStack() as stack:
            if self.recorder is not None:
                stack.enter_context(self.recorder)
            if self._books is not None:
                await stack.enter_async_context(self._books.opened())
                await self._restoring.all_of(self._books.store)
            if self.registry is not None:
                if self.recorder is not None:
                    self.registry.tell_secrets(self.recorder.secrets.add)
                await stack.enter_async_context(self.registry)
                self.registry.listeners.append(self._reloaded)
                stack.callback(self.registry.listeners.remove, self._reloaded)
            stack.push_async_callback(self._surroundings.pace.close)
            stack.push_async_callback(self._loop.close)
            self._stack = stack.pop_all()
        self._entered = True
        return self

    async def __aexit__(self, *_: object) -> None:
        self._entered = False
        await self._stack.aclose()

    # What there is to see

    @property
    def stats(self) -> EngineStats:
        """The figures at this moment."""
        queue = self._active.queue
        return EngineStats(
            **asdict(self._surroundings.counts),
            leaves_started=self._handing.started,
            workflows=len(self._active.runs),
            queued=len(queue),
            in_flight=queue.in_flight,
        )

    @property
    def timings(self) -> EngineTimings:
        """How long passes and turns of the event loop took, and what is queued has waited."""
        surroundings = self._surroundings
        return EngineTimings(surroundings.passes, surroundings.pace.turns, self._active.queue.oldest(time.monotonic()))

    @property
    def health(self) -> EngineHealth:
        """How the loop over workflows is, at this moment; it costs next to nothing to ask."""
        active, loop = self._active, self._loop
        return EngineHealth(
            turning=loop.turning,
            draining=loop.draining,
            full=active.limit is not None and len(active.runs) >= active.limit,
            since_turn=None if loop.turned_at is None else time.monotonic() - loop.turned_at,
            longest_pass=loop.longest_pass,
            workflows=len(active.runs),
            queued=len(active.queue),
            in_flight=active.queue.in_flight,
            store=self._books.error if self._books is not None else "",
        )

    @property
    def figures(self) -> Figures:
        """All that there is to see at this moment, that of the plugins included."""
        registry = RegistryFigures.of(self.registry) if self.registry is not None else None
        return Figures.of(self.stats, self.timings, self._loop.longest_pass, registry)

    async def look(self, *workflows: Subject) -> None:
        """Have `figures`, and what `waiting_for` says of these workflows, be of this moment: an engine's are."""

    def waiting_for(self, workflow: Subject) -> str:
        """Why an unfinished workflow does not go on, in words."""
        run = self._active.find(self._workflow(workflow))
        if run is None:
            return "nothing was started"
        return run.waiting_for()

    async def saved(self, workflow: Subject | None = None) -> None:
        """Wait until the store has what was said of a workflow by now, or of all: its submission, reports, `stop` and
        the like.

        What has come of passes is there before anybody hears of it. Without a store there is nothing to wait for.
        Raises `StoreError`; it is tried again all the same.
        """
        if self._books is None:
            return
        if workflow is None:
            await self._books.all_saved()
        else:
            run = self._active.find(subject := self._workflow(workflow))
            await self._books.saved(subject, run.ledger if run is not None else None)

    # One pass

    async def reconcile(self, workflow: Workflow) -> PassResult:
        """Make one pass over one workflow, then start the leaves that it decided to start.

        A pass that a transient failure aborts leaves the workflow as it was, to the byte, and says so in its result;
        the next one begins anew. Passes over one workflow must not overlap, which raises `OperationError`; those over
        different ones may. One that is cancelled leaves no trace either, unless it was about to commit: then it does
        so, and starts its leaves first.
        """
        self._active.bind()
        self._check_plugins()
        return await self._passes.make(self._active.know(self._workflow(workflow)))

    # Many passes

    async def run(self, workflows: Iterable[Subject] = (), *, timeout: float | None = None) -> None:
        """Reconcile workflows until these are done, or all that the engine has where none is given; or until nothing
        can change any more.

        Others that were submitted get passes meanwhile. ``timeout`` is in seconds of the engine's clock. With a
        simulated executor that clock jumps over suspends, deadlines and durations, but never while a plugin's requeue
        or the backoff after a transient failure is awaited. Where it ends early, or is cancelled, the passes under way
        are aborted unless another `run` or `serve` goes on; the workflows stay in the queue, and the next `run` goes
        on with them. Raises what `submit` does, with none taken in.
        """
        self._active.bind()
        self._check_entered()
        subjects = [self._workflow(each) for each in workflows]
        with self._active.claimed(subjects) as unfinished:
            await self._loop.run(map(self._active.know, unfinished) if subjects else None, timeout)

    async def take_in(self, uid: str, entries: Iterable[Entry]) -> Workflow:
        """Go on with a workflow of which a store of another engine has these entries, as if it had been in this one's.

        Leaves that were to be started are started again, or adopted. Raises `StoreError` for entries that make no
        workflow. The workflow is claimed, unless it is finished.
        """
        self._active.bind()
        return await self._restoring.one(uid, entries)

    async def serve(self, *, timeout: float | None = None) -> None:
        """Reconcile all that is submitted until `drain`, sleeping while there is nothing to do; or for ``timeout``
        seconds of the engine's clock.

        Cancelling it aborts the passes under way, as in `run`; nothing is lost by that.
        """
        self._active.bind()
        self._check_entered()
        await self._loop.serve(timeout)

    @property
    def next_due(self) -> float | None:
        """When something will happen by itself, by the engine's clock: a pass that a timer, a plugin or a backoff
        wants, the end of a simulated leaf. 0 where a pass is under way or wanted now, None where nothing ever will."""
        return self._loop.next_due

    @property
    def resting(self) -> list[Callable[[], None]]:
        """Called, in the event loop, each time that no pass is under way or wanted now. Append yours."""
        return self._loop.resting

    def drain(self, grace: float) -> None:
        """Have `serve` and `run` begin no more passes and return once those under way are over, or after `grace`
        seconds.

        What is not over by then is aborted. Said again, the shorter grace counts.
        """
        self._active.check_thread()
        self._loop.drain(grace)

    def hear(self, workflow: Subject, node_ids: Iterable[str], result: Result) -> None:
        """Have several leaves of a workflow come to the same. Whoever says that keeps it, and may say it once more: of
        those that have ended, or are not there, nothing is said."""
        self._active.hear_all(self._workflow(workflow), node_ids, result)

    @property
    def _is_draining(self) -> bool:
        return self._loop.draining

    def _part(self, workflow: Workflow, how: str) -> Awaitable[None]:
        return part(workflow, how, self._active, self._passes, self._loop)

    def _operate(self, subject: Subject, name: str, **arguments: Any) -> Awaitable[None]:
        operate(self._active, self._handing, self._workflow(subject), name, arguments)
        return DONE

    def _stop_leaf(self, run: Run, node: Node) -> None:
        self._handing.stop(run.workflow, node, run.log)

    def _resize(self, change: Change) -> None:
        """The sizes of semaphores are of the moment, as in Argo: who waits may have room now."""
        data = (change.document or {}).get("data")
        if change.kind == CONFIG_MAP and isinstance(data, Mapping):
            self._surroundings.locks.resize(change.namespace, change.name, data)
            self._active.wake_all(self._surroundings.locks.take_woken())

    def _reloaded(self, reload: Reload) -> None:
        """Other plugins are there now: what waits because the old ones asked for it, or failed, need not any more."""
        if reload.added or reload.changed or reload.removed:
            self._active.wake_held_up()
