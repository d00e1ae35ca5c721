"""Observation: it sees every call, and leaves each the way it would take unseen."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

import pytest

from bench.observation import Observation, WatchedRegistry
from registry.config import Config, EngineSettings, PluginConfig
from rpc import EMPTY, FatalError, Line, Method, PluginError, Reply
from rpc.plugin import Plugin

PRE = Method.NODE_PRE_EXECUTE


class Caller:
    """A receiver that notes what it is told."""

    def __init__(self) -> None:
        self.told: asyncio.Queue[Reply | PluginError | None] = asyncio.Queue()

    def replied(self, reply: Reply | None, now: float) -> None:
        self.told.put_nowait(reply)

    def failed(self, error: PluginError) -> None:
        self.told.put_nowait(error)


@contextmanager
def observed(registry: WatchedRegistry) -> Iterator[tuple[Any, Observation]]:
    observation = registry.observation = Observation()
    with registry.lease() as (plugin,):
        yield plugin.client, observation


def calls(observation: Observation) -> int:
    return sum(each.calls for each in observation.latencies.values())


@pytest.mark.parametrize("reply", [{}, {"node": {"phase": "Wrong"}}], ids=["reply", "failure"])
async def test_a_line_is_observed_from_its_call_to_the_reply_or_failure(reply: dict[str, Any]) -> None:
    plugin = Plugin("peer")
    plugin.on("node.preExecute")(lambda args: reply if "node" in args else {})
    async with plugin.serve() as address:
        config = Config(engine=EngineSettings(enabled=True), plugins=(PluginConfig(name="peer", address=address),))
        async with WatchedRegistry(config, watch=False) as registry:
            with observed(registry) as (client, observation):
                await client.exchange(PRE, b"{}")  # finds the spelling
                assert client.direct
                caller = Caller()
                line = client.line(caller)
                for sent in (2, 3):
                    line.send(PRE, b'{"node":{}}', monotonic())
                    assert calls(observation) == sent - 1
                    told = await caller.told.get()
                    assert told is EMPTY if not reply else isinstance(told, FatalError)
                    assert calls(observation) == sent


async def test_a_call_that_is_cancelled_on_a_line_is_over() -> None:
    stuck = asyncio.Event()

    async def answer(args: dict[str, Any]) -> dict[str, Any]:
        if "node" in args:
            await stuck.wait()
        return {}

    plugin = Plugin("peer")
    plugin.on("node.preExecute")(answer)
    async with plugin.serve() as address:
        config = Config(engine=EngineSettings(enabled=True), plugins=(PluginConfig(name="peer", address=address),))
        async with WatchedRegistry(config, watch=False) as registry:
            with observed(registry) as (client, observation):
                await client.exchange(PRE, b"{}")
                line: Line = client.line(Caller())
                line.send(PRE, b'{"node":{}}', monotonic())
                line.cancel()
                line.cancel()
                assert calls(observation) == 2
        stuck.set()
