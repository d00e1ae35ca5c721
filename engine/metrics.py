"""Metrics for Prometheus: what engine, registry and clients count anyway, read whenever somebody asks.

    from prometheus_client import CollectorRegistry
    registry = CollectorRegistry()
    registry.register(EngineCollector(engine))

Nothing is counted for it, so it costs what a scrape costs. ``docs/metrics.md`` has the names and what they mean. This
module alone needs prometheus-client, which ``pip install 'oarlock[metrics]'`` brings.
"""

from __future__ import annotations

import asyncio
import platform
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import version
from typing import Final, get_args

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from engine.model.figures import Calling, Figures, LoopFigures, PluginFigures, RegistryFigures
from engine.model.node import FULFILLED, PENDING, RUNNING
from engine.model.statistics import EngineStats, EngineTimings
from engine.reconciler import Seen
from rpc import Method
from rpc.breaker import BreakerState
from rpc.methods import BATCHES, Route
from rpc.stats import Histogram
from rpc.tally import OCTAVES, Tally, calls_of

_PHASES: Final = (PENDING, RUNNING, *sorted(FULFILLED))
_SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
"""Of batches: the upper bounds of buckets."""

Labels = tuple[str, ...]
Values = Mapping[Labels, float]


class EngineCollector(Collector):
    """What there is to see of an engine or a fleet, to be registered in a registry of yours.

    It may be asked at any time, also before the engine is entered and by a server in another thread. Labels are plugins
    as configured, methods, outcomes, phases and numbers of shards: nothing that a workflow or a plugin can name.
    """

    def __init__(self, engine: Seen) -> None:
        self._engine = engine

    def collect(self) -> Iterator[Metric]:
        """Everything, as of now."""
        yield _gauge("oarlock_build_info", "Which Oarlock this is", ("version", "python"), {_BUILD: 1})
        figures = self._engine.figures
        yield from _passes(figures.stats, figures.timings)
        yield from _loops(figures)
        yield from self._workflows()
        if figures.registry is not None:
            yield from _registry(figures.registry)
            yield from _plugins(figures.registry.plugins)
            yield from _lanes(figures)

    def _workflows(self) -> Iterator[Metric]:
        workflows = Counter(dict.fromkeys((PENDING, RUNNING), 0))
        workflows.update(workflow.phase or PENDING for workflow in self._engine.workflows)
        yield _gauge(
            "oarlock_workflows", "Workflows that the engine has, which are unfinished", ("phase",), _by(workflows)
        )
        nodes = self._engine.nodes_by_phase()
        known = {phase: nodes.get(phase, 0) for phase in _PHASES}
        yield _gauge("oarlock_nodes", "Nodes of those workflows", ("phase",), _by(known))


class Scraped:
    """The metrics of an engine and of the process, as text."""

    def __init__(self, engine: Seen) -> None:
        self._engine = engine
        self._registry = CollectorRegistry()
        self._registry.register(EngineCollector(engine))
        ProcessCollector(registry=self._registry)

    async def text(self, accept: str = "") -> tuple[bytes, str]:
        """The exposition that a request with this ``Accept`` is to be answered with, and its content type.

        The figures are of one moment. To write them down takes five times as long, and is done in another thread.
        """
        await self._engine.look()
        encode, content_type = choose_encoder(accept)
        return await asyncio.to_thread(encode, _Read(list(self._registry.collect()))), content_type


class _Read(CollectorRegistry):
    """What was read of another registry."""

    def __init__(self, families: list[Metric]) -> None:
        super().__init__()
        self._families = families

    def collect(self) -> Iterator[Metric]:
        """As it was."""
        yield from self._families


def _passes(stats: EngineStats, timings: EngineTimings) -> Iterator[Metric]:
    passes = HistogramMetricFamily(
        "oarlock_pass_duration_seconds", "How long passes took, by what came of them", labels=("result",)
    )
    for result, histogram in timings.passes.items():
        _add(passes, (result,), histogram)
    yield passes
    yield _count("oarlock_pass_nodes_visited", "Visits of nodes by passes", stats.nodes_visited)
    yield _count("oarlock_pass_nodes_unchanged", "Nodes that passes left out as unchanged", stats.nodes_unchanged)
    turns = HistogramMetricFamily(
        "oarlock_loop_turn_duration_seconds", "How long turns of the event loop took in which passes had a part"
    )
    _add(turns, (), timings.turns)
    yield turns
    yield _count("oarlock_cached_replies_used", "Cached replies used in place of a call", stats.answers_cached)
    yield _count(
        "oarlock_resumed_replies_used", "Replies to an aborted pass used by the one after it", stats.answers_resumed
    )
    yield _count(
        "oarlock_plugin_failures_passed_over",
        "Failures of plugins that may fail, or only observe",
        stats.failures_passed_over,
    )
    yield _count("oarlock_store_commits", "Changes of workflows that the store has written", stats.writes)
    yield _count("oarlock_store_failures", "Changes that it has not, each to be written again", stats.writes_failed)
    yield _count("oarlock_leaves_started", "Leaves that the executor was given", stats.leaves_started)
    ended = {
        "Succeeded": stats.workflows_succeeded,
        "Failed": stats.workflows_failed,
        "Error": stats.workflows_in_error,
    }
    yield _counts("oarlock_workflows_finished", "Workflows that are over", ("phase",), _by(ended))


def _loops(figures: Figures) -> Iterator[Metric]:
    """What each event loop has of its own, which for a fleet is each shard's."""

    def gauge(name: str, about: str, read: Callable[[LoopFigures], float]) -> Metric:
        return _gauge(name, about, *_by_loop(figures, (), lambda loop: {(): read(loop)}))

    if figures.is_fleet:
        yield gauge("oarlock_shard_workflows", "Unfinished workflows that a shard has", lambda of: of.stats.workflows)
    yield gauge("oarlock_passes_in_flight", "Passes under way", lambda of: of.stats.in_flight)
    yield gauge("oarlock_pass_longest_seconds", "Age of the oldest pass under way", lambda of: of.longest_pass)
    yield gauge(
        "oarlock_loop_turn_longest_seconds",
        "The longest turn of the event loop in which passes had a part",
        lambda of: of.longest_turn,
    )
    yield gauge("oarlock_queue_workflows", "Workflows that want a pass now", lambda of: of.stats.queued)
    yield gauge("oarlock_queue_oldest_seconds", "For how long the first of them has", lambda of: of.oldest_queued)


def _lanes(figures: Figures) -> Iterator[Metric]:
    """How plugins are called at this moment, likewise."""

    def gauge(name: str, about: str, read: Callable[[Calling], float]) -> Metric:
        return _gauge(name, about, *_by_loop(figures, ("plugin",), lambda loop: _of_plugins(loop, read)))

    yield gauge("oarlock_plugin_requests_in_flight", "Requests under way", lambda of: of.in_flight)
    yield gauge("oarlock_plugin_requests_waiting", "Requests without a permit", lambda of: of.waiting)
    yield gauge("oarlock_plugin_requests_limit", "How many may be under way", lambda of: of.limit)

    def states(loop: LoopFigures) -> Values:
        return {
            (_printable(plugin), state): float(of.breaker == state)
            for plugin, of in loop.plugins.items()
            for state in get_args(BreakerState)
        }

    yield _gauge(
        "oarlock_plugin_breaker_state",
        "1 for the state of the breaker",
        *_by_loop(figures, ("plugin", "state"), states),
    )


def _of_plugins(loop: LoopFigures, read: Callable[[Calling], float]) -> Values:
    return {(_printable(plugin),): read(of) for plugin, of in loop.plugins.items()}


def _by_loop(figures: Figures, labels: Labels, read: Callable[[LoopFigures], Values]) -> tuple[Labels, Values]:
    """The labels and values of a gauge that every loop has: of shards with one label more."""
    if not figures.is_fleet:
        return labels, read(figures.loops[""])
    values = {(*key, shard): value for shard, loop in figures.loops.items() for key, value in read(loop).items()}
    return (*labels, "shard"), values


def _registry(registry: RegistryFigures) -> Iterator[Metric]:
    stats = registry.stats
    yield _value("oarlock_plugins", "Plugins that are called", stats.plugins)
    reloads: Values = {("accepted",): float(stats.reloads), ("rejected",): float(stats.rejected)}
    yield _counts("oarlock_config_reloads", "Times that the configuration was found changed", ("result",), reloads)
    retries: Values = {("granted",): float(registry.spent), ("refused",): float(registry.refused)}
    yield _counts(
        "oarlock_retry_budget_requests", "Retries that the budget of all plugins was asked for", ("result",), retries
    )


def _plugins(plugins: Iterable[PluginFigures]) -> Iterator[Metric]:
    seen = [(_printable(plugin.name), plugin.stats, plugin.tallies) for plugin in plugins]
    calls = {labels: count for name, _, tallies in seen for labels, count in _calls(name, tallies)}
    yield _counts("oarlock_plugin_calls", "Calls of plugins, retries included", ("plugin", "method", "outcome"), calls)
    by_route = ("plugin", "method")
    waited = HistogramMetricFamily(
        "oarlock_plugin_request_waited_seconds", "How long requests waited for a permit", labels=by_route
    )
    travelled = HistogramMetricFamily(
        "oarlock_plugin_request_travelled_seconds",
        "How long requests took, from the first byte sent to the last byte read",
        labels=by_route,
    )
    batches = HistogramMetricFamily("oarlock_plugin_batch_calls", "Calls of answered batches", labels=by_route)
    for name, _, tallies in seen:
        for route, tally in tallies.items():
            if tally.is_used:  # what a plugin does not have need not be told of with forty samples
                _add(waited, (name, route), tally.waited)
                _add(travelled, (name, route), tally.travelled)
        for method, batch in BATCHES.items():
            _add_sizes(batches, (name, method), tallies[batch].sizes)
    yield from (waited, travelled, batches)
    one = ("plugin",)
    each = {(name,): stats for name, stats, _ in seen}
    yield _counts(
        "oarlock_plugin_breaker_opened",
        "Times the breaker opened",
        one,
        {key: of.breaker_opened for key, of in each.items()},
    )
    yield _counts("oarlock_plugin_retries", "Calls made again", one, {key: of.retries for key, of in each.items()})
    yield _counts(
        "oarlock_plugin_unknown_fields",
        "Fields of replies nobody knows",
        one,
        {key: of.unknown_fields for key, of in each.items()},
    )


def _calls(plugin: str, tallies: Mapping[Route, Tally]) -> Iterator[tuple[Labels, float]]:
    """By method and outcome, in batches or not."""
    for method in Method:
        for outcome, count in calls_of(tallies, method).items():
            yield (plugin, method, outcome), count


def _printable(name: str) -> str:
    """A name as a label: there is no UTF-8 for a lone surrogate."""
    return name.encode(errors="backslashreplace").decode()


def _by(counts: Mapping[str, int]) -> Values:
    return {(label,): float(count) for label, count in counts.items()}


def _value(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(name, about, value=value)


def _count(name: str, about: str, value: float) -> Metric:
    return CounterMetricFamily(name, about, value=value)


def _gauge(name: str, about: str, labels: Labels, values: Values) -> Metric:
    family = GaugeMetricFamily(name, about, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def _counts(name: str, about: str, labels: Labels, values: Values) -> Metric:
    family = CounterMetricFamily(name, about, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def _add(family: HistogramMetricFamily, labels: Labels, histogram: Histogram) -> None:
    buckets = [(f"{edge:g}", float(count)) for edge, count in histogram.up_to(OCTAVES)]
    family.add_metric(labels, [*buckets, ("+Inf", float(sum(histogram.buckets)))], histogram.total)


def _add_sizes(family: HistogramMetricFamily, labels: Labels, sizes: Mapping[int, int]) -> None:
    known = list(sizes.items())
    buckets = [(str(edge), float(sum(count for size, count in known if size <= edge))) for edge in _SIZES]
    every = ("+Inf", float(sum(count for _, count in known)))
    family.add_metric(labels, [*buckets, every], float(sum(size * count for size, count in known)))


_BUILD: Final = version("oarlock"), platform.python_version()
