"""What a fleet is seen to do: shards mail what has come to their figures, the driver adds it up.

What is mailed is what is new, so that the sums go on when a shard dies and another begins at zero.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final

from msgspec.structs import replace

from engine.cluster.mail import News, PluginNews
from engine.model.figures import Calling, Figures, LoopFigures, PluginFigures, RegistryFigures
from engine.model.statistics import PASS_RESULTS, EngineStats, EngineTimings
from engine.reconciler import Seen
from registry.records import RegistryStats
from rpc import Method
from rpc.breaker import BreakerState
from rpc.methods import BATCHES, Route
from rpc.stats import Histogram
from rpc.tally import Tally, summary

EVERY: Final = 0.5
"""Seconds between two news of a shard at the least, so that who looks each second sees some each time."""

_OF_NOW: Final = frozenset({"workflows", "queued", "in_flight"})
"""What of `EngineStats` is no count."""

_BY_BADNESS: Final[tuple[BreakerState, ...]] = ("open", "half-open", "closed")


class _Sum:
    """Of one plugin: all that was told of it, or that its client had counted when it was told last."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.retries = self.unknown_fields = self.breaker_opened = 0
        self.tallies: dict[Route, Tally] = {route: Tally() for route in (*Method, *BATCHES.values())}

    def since(self, plugin: PluginFigures) -> PluginNews:
        """What has come to it."""
        stats = plugin.stats
        grown = {
            route: growth for route, tally in plugin.tallies.items() if (growth := tally.since(self.tallies[route]))
        }
        return PluginNews(
            plugin.name,
            plugin.address,
            plugin.mode,
            stats.retries - self.retries,
            stats.unknown_fields - self.unknown_fields,
            stats.breaker_opened - self.breaker_opened,
            {route: growth for route, growth in grown.items() if growth is not None},
            stats.breaker,
            stats.limit,
            stats.in_flight,
            stats.waiting,
        )

    def take(self, news: PluginNews) -> None:
        """Count it."""
        self.retries += news.retries
        self.unknown_fields += news.unknown_fields
        self.breaker_opened += news.breaker_opened
        for route, growth in news.tallies.items():
            self.tallies[_ROUTES[route]].take(growth)

    def figures(self, now: list[PluginNews]) -> PluginFigures:
        """All of it, with how the shards that call the plugin do so now, of which there is one at least."""
        stats = summary(
            self.name,
            self.tallies,
            retries=self.retries,
            unknown_fields=self.unknown_fields,
            breaker=min((each.breaker for each in now), key=_BY_BADNESS.index),
            breaker_opened=self.breaker_opened,
            limit=sum(each.limit for each in now),
            in_flight=sum(each.in_flight for each in now),
            waiting=sum(each.waiting for each in now),
        )
        return PluginFigures(self.name, now[-1].address, now[-1].mode, stats, self.tallies)


class Teller:
    """In a shard: says what has come to the engine's figures since it was asked last."""

    def __init__(self, engine: Seen, clock: Callable[[], float] = time.monotonic) -> None:
        self._engine, self._clock = engine, clock
        self._told_at = -EVERY
        self._told: News | None = None
        self._stats = _NOTHING
        self._passes = {result: Histogram() for result in PASS_RESULTS}
        self._turns = Histogram()
        self._spent = self._refused = 0
        self._plugins: dict[str, tuple[Mapping[Route, Tally], _Sum]] = {}

    def due(self) -> News | None:
        """What there is to tell, where something is new and the last time was long enough ago."""
        if self._clock() < self._told_at + EVERY:
            return None
        told, news = self._told, self.take()
        return news if news != told else None

    def take(self) -> News:
        """What there is to tell."""
        figures = self._engine.figures
        stats, timings, registry = figures.stats, figures.timings, figures.registry
        self._told = news = News(
            stats=_since(self._stats, stats),
            passes={ending: passes.since(self._passes[ending]) for ending, passes in timings.passes.items()},
            turns=timings.turns.since(self._turns),
            oldest_queued=timings.oldest_queued,
            longest_pass=figures.loops[""].longest_pass,
            registry=registry.stats if registry is not None else None,
            spent=registry.spent - self._spent if registry is not None else 0,
            refused=registry.refused - self._refused if registry is not None else 0,
            plugins=[self._sum(plugin).since(plugin) for plugin in registry.plugins] if registry is not None else [],
        )
        self._told_at = self._clock()
        self._stats = stats
        for ending, spread in news.passes.items():
            self._passes[ending].take(spread)
        self._turns.take(news.turns)
        self._spent += news.spent
        self._refused += news.refused
        self._plugins = {plugin.name: self._plugins[plugin.name] for plugin in news.plugins}
        for plugin in news.plugins:
            self._plugins[plugin.name][1].take(plugin)
        return news

    def _sum(self, plugin: PluginFigures) -> _Sum:
        """What was told of a plugin; nothing where its counters have begun anew."""
        counting, told = self._plugins.get(plugin.name, (None, None))
        if told is None or counting is not plugin.tallies:
            told = _Sum(plugin.name)
            self._plugins[plugin.name] = plugin.tallies, told
        return told


class Gathered:
    """In the driver: the figures of all shards, of those that are gone, too."""

    def __init__(self) -> None:
        self._stats = _NOTHING
        self._by_shard: dict[int, EngineStats] = {}
        self._passes = {result: Histogram() for result in PASS_RESULTS}
        self._turns = Histogram()
        self._spent = self._refused = 0
        self._plugins: dict[str, _Sum] = {}
        self._now: dict[int, News] = {}
        """What the shards that are there have said last."""

    def take(self, shard: int, news: News) -> None:
        """A shard has told."""
        self._stats = _plus(self._stats, news.stats)
        self._by_shard[shard] = _plus(self._by_shard.get(shard, _NOTHING), news.stats)
        for ending, spread in news.passes.items():
            self._passes[ending].take(spread)
        self._turns.take(news.turns)
        self._spent += news.spent
        self._refused += news.refused
        for plugin in news.plugins:
            self._plugins.setdefault(plugin.name, _Sum(plugin.name)).take(plugin)
        self._now[shard] = news
        called = {plugin.name for each in self._now.values() for plugin in each.plugins}
        self._plugins = {name: each for name, each in self._plugins.items() if name in called}

    def gone(self, shard: int) -> None:
        """A shard is no more. What it had counted stays counted, what it did is done no more."""
        self._now.pop(shard, None)
        if shard in self._by_shard:
            self._by_shard[shard] = _of_now(self._by_shard[shard], ())

    @property
    def stats(self) -> EngineStats:
        """Of all shards together."""
        return _of_now(self._stats, [news.stats for news in self._now.copy().values()])

    @property
    def shards(self) -> Mapping[int, EngineStats]:
        """Of each shard, those included that had its number before."""
        return dict(sorted(self._by_shard.items()))

    def figures(self, stats: EngineStats | None = None, registry: RegistryStats | None = None) -> Figures:
        """All of them; `stats` and those of the `registry` are the driver's where it knows better."""
        now = self._now.copy()  # whoever asks may do so in any thread
        told = now.values()
        timings = EngineTimings(self._passes, self._turns, max((news.oldest_queued for news in told), default=0.0))
        loops = {str(shard): self._loop(shard, news) for shard, news in sorted(now.items())}
        return Figures(stats or self.stats, timings, self._registry(registry, told), loops)

    def _loop(self, shard: int, news: News) -> LoopFigures:
        calling: dict[str, Calling] = {plugin.name: plugin for plugin in news.plugins}
        return LoopFigures(self._by_shard[shard], news.oldest_queued, news.longest_pass, news.turns.slowest, calling)

    def _registry(self, stats: RegistryStats | None, told: Collection[News]) -> RegistryFigures | None:
        said = [news.registry for news in told if news.registry is not None]
        stats = stats or max(said, key=lambda each: each.generation, default=None)
        if stats is None:
            return None
        now: dict[str, list[PluginNews]] = {}
        for news in told:
            for plugin in news.plugins:
                now.setdefault(plugin.name, []).append(plugin)
        sums = self._plugins
        plugins = tuple(sums[name].figures(several) for name, several in now.items() if name in sums)
        return RegistryFigures(stats, self._spent, self._refused, plugins)


_COUNTS: Final = tuple(name for name in EngineStats.__struct_fields__ if name not in _OF_NOW)
_NOTHING: Final = EngineStats(*(0 for _ in EngineStats.__struct_fields__))
_ROUTES: Final[dict[str, Route]] = {str(route): route for route in (*Method, *BATCHES.values())}


def _since(before: EngineStats, now: EngineStats) -> EngineStats:
    """What has come to the counts."""
    return replace(now, **{name: getattr(now, name) - getattr(before, name) for name in _COUNTS})


def _plus(before: EngineStats, news: EngineStats) -> EngineStats:
    return replace(news, **{name: getattr(news, name) + getattr(before, name) for name in _COUNTS})


def _of_now(counted: EngineStats, now: Iterable[EngineStats]) -> EngineStats:
    """These counts, with what is no count added up."""
    several = list(now)
    return replace(counted, **{name: sum(getattr(each, name) for each in several) for name in _OF_NOW})
