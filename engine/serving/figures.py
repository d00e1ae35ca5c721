"""What plugins are seen to do, for the page: the figures of ``/metrics``, and how they went in the last minutes."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from operator import sub
from typing import Final, NamedTuple

from aiohttp import web

from engine.model.figures import Figures, PluginFigures
from engine.reconciler import Seen
from engine.serving.requests import Document
from engine.serving.streams import ending_of, stream
from rpc import Method, Outcome
from rpc.methods import BATCHES, Route
from rpc.stats import Histogram
from rpc.tally import OCTAVES, Tally, calls_of

EVERY: Final = 1.0
"""Seconds between samples."""

SAMPLES: Final = 300
"""So many are kept of each plugin."""

_NO_ERRORS: Final = (Outcome.ANSWERED, Outcome.UNSUPPORTED)
"""A method that a plugin does not have is none of its errors."""


class Durations(NamedTuple):
    """A histogram with the buckets of ``/metrics``: how many there were up to each edge, and at all."""

    up_to: tuple[int, ...]
    total: int

    @classmethod
    def of(cls, histogram: Histogram) -> Durations:
        """What one has counted."""
        return cls(tuple(count for _, count in histogram.up_to(OCTAVES)), sum(histogram.buckets))

    @classmethod
    def together(cls, several: Iterable[Durations]) -> Durations:
        """What all of them have."""
        counts, totals = zip(*several, strict=True)
        return cls(tuple(map(sum, zip(*counts, strict=True))), sum(totals))

    def since(self, before: Durations) -> Durations:
        """What has come to them."""
        return Durations(tuple(map(sub, self.up_to, before.up_to)), self.total - before.total)

    def quantile(self, share: float) -> float | None:
        """In seconds, as Prometheus' ``histogram_quantile`` has it: a straight line within the bucket where it lies,
        and the last edge where it is beyond that. None where there are none."""
        if self.total <= 0:
            return None
        rank, below, seen = share * self.total, 0.0, 0
        for edge, count in zip(_EDGES, self.up_to, strict=True):
            if count >= rank:
                return below + (edge - below) * (rank - seen) / (count - seen)
            below, seen = edge, count
        return below

    def shown(self) -> Document:
        """Two quantiles, and of how many requests."""
        return {"count": self.total, "p50": self.quantile(0.5), "p99": self.quantile(0.99)}


_EDGES: Final = tuple(edge for edge, _ in Histogram().up_to(OCTAVES))
_NOTHING: Final = Durations((0,) * len(_EDGES), 0)


class _Reading(NamedTuple):
    """What has been counted of a plugin by a moment."""

    tallies: Mapping[Route, Tally]
    moment: float
    calls: int = 0
    errors: int = 0
    waited: Durations = _NOTHING
    travelled: Durations = _NOTHING
    about: Document | None = None
    """What there is to tell of that, None where nothing was read."""


class Plugins:
    """The plugins of an engine, looked at each second for as long as the application is there."""

    def __init__(self, engine: Seen, clock: Callable[[], float] = time.monotonic) -> None:
        self._engine, self._clock = engine, clock
        self._last: dict[str, _Reading] = {}
        self._samples: dict[str, deque[Document]] = {}
        self.told: list[Document] = []
        """Each plugin as it was seen last."""
        self._news = asyncio.Event()

    async def kept(self, app: web.Application) -> AsyncIterator[None]:
        """Look at them within the life of the application."""
        looking = asyncio.create_task(self._look())
        yield
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking

    async def watch(self, request: web.Request) -> web.StreamResponse:
        """``plugins``, each with its figures, the last of its samples and, at first, all of them; again each second."""
        return await stream(request, self._messages(ending_of(request.app)))

    async def _messages(self, ending: asyncio.Event) -> AsyncGenerator[Document]:
        yield {
            "every": EVERY,
            "plugins": [{**each, "samples": list(self._samples[each["name"]])} for each in self.told],
        }
        while not ending.is_set():
            await self._news.wait()
            yield {"every": EVERY, "plugins": self.told}

    async def _look(self) -> None:
        while True:
            self.sample()
            await asyncio.sleep(EVERY)

    def sample(self) -> None:
        """Look at them now."""
        figures = self._engine.figures
        plugins = figures.registry.plugins if figures.registry is not None else ()
        self.told = [self._seen(plugin) | _shards(figures, plugin.name) for plugin in plugins]
        for gone in set(self._last) - {plugin.name for plugin in plugins}:
            del self._last[gone], self._samples[gone]
        self._news.set()
        self._news = asyncio.Event()

    def _seen(self, plugin: PluginFigures) -> Document:
        name, stats, tallies, moment = plugin.name, plugin.stats, plugin.tallies, self._clock()
        last = self._last.get(name)
        if last is None or last.tallies is not tallies:  # the counters of a plugin that is configured anew begin anew
            last = _Reading(tallies, moment)
        calls = sum(stats.outcomes.values())
        idle = last.about and calls == last.calls
        now = last._replace(moment=moment) if idle else _read(tallies, moment)
        self._last[name] = now
        sample = _sample(last, now) | {"limit": stats.limit, "inFlight": stats.in_flight, "breaker": stats.breaker}
        self._samples.setdefault(name, deque(maxlen=SAMPLES)).append(sample)
        return {
            "name": name,
            "address": plugin.address,
            "mode": plugin.mode,
            **(now.about or {}),
            "retries": stats.retries,
            "unknownFields": stats.unknown_fields,
            "inFlight": stats.in_flight,
            "waiting": stats.waiting,
            "limit": stats.limit,
            "breaker": stats.breaker,
            "breakerOpened": stats.breaker_opened,
            "samples": [sample],
        }


def _shards(figures: Figures, plugin: str) -> Document:
    """How each shard of a fleet calls a plugin at this moment."""
    if not figures.is_fleet:
        return {}
    seen = {shard: loop.plugins[plugin] for shard, loop in figures.loops.items() if plugin in loop.plugins}
    return {
        "shards": [
            {"shard": shard, "inFlight": of.in_flight, "waiting": of.waiting, "limit": of.limit, "breaker": of.breaker}
            for shard, of in seen.items()
        ]
    }


def _read(tallies: Mapping[Route, Tally], moment: float) -> _Reading:
    durations = {
        route: (Durations.of(tally.waited), Durations.of(tally.travelled))
        for route, tally in tallies.items()
        if tally.is_used
    }
    methods = {method: calls_of(tallies, method) for method in Method}
    outcomes = {outcome: sum(each[outcome] for each in methods.values()) for outcome in Outcome}
    calls, errors = sum(outcomes.values()), _errors(outcomes)
    waited, travelled = _together(durations.values())
    about = {
        "calls": calls,
        "errors": errors,
        "outcomes": {outcome.value: count for outcome, count in outcomes.items() if count},
        "waited": waited.shown(),
        "travelled": travelled.shown(),
        "methods": list(_by_method(durations, methods)),
    }
    return _Reading(tallies, moment, calls, errors, waited, travelled, about)


def _sample(last: _Reading, now: _Reading) -> Document:
    """What has happened from one reading to the next."""
    seconds = now.moment - last.moment
    waited, travelled = now.waited.since(last.waited), now.travelled.since(last.travelled)
    return {
        "calls": max(now.calls - last.calls, 0) / seconds if seconds else 0.0,
        "errors": max(now.errors - last.errors, 0) / seconds if seconds else 0.0,
        "waited": [waited.quantile(0.5), waited.quantile(0.99)],
        "travelled": [travelled.quantile(0.5), travelled.quantile(0.99)],
    }


def _by_method(
    durations: Mapping[Route, tuple[Durations, Durations]], methods: Mapping[Method, Mapping[Outcome, int]]
) -> Iterator[Document]:
    for method, outcomes in methods.items():
        if calls := sum(outcomes.values()):
            routes: tuple[Route, ...] = (method, BATCHES[method]) if method in BATCHES else (method,)
            waited, travelled = _together(durations[route] for route in routes if route in durations)
            yield {
                "name": method,
                "calls": calls,
                "errors": _errors(outcomes),
                "waited": waited.shown(),
                "travelled": travelled.shown(),
            }


def _together(durations: Iterable[tuple[Durations, Durations]]) -> tuple[Durations, Durations]:
    waited, travelled = zip(*durations, (_NOTHING, _NOTHING), strict=True)
    return Durations.together(waited), Durations.together(travelled)


def _errors(outcomes: Mapping[Outcome, int]) -> int:
    return sum(count for outcome, count in outcomes.items() if outcome not in _NO_ERRORS)
