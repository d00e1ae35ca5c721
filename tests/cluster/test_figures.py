"""What shards tell of their figures adds up, also when one dies, or a plugin is configured anew."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack

import msgspec
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from engine import Engine, EngineHealth, EngineStats, Workflow
from engine.cluster.figures import EVERY, Gathered, Teller
from engine.cluster.mail import News
from engine.metrics import EngineCollector
from engine.model.figures import Figures
from engine.serving.figures import Plugins
from registry import Registry
from registry.config import BreakerSettings, Config, EngineSettings, PluginConfig, RetrySettings, Seconds
from tests.acceptance.manifests import container, workflow
from tests.acceptance.peer import Peer

_mailed = msgspec.json.Decoder(News).decode


class _Fleet:
    """Engines whose figures are seen by mail alone."""

    def __init__(self, *engines: Engine) -> None:
        self.engines = dict(enumerate(engines))
        self.gathered = Gathered()
        self.tellers = {shard: Teller(engine) for shard, engine in self.engines.items()}

    def mail(self) -> None:
        for shard, teller in self.tellers.items():
            self.gathered.take(shard, _mailed(msgspec.json.encode(teller.take())))

    def dies(self, shard: int) -> None:
        self.gathered.gone(shard)
        del self.tellers[shard]

    @property
    def figures(self) -> Figures:
        return self.gathered.figures()

    @property
    def stats(self) -> EngineStats:
        return self.gathered.stats

    @property
    def health(self) -> EngineHealth:
        return self.engines[0].health

    @property
    def workflows(self) -> list[Workflow]:
        return [workflow for engine in self.engines.values() for workflow in engine.workflows]

    def nodes_by_phase(self) -> Mapping[str, int]:
        return sum((engine.nodes_by_phase() for engine in self.engines.values()), Counter())

    async def look(self) -> None:
        self.mail()

    def metrics(self) -> dict[str, float]:
        """Samples by their name and labels, as they are written."""
        registry = CollectorRegistry()
        registry.register(EngineCollector(self))
        families = text_string_to_metric_families(generate_latest(registry).decode())
        return {
            " ".join([each.name, *(f"{label}={value}" for label, value in sorted(each.labels.items()))]): each.value
            for family in families
            for each in family.samples
        }


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    peer = Peer({"node.preExecute": {}}, None, None)
    await peer.start()
    yield peer
    await peer.stop()


@pytest.fixture
async def fleet(peer: Peer) -> AsyncIterator[_Fleet]:
    async with AsyncExitStack() as stack:
        engines = [await stack.enter_async_context(Engine(Registry(_config(peer)))) for _ in range(2)]
        yield _Fleet(*engines)


def _config(peer: Peer, concurrency: int = 4) -> Config:
    plugin = PluginConfig(
        name="a",
        address=peer.address,
        timeout=Seconds(60),
        concurrency=concurrency,
        failure_policy="ignore",
        retry=RetrySettings(attempts=1),
        breaker=BreakerSettings(failure_ratio=0.01, min_calls=1),
    )
    return Config(engine=EngineSettings(enabled=True), plugins=(plugin,))


async def _run(engine: Engine, *names: str) -> None:
    await engine.run([workflow(container("leaf"), name=name) for name in names])


async def test_what_is_counted_is_the_sum_of_what_each_shard_has_counted(fleet: _Fleet) -> None:
    await _run(fleet.engines[0], "one", "two")
    fleet.mail()
    await _run(fleet.engines[1], "three")
    fleet.mail()
    fleet.mail()
    parts = [engine.figures for engine in fleet.engines.values()]
    figures = fleet.figures
    for field in ("passes", "nodes_visited", "workflows_finished", "leaves_started"):
        assert getattr(figures.stats, field) == sum(getattr(part.stats, field) for part in parts)
    assert [figures.loops[shard].stats.workflows_finished for shard in ("0", "1")] == [2, 1]
    committed = [part.timings.passes["committed"] for part in (figures, *parts)]
    assert sum(committed[0].buckets) == sum(sum(each.buckets) for each in committed[1:])
    assert figures.registry is not None
    (plugin,) = figures.registry.plugins
    seen = [part.registry.plugins[0].stats for part in parts if part.registry is not None]
    assert plugin.stats.outcomes == {key: sum(each.outcomes[key] for each in seen) for key in plugin.stats.outcomes}
    assert plugin.stats.latency.samples == sum(each.latency.samples for each in seen)
    assert plugin.stats.limit == 8


async def test_counts_go_on_when_a_shard_dies_and_what_it_did_is_done_no_more(fleet: _Fleet) -> None:
    await _run(fleet.engines[0], "one", "two")
    fleet.engines[0].submit(workflow(container("leaf"), name="left"))
    fleet.mail()
    before = fleet.metrics()
    assert before["oarlock_shard_workflows shard=0"] == 1
    fleet.dies(0)
    fleet.mail()
    after = fleet.metrics()
    shrunk = [
        name
        for name, value in before.items()
        if name.split()[0].endswith(("_total", "_bucket")) and after[name] < value
    ]
    assert not shrunk
    assert "oarlock_shard_workflows shard=0" not in after
    assert fleet.stats.workflows == 0
    assert fleet.gathered.shards[0].workflows_finished == 2


async def test_what_means_nothing_as_a_sum_has_a_label_for_the_shard(fleet: _Fleet, peer: Peer) -> None:
    peer.answers["node.preExecute"] = 503
    await _run(fleet.engines[1], "one")
    fleet.mail()
    metrics = fleet.metrics()
    assert metrics["oarlock_plugin_requests_limit plugin=a shard=0"] == 4
    assert metrics["oarlock_plugin_breaker_state plugin=a shard=0 state=closed"] == 1
    assert metrics["oarlock_plugin_breaker_state plugin=a shard=1 state=open"] == 1
    assert "oarlock_passes_in_flight shard=1" in metrics
    assert "oarlock_passes_in_flight" not in metrics
    plugins = Plugins(fleet)
    plugins.sample()
    assert plugins.told[0]["breaker"] == "open"
    assert [each["breaker"] for each in plugins.told[0]["shards"]] == ["closed", "open"]


async def test_the_counts_of_a_plugin_go_on_when_it_is_configured_anew(fleet: _Fleet, peer: Peer) -> None:
    async def calls() -> float:
        fleet.mail()
        return sum(value for name, value in fleet.metrics().items() if name.startswith("oarlock_plugin_calls_total"))

    await _run(fleet.engines[0], "one")
    before = await calls()
    registry = fleet.engines[0].registry
    assert registry is not None
    await registry.replace(_config(peer, concurrency=2))
    assert await calls() == before
    await _run(fleet.engines[0], "two")
    assert await calls() == 2 * before
    await registry.replace(Config(engine=EngineSettings(enabled=True)))
    assert await calls() == 2 * before  # the other shard has it yet
    other = fleet.engines[1].registry
    assert other is not None
    await other.replace(Config(engine=EngineSettings(enabled=True)))
    assert await calls() == 0


async def test_a_shard_that_does_nothing_has_nothing_to_tell(fleet: _Fleet) -> None:
    now = 0.0
    teller = Teller(fleet.engines[0], lambda: now)
    assert teller.due() is not None
    assert teller.due() is None
    now += EVERY
    assert teller.due() is None
    await _run(fleet.engines[0], "one")
    assert teller.due() is None, "that was said a moment ago"
    now += EVERY
    assert teller.due() is not None
