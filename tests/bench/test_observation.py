"""Observation: how long requests travelled, and for how much of the time none was under way."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

import bench.observation
from bench.observation import Observation, observed
from registry import Registry
from registry.config import Config, EngineSettings, PluginConfig, Seconds
from rpc import Method, Outcome, Request
from rpc.plugin import Plugin

PRE = Method.NODE_PRE_EXECUTE


def request(began: float, ended: float, *, waited: float = 0.0, plugin: str = "p") -> Request:
    """A request that was wanted at `began`."""
    return Request(plugin, PRE, 1, b"{}", b"{}", waited, ended - began - waited, Outcome.ANSWERED, ended)


def idle(monkeypatch: pytest.MonkeyPatch, began: float, ended: float, requests: Iterable[Request]) -> float:
    now = began
    monkeypatch.setattr(bench.observation, "monotonic", lambda: now)
    observation = Observation()
    for each in requests:
        observation.requested(each)
    now = ended
    return observation.idle()


def test_what_a_request_waited_for_its_permit_is_not_the_plugins() -> None:
    observation = Observation()
    observation.requested(request(1.0, 5.0, waited=3.0))
    assert observation.latencies["p"].slowest == pytest.approx(1.0)
    assert observation.body == b"{}"


def test_idle_is_what_no_request_covers(monkeypatch: pytest.MonkeyPatch) -> None:
    requests = [request(1, 2), request(4, 5), request(3.5, 6), request(1.5, 7), request(8, 9)]
    assert idle(monkeypatch, 0, 10, requests) == pytest.approx(1 + 1 + 1)


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(1, 20)), max_size=30))
def test_idle_is_right_whatever_overlaps_what(spans: list[tuple[int, int]]) -> None:
    ordered = sorted((began + length, began) for began, length in spans)
    covered = {tick for ended, began in ordered for tick in range(began, ended)}
    with pytest.MonkeyPatch.context() as monkeypatch:
        found = idle(monkeypatch, 0, 100, [request(began, ended) for ended, began in ordered])
    assert found == pytest.approx(100 - len(covered))


async def test_the_requests_of_all_plugins_are_observed_for_as_long_as_it_lasts() -> None:
    plugin = Plugin("peer")
    plugin.on("node.preExecute")(lambda args: {})
    async with plugin.serve() as address:
        peers = tuple(PluginConfig(name=name, address=address, timeout=Seconds(60)) for name in ("a", "b"))
        async with Registry(Config(engine=EngineSettings(enabled=True), plugins=peers), watch=False) as registry:
            first, second = registry.snapshot()
            with observed(registry.snapshot()) as observation:
                await first.client.call(PRE, {"node": {}})
                await first.client.call(PRE, {"node": {}})
                await second.client.call(PRE, {"node": {}})
            await second.client.call(PRE, {"node": {}})
    assert {name: sum(seen.buckets) for name, seen in observation.latencies.items()} == {"a": 2, "b": 1}
    assert observation.body == b'{"node":{}}'
