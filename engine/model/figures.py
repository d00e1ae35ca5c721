"""What there is to see of an engine, or of a fleet of them, in figures: for metrics, the page and ``--stats``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from engine.model.statistics import EngineStats, EngineTimings
from rpc.breaker import BreakerState
from rpc.methods import Route
from rpc.stats import ClientStats
from rpc.tally import Tally

if TYPE_CHECKING:  # an engine without plugins needs none of it
    from registry import Plugin, Registry
    from registry.records import RegistryStats


class PluginFigures(NamedTuple):
    """A plugin as it is called. ``tallies`` are the same object for as long as its counters go on."""

    name: str
    address: str
    mode: str
    stats: ClientStats
    tallies: Mapping[Route, Tally]

    @classmethod
    def of(cls, plugin: Plugin) -> PluginFigures:
        """As of now; the tallies go on counting."""
        config, client = plugin.config, plugin.client
        return cls(plugin.name, config.address, config.mode, client.stats, client.tallies)


class RegistryFigures(NamedTuple):
    """The plugins, in calling order. ``spent`` and ``refused`` are what the budget of their retries was asked for."""

    stats: RegistryStats
    spent: int
    refused: int
    plugins: Sequence[PluginFigures]

    @classmethod
    def of(cls, registry: Registry) -> RegistryFigures:
        """As of now."""
        budget, plugins = registry.budget, registry.snapshot()
        return cls(registry.stats, budget.spent, budget.refused, tuple(map(PluginFigures.of, plugins)))


class Calling(Protocol):
    """How a plugin is called at this moment, as `ClientStats` describe it."""

    @property
    def in_flight(self) -> int: ...

    @property
    def waiting(self) -> int: ...

    @property
    def limit(self) -> int: ...

    @property
    def breaker(self) -> BreakerState: ...


class LoopFigures(NamedTuple):
    """What of one event loop would mean nothing added to that of others; ``plugins`` are by name, durations seconds."""

    stats: EngineStats
    oldest_queued: float
    longest_pass: float
    longest_turn: float
    plugins: Mapping[str, Calling]


class Figures(NamedTuple):
    """All of it. ``registry`` is None where there can be no plugins.

    ``loops`` has one for each shard of a fleet, by its number, and one for an engine, by an empty name. What is not
    theirs is the sum, or that of the one which is worst off.
    """

    stats: EngineStats
    timings: EngineTimings
    registry: RegistryFigures | None
    loops: Mapping[str, LoopFigures]

    @classmethod
    def of(
        cls, stats: EngineStats, timings: EngineTimings, longest_pass: float, registry: RegistryFigures | None
    ) -> Figures:
        """Those of one engine."""
        plugins: dict[str, Calling] = {}
        if registry is not None:
            plugins = {each.name: each.stats for each in registry.plugins}
        loop = LoopFigures(stats, timings.oldest_queued, longest_pass, timings.turns.slowest, plugins)
        return cls(stats, timings, registry, {"": loop})

    @property
    def is_fleet(self) -> bool:
        """Whether these are those of shards."""
        return "" not in self.loops
