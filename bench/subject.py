"""The engine under measurement, in a process of its own: loads a graph, then loops whenever it is told to.

Reads ``loop`` or ``observe`` from standard input, a line each, and answers in `bench.messages` until the input ends.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from itertools import cycle

import msgspec
import psutil
import uvloop

from bench.latencies import Latencies
from bench.messages import Load, Looped, Message, Progress, Ready, Trouble
from bench.observation import HiddenRegistry, Observation, observed, sent
from bench.peers.window import Used
from bench.record import NO_LATENCY, Loop, Moment, PluginRow
from bench.workflows import fan_out
from engine import Engine, ManifestError, PendingExecutor, Workflow
from engine.executors.executor import Result
from engine.model.node import POD, RUNNING
from engine.reconciling.keeping import WORKERS
from registry import ConfigError, Plugin, load_config
from registry.config import Config, EngineSettings, MatchSettings, PluginConfig, Seconds
from rpc.stats import Outcome
from rpc.tls import Tls

_TICK = 0.1
_SCRAPE = 5.0
_WARM_UP = 500
"""Nodes at most of the workflow with which connections are opened and methods found before anything is measured."""

_PATIENCE = Seconds(10.0)
_HOUR = Seconds(3600.0)  # a loop that is measured is measured to its end, however slow the machine

_GOOD = (Outcome.ANSWERED, Outcome.UNSUPPORTED)


@dataclass(frozen=True)
class _Counts:
    """One plugin's attempts so far."""

    calls: int
    failures: dict[str, int]

    def since(self, before: _Counts) -> _Counts:
        failures = {name: count - before.failures.get(name, 0) for name, count in self.failures.items()}
        return _Counts(self.calls - before.calls, {name: count for name, count in failures.items() if count})


class Subject:
    """An engine, and the workflow that it loops over."""

    def __init__(self, load: Load, registry: HiddenRegistry, engine: Engine) -> None:
        self._load = load
        self._registry = registry
        self._engine = engine
        self._loops = 0
        lanes = {plugin.name: plugin.lane for plugin in registry.config.plugins}
        self._lanes = {name: "wire" if lane == "auto" else lane for name, lane in lanes.items()}
        self._workflow: Workflow | None = None
        self._scraping: asyncio.Task[None] | None = None

    async def prepare(self) -> Ready:
        """Warm up, and load the graph without a call."""
        load, registry, engine = self._load, self._registry, self._engine
        if load.metrics:
            self._scraping = asyncio.create_task(self._scrape())
        small = fan_out(min(_WARM_UP, load.nodes), leaf=load.leaf, padding=load.padding)
        with observed(registry.snapshot()) as observation:
            for _ in range(2):
                await engine.reconcile(small)
        registry.hidden = True
        if not small.finished:  # one of its name is to follow
            engine.terminate(small)
            await engine.reconcile(small)
        gc.collect()
        before, began = _resident(), time.perf_counter()
        if not load.fresh:
            self._workflow = fan_out(load.nodes, leaf=load.leaf, padding=load.padding)
            await engine.reconcile(self._workflow)
        registry.hidden = False
        seconds = time.perf_counter() - began
        gc.collect()
        resident = _resident()
        if self._workflow is not None and load.changed:
            await engine.reconcile(self._workflow)
            gc.collect()
        return Ready(
            pid=psutil.Process().pid,
            load_seconds=seconds,
            graph_bytes_per_node=(resident - before) / load.nodes,
            body=observation.body.decode(),
            plugins=[plugin.name for plugin in registry.snapshot()],
        )

    async def loop(self, observe: bool) -> Looped:
        """One pass over the workflow, through every plugin."""
        self._loops += 1
        workflow = self._workflow
        if workflow is None:
            load = self._load
            workflow = fan_out(load.nodes, leaf=load.leaf, padding=load.padding, name=f"fan-out-{self._loops}")
        self._change(workflow)
        watched = observed(self._registry.snapshot()) if observe else nullcontext()
        before = self._counts()
        timeline: list[Moment] = []
        used, began = Used.now(), time.perf_counter()
        ticking = asyncio.create_task(self._tick(before, began, timeline))
        with watched as observation:
            try:
                result = await self._engine.reconcile(workflow)
            finally:
                seconds, used = time.perf_counter() - began, Used.now().since(used)
                idle = 0.0 if observation is None else observation.idle()
                ticking.cancel()
        with suppress(asyncio.CancelledError):
            await ticking
        plugins = self._seen(before, observation)
        loop = Loop.of(
            sum(plugin.calls for plugin in plugins),
            seconds=seconds,
            cpu_seconds=used.cpu,
            system_seconds=used.system,
            errors=sum(plugin.errors for plugin in plugins),
            added_rss_bytes=0,
            outside_calling=None if observation is None else idle / seconds,
            aborted=None if result.aborted is None else str(result.aborted),
        )
        latency = None if observation is None else Latencies.merged(observation.latencies.values()).figures()
        return Looped(loop=loop, plugins=plugins, timeline=timeline, latency_ms=latency)

    async def close(self) -> None:
        """Nobody reads the metrics any more."""
        if self._scraping is not None:
            self._scraping.cancel()
            await asyncio.gather(self._scraping, return_exceptions=True)

    async def _scrape(self) -> None:
        """Have somebody read the metrics, more often than Prometheus does."""
        from engine.metrics import Scraped

        scraped = Scraped(self._engine)
        while True:
            await scraped.text()
            await asyncio.sleep(_SCRAPE)

    def _change(self, workflow: Workflow) -> None:
        """Let some leaves, others each time, have something new to say for themselves."""
        if not self._load.changed:
            return
        every = round(1 / self._load.changed)
        leaves = [node.id for node in workflow.nodes.values() if node.type == POD]
        for node_id in leaves[self._loops % every :: every]:
            self._engine.report(workflow, node_id, Result(RUNNING, f"turn {self._loops}"))

    async def _tick(self, before: dict[str, _Counts], began: float, timeline: list[Moment]) -> None:
        last, last_calls = began, 0
        while True:
            await asyncio.sleep(_TICK)
            now = time.perf_counter()
            so_far = {name: counts.since(before[name]) for name, counts in self._counts().items()}
            calls = sum(counts.calls for counts in so_far.values())
            limits = [plugin.client.limit for plugin in self._registry.snapshot()]
            timeline.append(Moment(now - began, (calls - last_calls) / (now - last), limits))
            last, last_calls = now, calls
            # Plugins are called in their order, so the last of those that take part tells how many nodes are through.
            nodes = next((counts.calls for counts in reversed(so_far.values()) if counts.calls), 0)
            errors = sum(sum(counts.failures.values()) for counts in so_far.values())
            say(Progress(now - began, calls, min(nodes, self._load.nodes), errors))

    def _counts(self) -> dict[str, _Counts]:
        return {plugin.name: _count(plugin) for plugin in self._registry.snapshot()}

    def _seen(self, before: dict[str, _Counts], observation: Observation | None) -> list[PluginRow]:
        seen = []
        for plugin in self._registry.snapshot():
            now = _count(plugin)
            counts = now.since(before[plugin.name])
            latencies = observation.latencies.get(plugin.name) if observation is not None else None
            seen.append(
                PluginRow(
                    name=plugin.name,
                    address=str(plugin.client.address),
                    lane=self._lanes[plugin.name],
                    calls=counts.calls,
                    errors=sum(counts.failures.values()),
                    failures=counts.failures,
                    limit=plugin.client.limit,
                    latency_ms=NO_LATENCY if latencies is None else latencies.figures(),
                    sent=now.calls,
                )
            )
        return seen


def _count(plugin: Plugin) -> _Counts:
    outcomes = plugin.client.stats.outcomes
    failures: dict[str, int] = {outcome: count for outcome, count in outcomes.items() if count and outcome not in _GOOD}
    return _Counts(sent(plugin), failures)


def _resident() -> int:
    resident: int = psutil.Process().memory_info().rss
    return resident


def configured(load: Load) -> Config:
    """The plugins to call: those of a file, switched on whatever it says, or one per address.

    A plugin of our own that fails is passed over and counted: a loop that nobody waits for is better ended than right.
    It may take its time, too, on a machine that the bench itself overloads. Raises `ConfigError`.
    """
    if load.config is None:
        tls = Tls(ca_file=load.ca_file) if load.ca_file is not None else None
        engine = EngineSettings(enabled=True, loop_deadline=_HOUR)
        plugins = tuple(
            PluginConfig(
                name=f"plugin-{number}",
                address=address,
                tls=tls,
                failure_policy="ignore",
                timeout=_PATIENCE,
                match=MatchSettings(types=types) if types else None,
            )
            for number, (address, types) in enumerate(zip(load.addresses, cycle(load.types), strict=False), start=1)
        )
    else:
        config = load_config(load.config)
        engine, plugins = msgspec.structs.replace(config.engine, enabled=True), config.plugins
    if load.lane != "auto":
        plugins = tuple(msgspec.structs.replace(plugin, lane=load.lane) for plugin in plugins)
    return Config(engine=engine, plugins=plugins)


def say(message: Message) -> None:
    """Answer the bench."""
    sys.stdout.write(msgspec.json.encode(message).decode() + "\n")
    sys.stdout.flush()


async def _main(load: Load) -> None:
    registry = HiddenRegistry(configured(load), watch=False)
    workers, room = load.workers or WORKERS, 2 * load.nodes + 1000  # attempts and groups are nodes, too
    async with Engine(registry, executor=PendingExecutor(), workers=workers, max_nodes=room) as engine:
        subject = Subject(load, registry, engine)
        say(await subject.prepare())
        while order := await asyncio.to_thread(sys.stdin.readline):
            say(await subject.loop(observe=order.strip() == "observe"))
        await subject.close()


if __name__ == "__main__":
    try:
        uvloop.run(_main(msgspec.json.decode(sys.argv[1], type=Load)))
    except (ConfigError, ManifestError) as error:
        say(Trouble(str(error)))
        sys.exit(2)
