"""The face of a fleet: used as an `Engine` is, with workflows sharded over engines in other processes."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from os import PathLike
from typing import Any, Self, Unpack

from engine.cluster.actors import Actors
from engine.cluster.driver import Driver
from engine.cluster.handing import Handing
from engine.cluster.holding import Held
from engine.cluster.journal import Remembered, Stored
from engine.cluster.options import DEADLINE, SHARDS, FleetOptions, Over
from engine.cluster.processes import Processes
from engine.cluster.shard import Settings, ended
from engine.cluster.shards import Line, Owner, Shards
from engine.cluster.transport import Transport
from engine.cluster.turning import Turning
from engine.cluster.watching import Watchers
from engine.executors.executor import Executor, Hosted
from engine.executors.simulated import SimulatedExecutor, is_silent
from engine.graph.nodes import MAX_NODES
from engine.model.encoding import UNENCODABLE, encode
from engine.model.figures import Figures
from engine.model.node import Node
from engine.model.statistics import EngineHealth, EngineStats, EngineTimings
from engine.model.workflow import Workflow
from engine.operations.errors import OperationError, UnknownWorkflow
from engine.reconciler import Reconciler, Subject, check_options
from engine.reconciling.archive import Archive
from engine.reconciling.entries import read
from engine.reconciling.keeping import WORKERS
from engine.reconciling.ledger import opened
from engine.reconciling.observing import Observer
from engine.reconciling.operating import decide, refuse_finished
from engine.reconciling.promise import DONE, Promise
from engine.recording.recorder import Recorder
from engine.storage.store import WorkflowStore, refused
from engine.templates.catalog import Documents, Templates
from registry import Registry


class Fleet(Reconciler):
    """Engines in other processes that share the workflows of one driver, which is this; an async context manager.

    It has what an `Engine` has, and takes what that takes; see there. Workflows are sharded over ``shards`` engines,
    each in a process of its own: child processes of this one, or with ``over="ray"`` actors of the Ray cluster at
    ``address``, without one of a cluster on this machine that lasts as long as the fleet. The store, the executor,
    listeners and files of configuration are used by this process alone. With the default executor, a
    `SimulatedExecutor`, each shard simulates for itself, and its clock is its own, unless ``clock`` is `time.time`. A
    shard that does not answer for ``deadline`` seconds is replaced, and its workflows go on elsewhere from what was
    committed last. See ``docs/fleet.md``.

    Operations are asked of the shard that has the workflow: what they return is to be awaited, which raises what the
    shard refuses; where nobody does that, it is logged. A workflow's document and nodes follow what its shard commits.

    It has to be entered, which raises `StoreError`, `ConfigError`, and `TransportError` where no shards can be started;
    else `run` and `serve` raise `RuntimeError`.
    """

    def __init__(
        self,
        registry: Registry | None = None,
        *,
        executor: Executor | None = None,
        shards: int = SHARDS,
        over: Over | Transport = "processes",
        address: str | None = None,
        store: WorkflowStore | None = None,
        workflow_templates: Documents | None = None,
        cluster_workflow_templates: Documents | None = None,
        config_maps: Documents | None = None,
        observer: Observer | None = None,
        recorder: Recorder | None = None,
        clock: Callable[[], float] | None = None,
        workers: int = WORKERS,
        max_nodes: int = MAX_NODES,
        max_workflows: int | None = None,
        deadline: float = DEADLINE,
    ) -> None:
        """Raises `TypeError` for an executor, store or the like that is none, and `ValueError` for what cannot be."""
        self.executor: Executor = executor if executor is not None else SimulatedExecutor()
        bounds = {"shards": shards, "workers": workers, "max_nodes": max_nodes, "max_workflows": max_workflows}
        check_options(registry, self.executor, store, recorder, **bounds)
        if not 0 < deadline < math.inf:
            raise ValueError(f"deadline: expected a number of seconds, got {deadline!r}")
        self.registry = registry
        simulated = self.executor.clock if isinstance(self.executor, SimulatedExecutor) else None
        self.clock: Callable[[], float] = clock or simulated or time.time
        if self.clock not in (simulated, time.time):
            raise ValueError("clock: expected time.time, or none: a shard can have no other one")
        self.templates = Templates(workflow_templates, cluster_workflow_templates, config_maps)
        self.archive = Archive(store) if store is not None else None
        """The workflows in the store, None without one."""
        self._store = store
        self._driver = Driver(
            Stored(store) if store is not None else Remembered(),
            self.executor,
            self.templates,
            max_workflows,
            news=self._news,
            watchers=Watchers(observer, recorder),
        )
        self._roster = self._driver.roster
        super().__init__(self._roster)
        self.recorder = recorder
        self._handing = Handing(
            self.executor,
            self.templates,
            registry,
            recorder,
            lambda epoch, number: Settings(
                epoch,
                number,
                shards,
                deadline,
                workers,
                max_nodes,
                observed=observer is not None,
                real_time=self.clock is time.time,
            ),
        )
        self._turning = Turning(self._driver, self._roster, lambda: is_silent(self.executor))
        owner = Owner(self._handing.settings, self._joined, self._driver.gone, self._turning.failed)
        self._lines = Shards(_transport(over, address), shards, deadline, owner)
        self._driver.attach(self._lines)
        self._parting: set[asyncio.Future[None]] = set()
        """What is left to be done of workflows that are known no more."""
        self._stack: AsyncExitStack | None = None
        """What is to be left, while it is entered."""
        if isinstance(self.executor, Hosted):
            self.executor.attach(self._roster.hear, self.templates)

    @classmethod
    def from_config(cls, path: str | PathLike[str], **options: Unpack[FleetOptions]) -> Self:
        """A fleet with the plugins of a TOML file; `options` are those of `Fleet`. Raises `registry.ConfigError`."""
        return cls(Registry(path), **options)

    async def __aenter__(self) -> Self:
        if self._roster.loop not in (None, asyncio.get_running_loop()):
            raise RuntimeError("expected the event loop that the fleet was entered in before: it belongs to that one")
        self._roster.bind()
        if self._stack is not None:
            raise RuntimeError("expected a fleet that is not entered")
        self._roster.settled = self._is_draining
        async with AsyncExitStack() as stack:
            if self.recorder is not None:
                stack.enter_context(self.recorder)
            if (store := self._store) is not None:
                await stack.enter_async_context(opened(store))
                for head in await store.heads(finished=False):
                    workflow, record = await read(head.uid, await store.entries(head.uid))
                    self._driver.restored(workflow, record)
            if self.registry is not None:
                if self.recorder is not None:
                    self.registry.tell_secrets(self.recorder.secrets.add)
                await stack.enter_async_context(self.registry)
            stack.enter_context(self._handing.to(self._lines.put))
            await stack.enter_async_context(self._lines)
            placing = asyncio.create_task(self._driver.place(), name="place workflows")
            stack.push_async_callback(ended, placing)
            stack.push_async_callback(self._turning.close)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        stack, self._stack = self._stack, None
        if stack is not None:
            await stack.aclose()

    # What there is to see

    @property
    def stats(self) -> EngineStats:
        """The figures of all shards together, those that are gone included, up to half a second old, and some seconds
        of idle ones; and those of the driver, which are of this moment."""
        return self._driver.stats

    @property
    def shards(self) -> Mapping[int, EngineStats]:
        """The figures by shard, those of a number summed up over all that had it."""
        return self._driver.gathered.shards

    @property
    def exchanges(self) -> int:
        """How often mail was exchanged with shards, one way and back."""
        return self._lines.exchanges + sum(line.exchanges for line in self._lines)

    @property
    def figures(self) -> Figures:
        """All that there is to see, likewise."""
        registry = self.registry.stats if self.registry is not None else None
        return self._driver.gathered.figures(self.stats, registry)

    @property
    def timings(self) -> EngineTimings:
        """How long passes and turns of the shards' event loops took."""
        return self.figures.timings

    @property
    def health(self) -> EngineHealth:
        """How the fleet is: as an engine, and as the shard of it that is worst off."""
        stats, figures, limit = self.stats, self.figures, self._roster.limit
        answered = min((line.answered for line in self._lines), default=None) if self._turning.is_on else None
        return EngineHealth(
            turning=self._turning.is_on,
            draining=self._turning.draining,
            full=limit is not None and len(self._roster.runs) >= limit,
            since_turn=time.monotonic() - answered if answered is not None else None,
            longest_pass=max((each.longest_pass for each in figures.loops.values()), default=0.0),
            workflows=len(self._roster.runs),
            queued=stats.queued,
            in_flight=stats.in_flight,
            store=self._driver.writing.error,
        )

    async def look(self, *workflows: Subject) -> None:
        """Have all figures be of this moment, and what `waiting_for` says of these workflows."""
        await self._driver.ask_all("look")
        found = map(self._roster.find, map(self._workflow, workflows))
        await self._driver.ask_why([held for held in found if held is not None])

    def waiting_for(self, workflow: Subject) -> str:
        """Why an unfinished workflow does not go on, in words: as of the end of the last `run`, or of `look`
        at it."""
        held = self._roster.find(self._workflow(workflow))
        if held is None:
            return "nothing was started"
        return self._driver.writing.error or held.why or "a shard has it"

    async def saved(self, workflow: Subject | None = None) -> None:
        """Wait until the store has what was said of a workflow by now, or of all: its submission, reports, `stop` and
        the like. Raises `StoreError` where it fails, as `Engine.saved`."""
        if workflow is None:
            await asyncio.gather(*map(self._driver.saved, list(self._roster.runs.values())))
        elif (held := self._roster.find(self._workflow(workflow))) is not None:
            await self._driver.saved(held)

    # Many passes

    async def run(self, workflows: Iterable[Subject] = (), *, timeout: float | None = None) -> None:
        """As `Engine.run`. Of a simulation ``timeout`` is in seconds of each shard's clock. Raises `TransportError`
        where no shard is left, and none can be started."""
        self._check_entered()
        subjects = [self._workflow(each) for each in workflows]
        with self._roster.claimed(subjects) as unfinished:
            some = list(map(self._roster.know, unfinished))
            await self._turning.run(some if subjects else None, timeout)
        await self._driver.ask_why([each for each in some if not each.workflow.finished])

    async def serve(self, *, timeout: float | None = None) -> None:
        """As `Engine.serve`; ``timeout`` is, and it raises, what it does of `run`."""
        self._check_entered()
        await self._turning.serve(timeout)

    def drain(self, grace: float) -> None:
        """Have `serve` and `run` begin no more passes and return once those under way are over, or after `grace`
        seconds, with what was reported by then written."""
        self._roster.check_thread()
        self._turning.drain(grace)

    # What differs from an engine

    @property
    def _is_draining(self) -> bool:
        return self._turning.draining

    def _stop_leaf(self, run: Held, node: Node) -> None:
        self._driver.stop(run.workflow, node)

    def _operate(self, subject: Subject, name: str, **arguments: Any) -> Awaitable[None]:
        workflow = self._workflow(subject)
        refuse_finished(workflow)
        try:
            encode(arguments)
        except UNENCODABLE as error:
            raise OperationError(str(refused(f"{workflow.key}: {name}", error))) from None
        if self._roster.find(workflow) is None:  # it would be known, and begin, even where a shard refuses this
            decide(workflow, {}, name, arguments)
        asked = self._driver.ask(self._roster.know(workflow), name, arguments)

        async def done() -> None:
            try:
                await self._driver.writing.unless_failing(asked)
            except UnknownWorkflow:
                refuse_finished(workflow)  # as it has become meanwhile
                raise

        return Promise(asyncio.ensure_future(done()), workflow, name)

    def _part(self, workflow: Workflow, how: str) -> Awaitable[None]:
        held = self._roster.find(workflow)
        if held is None:
            if not workflow.finished:
                raise UnknownWorkflow(f"{workflow.key}: this fleet does not have it: there is nothing to {how}")
            return DONE
        if how == "delete":
            self._driver.stop_all(held)
        left = asyncio.ensure_future(self._driver.forget(held))
        self._parting.add(left)
        left.add_done_callback(self._parting.discard)
        return Promise(left, workflow, how)

    # For the others

    def _joined(self, line: Line) -> None:
        self._driver.joined(line)
        self._turning.joined(line)

    def _news(self) -> None:
        self._turning.look()

    def _check_entered(self) -> None:
        self._roster.bind()
        if self._stack is None:
            raise RuntimeError("expected a fleet that is entered, by `async with`: without that there are no shards")


def _transport(over: Over | Transport, address: str | None) -> Transport:
    if not isinstance(over, str):
        return over
    if over == "processes":
        if address is not None:
            raise ValueError("address: expected none, child processes are on this machine")
        return Processes()
    if over == "ray":
        return Actors(address)
    raise ValueError(f'over: expected "processes" or "ray", got {over!r}')
