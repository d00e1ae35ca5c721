"""One soak from beginning to end: plugins, an engine, a stream of workflows, two storms with a calm after each."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from time import monotonic
from typing import Final

from registry import Registry
from tests.soak.configuration import Configuration
from tests.soak.executor import Leaves
from tests.soak.gauges import Gauges, Held, Sample
from tests.soak.ledger import Promise
from tests.soak.oversight import overseen
from tests.soak.processes import Processes
from tests.soak.report import HELD_BACK, IDLES, AtRest, Report, Settings
from tests.soak.roster import plugins
from tests.soak.storm import Storm, becomes_true
from tests.soak.tally import Tally
from tests.soak.witness import WitnessedEngine
from tests.soak.workloads import Work, Workloads

WARM_UP: Final = 0.2
"""Share of the time that goes into the first storm, after which nothing may grow any more."""
_MOST_ACTIVE: Final = 100
"""Workflows under way from which on no more are submitted."""
_SETTLES: Final = 300.0
"""Seconds in which all workflows must end once the faults have: backoffs reach 30 s, and a busy machine has plugins
that are too late for a while."""
_SAMPLED: Final = 0.5
_IDLE: Final = 40.0
"""Seconds in which connections to plugins must be closed that nobody uses: idle ones last for 15, or twice as long in
the aiohttp lane, which looks for them now and then."""


async def soak(settings: Settings, folder: Path, say: Callable[[str], None]) -> Report:
    """Run it in an empty `folder`; `say` is told now and then how things are."""
    import_module("rpc.lanes.aiohttp")  # else that is done when a plugin first travels so, and counts as growth
    report, dice = Report(settings), random.Random(f"{settings.seed} setting")
    began, gauges = monotonic(), Gauges()
    with overseen(report.ledger, report.said), Processes(folder) as processes:
        listed, lanes = plugins(processes, settings.seed, settings.methods), settings.lanes
        configuration = Configuration(folder, listed, dice, lanes)
        for process in processes:
            process.start()
        for process in processes:
            await process.listens()
        await configuration.write()
        files, tasks = gauges.open_files(), asyncio.all_tasks()
        registry = Registry(configuration.file)
        storm = Storm(processes, configuration, registry, gauges, report.ledger)
        leaves = Leaves(report.ledger, random.Random(f"{settings.seed} leaves"))
        async with WitnessedEngine(registry, leaves, report.ledger, settings.methods) as engine:
            await Soak(report, engine, registry, leaves, storm, gauges, say).run()
        left = asyncio.all_tasks() - tasks
        report.ledger.expect(Promise.CLOSED, not left, f"tasks: {left}")
        # The thread that watched the configuration closes its own a moment later.
        await becomes_true(lambda: gauges.open_files() <= files)
        more = gauges.open_files() - files
        report.ledger.expect(Promise.CLOSED, not more, f"file descriptors: {more}")
        for process in processes:
            said = process.said()
            report.ledger.expect(Promise.HANDLED, b"Traceback" not in said, f"{process.name}: {said!r}")
    report.seconds, report.cpu_seconds = monotonic() - began, gauges.cpu_seconds()
    return report


class Soak:
    """What happens while the engine is open."""

    def __init__(
        self,
        report: Report,
        engine: WitnessedEngine,
        registry: Registry,
        leaves: Leaves,
        storm: Storm,
        gauges: Gauges,
        say: Callable[[str], None],
    ) -> None:
        self._report = report
        self._settings = report.settings
        self._engine = engine
        self._registry = registry
        self._leaves = leaves
        self._storm = storm
        self._gauges = gauges
        self._say = say
        self._tally = Tally(registry, report.ledger)
        self._loop: asyncio.Task[None] | None = None
        self._samples: list[Sample] = []
        self._phase = ""

    async def run(self) -> None:
        """A storm to warm up and the storm that counts, each until the last workflow has ended."""
        background = [
            asyncio.create_task(each) for each in (self._drive(), self._watch(), self._leaves.report(self._engine))
        ]
        try:
            await becomes_true(lambda: self._engine.health.turning)
            tasks, sockets = len(asyncio.all_tasks()), self._sockets
            await self._weather("warm-up", WARM_UP * self._settings.seconds, tasks, sockets)
            await self._storm.stir()
            samples = await self._weather("storm", (1 - WARM_UP) * self._settings.seconds, tasks, sockets)
            self._report.judge_growth(samples)
        finally:
            for task in background:
                task.cancel()
            ends = await asyncio.gather(*background, return_exceptions=True)
        for end in ends:
            if isinstance(end, Exception):
                raise end
        self._report.done += self._storm.done + Counter(
            {
                "calls": self._tally.calls,
                "retries": self._tally.retries,
                "retries not paid by the budget": self._registry.budget.refused,
                "breakers opened": self._tally.breakers_opened,
            }
        )
        stats = self._engine.stats
        self._report.done += Counter(
            passes=stats.passes, **{"passes aborted": stats.aborted, "passes cancelled": self._engine.cancelled}
        )

    async def _weather(self, phase: str, seconds: float, tasks: int, sockets: int) -> list[Sample]:
        """A storm and the calm after it; returns the samples of the storm.

        So many tasks and sockets are there when nothing happens.
        """
        self._phase, self._samples = phase, []
        until, dice = monotonic() + seconds, random.Random(f"{self._settings.seed} {phase}")
        async with asyncio.TaskGroup() as group:
            group.create_task(self._storm.rage(until, dice, self._settings.faults, self._interrupt))
            group.create_task(self._feed(until, dice))
        samples, self._samples, self._phase = self._samples, [], "calm"
        await self._storm.calm()
        await becomes_true(lambda: not self._engine.watched, _SETTLES)
        for key, watched in self._engine.watched.items():
            waiting = self._engine.waiting_for(watched.work.workflow)
            self._report.ledger.expect(Promise.ENDS, False, f"{key} has not ended: {waiting}")
        await becomes_true(lambda: len(asyncio.all_tasks()) <= tasks)
        if self._settings.seconds >= IDLES:
            idle = await becomes_true(lambda: self._sockets <= sockets, _IDLE)
            still = f"still connected, {self._sockets - sockets} times: {self._gauges.connections()}"
            self._report.ledger.expect(Promise.DESCRIPTORS, idle, still)
        self._rest()
        return samples

    @property
    def _sockets(self) -> int:
        return self._gauges.open_files()["socket"]

    # The engine at work

    async def _drive(self) -> None:
        """Keep the engine serving."""
        while True:
            self._loop = asyncio.create_task(self._engine.serve())
            try:
                await asyncio.wait([self._loop])
            finally:
                self._loop.cancel()
            if not self._loop.cancelled() and (error := self._loop.exception()) is not None:
                asyncio.get_running_loop().call_exception_handler({"message": "the loop ended", "exception": error})
                await asyncio.sleep(_SAMPLED)

    def _interrupt(self) -> None:
        if self._loop is not None:
            self._loop.cancel()

    async def _feed(self, until: float, dice: random.Random) -> None:
        """Submit workflows at the rate that was asked for, and none where they pile up."""
        settings, next_large = self._settings, monotonic()
        workloads = Workloads(dice, visits_only=settings.visits_only)
        while (pause := dice.expovariate(settings.rate)) < until - monotonic():
            await asyncio.sleep(pause)
            if len(self._engine.watched) >= _MOST_ACTIVE:
                self._report.done[HELD_BACK] += 1
                continue
            if monotonic() >= next_large:
                next_large += settings.every
                self._submit(workloads.large(f"large-{self._report.done.total()}", settings.leaves), "large workflows")
            else:
                self._submit(workloads.small(f"small-{self._report.done.total()}"), "small workflows")

    def _submit(self, work: Work, kind: str) -> None:
        self._engine.take(work)
        self._report.done[kind] += 1

    # What the process holds

    async def _watch(self) -> None:
        """Sample the gauges, count calls, and say how things are."""
        began = monotonic()
        while True:
            seconds, tally, stats = monotonic() - began, self._tally, self._engine.stats
            sample = self._gauges.read(seconds)
            self._samples.append(sample)
            tally.count(seconds)
            self._say(
                f"{self._phase}, {seconds:.0f} s: {stats.workflows_finished} workflows ended, {stats.workflows} under "
                f"way, {stats.passes:,} passes, {stats.aborted:,} aborted, {tally.calls:,} calls, "
                f"{sample.rss / 2**20:.0f} MiB, {sample.descriptors} file descriptors, {sample.tasks} tasks, "
                f"{self._report.ledger.broken.total()} promises broken"
            )
            await asyncio.sleep(_SAMPLED)

    def _rest(self) -> None:
        """Nothing happens: nothing may be held that is of no use."""
        expect, held = self._report.ledger.expect, Held.now()
        current = {plugin.client for plugin in self._registry.snapshot()}
        left = set(self._engine.clients) - current
        expect(Promise.LET_GO, not left, f"{len(left)} clients are still held: {left}")
        draining = self._registry.stats.draining
        expect(Promise.LET_GO, draining == 0, f"{draining} lists of plugins are still leased")
        busy = [client for client in current if client.stats.in_flight or client.stats.waiting]
        expect(Promise.TASKS, not busy, f"calls in flight at rest: {busy}")
        self._report.rests.append(AtRest(self._gauges.read(0.0), held))
