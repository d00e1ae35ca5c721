"""Measuring one scenario: servers up, an engine with a loaded graph, loops, servers down."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from bench import fronts, servers
from bench.engine_process import EngineProcess, engine_process
from bench.messages import Load, Looped, Progress
from bench.record import NO_LATENCY, Latency, Loop, Moment, PluginRow, ScenarioRow, typical
from bench.scenarios import Scenario
from bench.servers import Nginx, PluginServers
from rpc.client import LaneName

ServerName = Literal["nginx", "plugins"]

Watch = Callable[[str, int, Progress | None], None]
"""Told what is being done, how many nodes it is about, and how far it is."""


def _nobody(doing: str, nodes: int, progress: Progress | None) -> None:
    """Nobody watches."""


class Plan(NamedTuple):
    """What all measurements of a run have in common. ``workers`` is how many nodes
    are under way at a time, None for the engine's own number; with ``metrics`` they are read meanwhile. With ``tls``
    an nginx with TLS stands before the plugins."""

    plugins: int = 5
    lane: LaneName = "auto"
    workers: int | None = None
    config: Path | None = None
    profile: Path | None = None
    metrics: bool = False
    tls: bool = False
    watch: Watch = _nobody


class Engaged(NamedTuple):
    """An engine with a loaded graph, and the server that it calls, None where that is not ours."""

    engine: EngineProcess
    server: Nginx | PluginServers | None
    nodes: int

    @property
    def server_name(self) -> str:
        """What to call it in a report."""
        return "the configured plugins" if self.server is None else self.server.name


@contextmanager
def engaged(scenario: Scenario, nodes: int, server: ServerName, plan: Plan) -> Iterator[Engaged]:
    """Servers and an engine for a scenario, ready to loop. Raises `servers.Missing` and `EngineFailed`."""
    load = Load(
        nodes=nodes,
        config=os.fspath(plan.config) if plan.config else None,
        lane=plan.lane,
        workers=plan.workers,
        leaf=scenario.leaf,
        padding=scenario.padding,
        fresh=scenario.fresh,
        types=scenario.types,
        changed=scenario.changed,
        metrics=plan.metrics,
    )
    with ExitStack() as stack:
        running: Nginx | PluginServers | None = None
        if plan.config is None:
            behaviours = scenario.behaviours(plan.plugins)
            if server == "nginx":
                running = stack.enter_context(servers.nginx(behaviours))
            else:
                running = stack.enter_context(servers.plugins(behaviours))
            load = msgspec.structs.replace(load, addresses=running.addresses)
            if plan.tls:
                front = stack.enter_context(fronts.before(running.addresses))
                load = msgspec.structs.replace(load, addresses=front.addresses, ca_file=os.fspath(front.ca_file))
        plan.watch("loading the graph", nodes, None)
        engine = stack.enter_context(engine_process(load, profile=plan.profile))
        yield Engaged(engine, running, nodes)


class Figures(NamedTuple):
    """What the loops of one scenario came to. The last of them was observed call by call."""

    server: str
    nodes: int
    request_bytes: int
    load_seconds: float
    graph_bytes_per_node: float
    loops: list[Looped]
    plugins: list[PluginRow]

    @property
    def unobserved(self) -> list[Loop]:
        """The loops whose processor time may be compared."""
        return [each.loop for each in self.loops if each.loop.outside_calling is None]

    @property
    def latency(self) -> Latency:
        """Of all calls of the observed loop."""
        return (self.loops[-1].latency_ms if self.loops else None) or NO_LATENCY

    @property
    def timeline(self) -> list[Moment]:
        """Of the loop whose figures stand for all."""
        shown = typical([each.loop for each in self.loops]) if self.loops else None
        return next((each.timeline for each in self.loops if each.loop is shown), [])

    @property
    def lanes(self) -> str:
        """The lane that the calls took, or both."""
        return " and ".join(sorted({plugin.lane for plugin in self.plugins}))

    def row(self, name: str, about: str) -> ScenarioRow:
        """All of this in a line."""
        return ScenarioRow(
            name=name,
            about=about,
            server=self.server,
            nodes=self.nodes,
            plugins=len(self.plugins),
            request_bytes=self.request_bytes,
            loop=typical([each.loop for each in self.loops]),
            latency_ms=self.latency,
            graph_bytes_per_node=self.graph_bytes_per_node,
        )


NOTHING = Figures("", 0, 0, 0.0, 0.0, [], [])
"""Where no loop was asked for."""


def measure(name: str, scenario: Scenario, nodes: int, server: ServerName, loops: int, plan: Plan) -> Figures:
    """Run a scenario. Raises `servers.Missing` and `EngineFailed`."""
    with engaged(scenario, nodes, server, plan) as subject:
        if scenario.cacheable:  # what stands must have been said once
            loop(subject, f"{name}, before it", False, plan)
        done = [loop(subject, f"{name}, loop {number + 1}", number == loops - 1, plan) for number in range(loops)]
        return figures(subject, done)


def loop(subject: Engaged, doing: str, observe: bool, plan: Plan) -> Looped:
    """One loop, with somebody watching."""
    plan.watch(doing, subject.nodes, None)
    return subject.engine.loop(observe=observe, progress=lambda progress: plan.watch(doing, subject.nodes, progress))


def figures(subject: Engaged, loops: list[Looped]) -> Figures:
    """What the loops came to; ends the engine and the plugins, which then tell what they served."""
    ready = subject.engine.ready
    subject.engine.finish()
    plugins = loops[-1].plugins
    if isinstance(subject.server, PluginServers):
        plugins = [
            msgspec.structs.replace(plugin, served=None if counted is None else sum(counted.calls.values()))
            for plugin, counted in zip(plugins, subject.server.stop(), strict=True)
        ]
    return Figures(
        server=subject.server_name,
        nodes=subject.nodes,
        request_bytes=len(ready.body.encode()),
        load_seconds=ready.load_seconds,
        graph_bytes_per_node=ready.graph_bytes_per_node,
        loops=loops,
        plugins=plugins,
    )
