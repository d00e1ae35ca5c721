"""Finding out what a plugin answers to, without making it do anything.

The protocol has no request that only asks. Each method is called with ``{}`` for arguments: that names no workflow and
no node, so there is nothing for a plugin to act on. 404 means it does not have the method; whatever else it makes of
the empty arguments, a 500 too, means that it does.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from registry.config import Config, PluginConfig
from registry.registry import connect, enabled_by
from rpc import Client, FatalError, Method, PluginError
from rpc.address import parse_address
from rpc.reachability import can_connect


@dataclass(frozen=True, slots=True)
class Answered:
    """A method that the plugin has; ``note`` says what is wrong with its answer to no arguments, if anything is."""

    method: Method
    spelling: str | None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Checkup:
    """What a plugin answered. ``problem`` says why it cannot be called at all, None where it can.

    ``latency`` is that of one call in seconds, None where the plugin has no method.
    """

    plugin: PluginConfig
    answered: tuple[Answered, ...] = ()
    latency: float | None = None
    problem: str | None = None


async def find_unreachable(config: Config) -> str | None:
    """The first plugin that cannot be connected to and may not be missing, as ``plugins[0].address: …``; else None."""
    if not enabled_by(config):
        return None
    for index, plugin in enumerate(config.plugins):
        problem = await can_connect(parse_address(plugin.address), plugin.timeout)
        if problem is not None and plugin.failure_policy == "abort" and plugin.mode == "apply":
            return f"plugins[{index}].address: {problem}"
    return None


async def check_plugin(plugin: PluginConfig, clock: Callable[[], float] = time.perf_counter) -> Checkup:
    """Call every method of one plugin with empty arguments, one after the other. Raises nothing for its failures."""
    answered: list[Answered] = []
    async with connect(plugin) as client:
        try:
            for method in Method:
                answered += await _ask(client, method)
            if not answered:
                return Checkup(plugin)
            # Once more: the first call also had to connect, and to find the spelling.
            start = clock()
            await _ask(client, answered[0].method)
            return Checkup(plugin, tuple(answered), clock() - start)
        except PluginError as error:
            return Checkup(plugin, tuple(answered), problem=error.reason)


async def _ask(client: Client, method: Method) -> list[Answered]:
    """What it answered, nothing for 404. Raises where that is no answer to a call: it is down, or refuses us."""
    note = None
    try:
        if await client.call(method, {}) is None:
            return []
    except FatalError as error:
        if error.status in (None, 401, 403):
            raise
        note = "illegal reply" if error.status in (200, 204) else f"status {error.status}"
    return [Answered(method, client.spelling(method), note)]
