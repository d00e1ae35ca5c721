"""The trials, each of one promise (or two that are seen together), as `Bar`s: what was promised, what was measured."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import tracemalloc
from collections.abc import Callable, Coroutine, Mapping
from statistics import median
from time import perf_counter
from typing import Any, Final

from bench import processes, servers
from bench.failures.surroundings import ONCE, Trial, silent, trial
from bench.limits.sweeping import drive
from bench.observation import observed
from bench.plugin_server import Behaviour
from bench.record import Bar
from bench.workflows import fan_out
from engine import SimulatedExecutor, Workflow
from engine.plugins.journal import Journal
from engine.plugins.room import Room
from engine.reconciling.keeping import WORKERS
from registry import BreakerSettings, Seconds
from rpc import Client, Method, PluginError, RetryPolicy
from rpc.plugin import Plugin
from rpc.replies import EMPTY

_NEVER: Final = BreakerSettings(min_calls=1 << 60)


async def breaker(nodes: int) -> list[Bar]:
    """A plugin dies; passes over a loaded graph while its breaker is open."""
    with servers.plugins(silent(2)) as running:
        settings = {"retry": ONCE, "breaker": BreakerSettings(min_calls=4, open_for=Seconds(600.0))}
        async with trial(running.addresses, settings=lambda number: settings) as it:
            workflow = await it.loaded(nodes)
            processes.stop(running.processes[0])
            while "open" not in it.breakers:
                await it.engine.reconcile(workflow)
            before, sent, times = workflow.encode(), it.sent, []
            for _ in range(50):
                began = perf_counter()
                await it.engine.reconcile(workflow)
                times.append(perf_counter() - began)
            return [
                Bar.most("abort with an open breaker", 1.0, median(times) * 1000, " ms"),
                Bar.most("requests it sent", 0, it.sent - sent),
                Bar.most("bytes of the workflow it changed", 0, workflow.encode() != before),
            ]


async def proposal(nodes: int) -> list[Bar]:
    """400 calls at once to the proposal's plugin on http.server."""
    with servers.plain() as address:
        async with Client(address, timeout=10.0, retry=RetryPolicy(attempts=1)) as client:
            clock = asyncio.get_running_loop().time
            arrivals = [clock()]

            async def call() -> bool:
                try:
                    await client.call("node.preExecute", {"node": {"message": "x" * 400}})
                except PluginError:
                    return False
                arrivals.append(clock())
                return True

            ended = await asyncio.gather(*(call() for _ in range(400)))
    gaps = [after - before for before, after in itertools.pairwise(arrivals)]
    return [
        Bar.most("http.server: of 400 calls failed", 0, ended.count(False)),
        Bar.most("http.server: longest time without a reply", 0.5, max(gaps), " s"),
        Bar.most("http.server: 400 calls", 2.0, arrivals[-1] - arrivals[0], " s"),
    ]


async def halving(nodes: int) -> list[Bar]:
    """A plugin that does 32 calls at a time, 20 ms each, from one moment on does 16."""
    slots, latency = 32, 0.02
    room = asyncio.Semaphore(slots)
    plugin = Plugin("halving")

    @plugin.on(Method.NODE_PRE_EXECUTE)
    async def answer(args: object) -> None:
        async with room:
            await asyncio.sleep(latency)

    async with plugin.serve() as address, Client(address, timeout=10.0) as client:
        full = [await drive(client, 1.0, callers=1024) for _ in range(4)][-1]
        for _ in range(slots // 2):
            await room.acquire()
        await drive(client, 3.0, callers=1024)
        half = await drive(client, 2.0, callers=1024)
        return [
            Bar.least("capacity halves: calls/s before, of the capacity", 0.9, full * latency / slots),
            Bar.least("capacity halves: calls/s after, of the new one", 0.9, 2 * half * latency / slots),
        ]


async def deadline(nodes: int) -> list[Bar]:
    """The third of five plugins hangs (SIGSTOP), and a pass has a deadline of 2 s."""
    with servers.plugins(silent(5)) as running:
        async with trial(running.addresses, deadline=2.0, settings=lambda number: {"timeout": Seconds(60.0)}) as it:
            await it.warm_up()
            workflow = await it.loaded(nodes)
            before = workflow.encode()
            hung = running.processes[2].pid
            os.kill(hung, signal.SIGSTOP)
            began = perf_counter()
            result = await it.engine.reconcile(workflow)
            late = perf_counter() - began - 2.0
            os.kill(hung, signal.SIGCONT)
            assert result.aborted is not None
            return [
                Bar.most("hung plugin: a pass beyond its deadline", 0.25, late, " s"),
                Bar.most("hung plugin: bytes of the workflow it changed", 0, workflow.encode() != before),
            ]


async def resuming(nodes: int) -> list[Bar]:
    """Five plugins that each refuse one call in 100,000, without retries: passes until one is committed."""
    with servers.plugins(silent(5, refuse_every=nodes)) as running:
        async with trial(running.addresses, settings=lambda number: {"retry": ONCE}) as it:
            await it.warm_up()
            workflow = await it.loaded(nodes)
            sent, aborts = it.sent, 0
            while (await it.engine.reconcile(workflow)).aborted is not None:
                aborts += 1
            calls = it.sent - sent
    return [
        Bar.least("one refusal in 100,000 calls of each plugin: aborts", 1, aborts),
        Bar.most("... calls beyond nodes x plugins, until it is committed", 0.01 * 5 * nodes, calls - 5 * nodes),
    ]


async def journal(nodes: int) -> list[Bar]:
    """What an aborted pass keeps: nearly all empty replies, or nearly none."""
    tracemalloc.start()
    room = Room(1 << 40)
    empty, spoken = Journal(room), Journal(room)
    start, _ = tracemalloc.get_traced_memory()
    for number in range(nodes):
        empty.keep_empty_chains(Method.NODE_PRE_EXECUTE, [number.to_bytes(16, "big")])
    middle, _ = tracemalloc.get_traced_memory()
    for number in range(nodes):
        spoken.keep("plugin", Method.NODE_PRE_EXECUTE, number.to_bytes(16, "big"), EMPTY)
    end, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return [
        Bar.most("journal: a node about which no plugin said a thing", 200, (middle - start) / nodes, " B"),
        Bar.most("journal: another answer, beside what it says", 400, (end - middle) / nodes, " B"),
    ]


async def fairness(nodes: int) -> list[Bar]:
    """A hundred workflows of 3 nodes, alone, then submitted together with a large one."""
    with servers.plugins(silent(1)) as running:
        took = {}
        for large in (False, True):
            async with trial(running.addresses, executor=SimulatedExecutor()) as it:
                await it.warm_up()
                small = [fan_out(3, name=f"small-{number}") for number in range(100)]
                work = [await it.loaded(nodes), *small] if large else small
                began = perf_counter()
                loop = asyncio.create_task(it.engine.run(work))
                await it.finished(len(small), loop)
                took[large] = perf_counter() - began
                loop.cancel()
                await asyncio.gather(loop, return_exceptions=True)
    return [
        Bar.most("100 workflows of 3 nodes beside a large one, over alone", 3.0, took[True] / took[False]),
        Bar.most("... until the last of them is done", 1.5, took[True], " s"),
    ]


async def isolation(nodes: int) -> list[Bar]:
    """Two engines in turns, one with four plugins, one with these and a fifth that is dead and may fail."""
    ignored: dict[str, Any] = {"failure_policy": "ignore"}
    with servers.plugins(silent(5)) as running:
        async with (
            trial(running.addresses[:4], settings=lambda number: ignored) as four,
            trial(running.addresses, settings=lambda number: ignored) as five,
        ):
            for it in (four, five):
                await it.warm_up()
            sides = [(it, await it.loaded(nodes // 10)) for it in (four, five)]
            processes.stop(running.processes[4])
            ratios = []
            for _ in range(7):
                alone, beside = [await _p99(it, workflow, range(1, 5)) for it, workflow in sides]
                ratios.append(beside / alone)
    return [Bar.most("a dead plugin, ignored: the others' p99 over without it", 2.0, median(ratios))]


async def _p99(it: Trial, workflow: Workflow, plugins: range) -> float:
    """Seconds, of one pass and the plugin that took longest."""
    with observed(it.registry.snapshot()) as observation:
        await it.engine.reconcile(workflow)
    return max(observation.latencies[f"plugin-{number}"].percentile(0.99) for number in plugins)


async def budget(nodes: int) -> list[Bar]:
    """Five plugins answer 503 to everything, for three seconds."""
    with servers.plugins(silent(5, refuse_every=1)) as running:
        settings = {"failure_policy": "ignore", "breaker": _NEVER}
        async with trial(running.addresses, deadline=3.0, settings=lambda number: settings) as it:
            workflow = await it.loaded(nodes)
            began = perf_counter()
            await it.engine.reconcile(workflow)
            # When the pass is cut off, a retry of each worker may have been let through and not been sent yet.
            retries = sum(plugin.client.stats.retries for plugin in it.registry.snapshot()) - WORKERS
            share = retries / (0.2 * (it.sent - retries) + 10 * (perf_counter() - began + 1))
    return [Bar.most("every plugin 503: retries over the budget", 1.0, share)]


async def plug(nodes: int) -> list[Bar]:
    """The third of five plugins is killed in mid-pass, and started again at its address half a second later."""
    behaviours = [Behaviour(name=each.name, replies=each.replies, port=servers.free_port()) for each in silent(5)]
    with servers.plugins(behaviours) as running:
        settings = {"breaker": BreakerSettings(open_for=Seconds(0.5))}
        async with trial(running.addresses, settings=lambda number: settings) as it:
            await it.warm_up()
            workflow = await it.loaded(nodes)
            committed = it.engine.stats.passes
            asyncio.get_running_loop().call_later(0.5, running.processes[2].kill)
            loop = asyncio.create_task(it.engine.run([workflow]))
            await asyncio.to_thread(running.processes[2].wait)
            await asyncio.sleep(0.5)
            with servers.plugins([behaviours[2]]):
                await loop
            stats = it.engine.stats
            return [
                Bar.least("plugin killed and restarted: passes aborted", 1, stats.aborted),
                Bar.least("... and committed", 1, stats.passes - stats.aborted - committed),
            ]


TRIALS: Final[Mapping[str, Callable[[int], Coroutine[Any, Any, list[Bar]]]]] = {
    "breaker": breaker,
    "proposal": proposal,
    "halving": halving,
    "deadline": deadline,
    "resuming": resuming,
    "journal": journal,
    "fairness": fairness,
    "isolation": isolation,
    "budget": budget,
    "plug": plug,
}
