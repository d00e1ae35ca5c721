"""A whole run: what was asked for, measured, and put into one record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import NamedTuple

from bench import bars, peers, processes, rounds
from bench.codec import codec
from bench.lanes import lanes
from bench.machine import machine
from bench.measuring import NOTHING, Figures, Plan, ServerName, engaged, figures, loop, measure
from bench.record import Bar, Micro, PeerRow, Record
from bench.scenarios import BATCHES, DEFAULT, MIXED, MIXED_PLUGINS, ODD_ONES, SCENARIOS, Scenario
from bench.servers import Missing, Nginx, PluginServers, nginx_version

PARTS = ("codec", "lanes")
"""What can be asked for beside scenarios: parts of a call on their own."""

_LANE_CALLS = 200_000
_TENFOLD = 10
"""The graphs between which the cost of a call is compared are so many times smaller and larger than the default."""


class Wish(NamedTuple):
    """What was asked for. ``nodes`` None leaves each scenario its own number; ``server`` None takes the fitting one."""

    scenarios: Sequence[str] = (DEFAULT,)
    nodes: int | None = None
    loops: int = 1
    server: ServerName | None = None
    peers: bool = False
    batches: bool = False
    rounds: int = 5
    connections: int = 64


class Run:
    """One run of the bench. What cannot be had is noted in `missing` and left out."""

    def __init__(self, wish: Wish, plan: Plan) -> None:
        self._wish = wish
        self._plan = plan
        self._missing: dict[str, str] = {}
        self._rows: list[PeerRow] = []
        self._bars: list[Bar] = []
        self._nginx = self._have_nginx()

    def record(self) -> Record:
        """Measure all that was asked for. Raises `EngineFailed`, and `Missing` where a plugin does not start."""
        wish, plan = self._wish, self._plan
        started = datetime.now(UTC).isoformat(timespec="seconds")
        done: dict[str, Figures] = {}
        if wish.peers and self._nginx:
            done[DEFAULT] = self._against_peers()
            self._bars.append(self._over_scale())
        if wish.batches:
            done |= self._side_by_side()
        if {DEFAULT, MIXED} <= set(wish.scenarios) and plan.config is None and plan.profile is None:
            if plan.plugins == MIXED_PLUGINS:
                done |= self._mixed()
            else:
                self._missing[MIXED] = f"what it is over {DEFAULT} is known of {MIXED_PLUGINS} plugins only"
        for name in wish.scenarios:
            if name in SCENARIOS and name not in done:
                scenario = SCENARIOS[name]
                done[name] = measure(name, scenario, self._nodes(scenario), self._server(name), wish.loops, plan)
                plan = plan._replace(profile=None)  # the flame graph is of the first
        micro = self._parts()
        name, first = next(iter(done.items()), ("", NOTHING))
        if first.server == PluginServers.name:
            gone = "its process did not live to the end of the run"
            self._missing |= {plugin.name: gone for plugin in first.plugins if plugin.served is None}
        return Record(
            machine=machine(),
            started=started,
            scenario=name,
            server=first.server,
            lane=first.lanes,
            nodes=first.nodes,
            plugins=len(first.plugins),
            connections=wish.connections,
            request_bytes=first.request_bytes,
            calls_per_loop=max((each.loop.calls for each in first.loops), default=0),
            loops=[each.loop for each in first.loops],
            load_seconds=first.load_seconds,
            graph_bytes_per_node=first.graph_bytes_per_node,
            latency_ms=first.latency,
            per_plugin=first.plugins,
            timeline=first.timeline,
            peers=self._rows,
            scenarios=[each.row(name, SCENARIOS[name].about) for name, each in done.items()] if len(done) > 1 else [],
            micro=micro,
            bars=self._bars,
            missing=self._missing,
        )

    def _have_nginx(self) -> bool:
        try:
            nginx_version()
        except Missing as reason:
            if self._wish.peers or self._wish.server == "nginx":
                self._missing["nginx"] = str(reason)
            return False
        return True

    def _nodes(self, scenario: Scenario) -> int:
        return scenario.nodes if scenario.sized or self._wish.nodes is None else self._wish.nodes

    def _server(self, name: str) -> ServerName:
        """What was asked for if it can do it; else plugins that are to be looked at alone are real ones."""
        if SCENARIOS[name].thinks or not self._nginx:
            return "plugins"
        return self._wish.server or ("plugins" if len(self._wish.scenarios) == 1 else "nginx")

    def _against_peers(self) -> Figures:
        wish, plan = self._wish, self._plan
        with ExitStack() as stack:
            subject = stack.enter_context(engaged(SCENARIOS[DEFAULT], self._nodes(SCENARIOS[DEFAULT]), "nginx", plan))
            server = subject.server
            assert isinstance(server, Nginx)
            present, missing = stack.enter_context(peers.installed())
            compared = rounds.against_peers(subject, server, present, wish.connections, wish.rounds, plan)
            observed = loop(subject, "the same, call by call", True, plan)
            done = figures(subject, [*compared.loops, observed])
        self._missing |= missing | compared.missing
        self._rows = compared.rows
        self._bars += bars.over_peers(compared.rows)
        self._bars += bars.over_graph([each.loop for each in done.loops], done.graph_bytes_per_node)
        return done

    def _side_by_side(self) -> dict[str, Figures]:
        """Single calls and what spares them, by plugins on the SDK."""
        done = self._in_turns({name: (SCENARIOS[name], self._plan) for name in (DEFAULT, *BATCHES)}, "plugins")
        self._bars += bars.over_single(*(done[name].unobserved for name in (DEFAULT, "batched", "cached")))
        return done

    def _mixed(self) -> dict[str, Figures]:
        """Three plugins beside two that are not like them, and what both cost without the three."""
        plan, server = self._plan, self._server(MIXED)
        two, odd = f"{DEFAULT}, two of them", f"{MIXED}, the two"
        few = plan._replace(plugins=2)
        entrants = {DEFAULT: (SCENARIOS[DEFAULT], plan), two: (SCENARIOS[DEFAULT], few)}
        entrants |= {MIXED: (SCENARIOS[MIXED], plan), odd: (ODD_ONES, few)}
        done = self._in_turns(entrants, server)
        self._bars.append(bars.over_mixed(*(each.unobserved for each in done.values())))
        return {name: done[name] for name in (DEFAULT, MIXED)}

    def _in_turns(self, entrants: Mapping[str, tuple[Scenario, Plan]], server: ServerName) -> dict[str, Figures]:
        """Loops over several engines side by side, the last of each call by call."""
        with ExitStack() as stack:
            subjects = {
                name: stack.enter_context(engaged(scenario, self._nodes(scenario), server, plan))
                for name, (scenario, plan) in entrants.items()
            }
            loops = rounds.side_by_side(subjects, self._wish.rounds, self._plan)
            return {
                name: figures(subject, [*loops[name], loop(subject, f"{name}, call by call", True, self._plan)])
                for name, subject in subjects.items()
            }

    def _over_scale(self) -> Bar:
        scenario, nodes, plan = SCENARIOS[DEFAULT], self._nodes(SCENARIOS[DEFAULT]), self._plan
        few, many = max(1, nodes // _TENFOLD), nodes * _TENFOLD
        with engaged(scenario, few, "nginx", plan) as one, engaged(scenario, many, "nginx", plan) as other:
            small, large = rounds.in_turns(one, other, self._wish.rounds, plan)
        return bars.over_scale(few, small, many, large)

    def _parts(self) -> list[Micro]:
        parts: list[Micro] = []
        if "codec" in self._wish.scenarios:
            parts += codec()
        if "lanes" in self._wish.scenarios:
            try:
                parts += lanes(_LANE_CALLS, self._wish.connections, self._wish.rounds, self._plan)
            except (Missing, peers.Failed, processes.Stuck) as reason:
                self._missing["lanes"] = str(reason)
        return parts
