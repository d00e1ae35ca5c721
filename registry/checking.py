"""Finding out what a plugin answers to, without making it do anything.

The protocol has no request that only asks. Each method is called with ``{}`` for arguments: that names no workflow and
no node, so there is nothing for a plugin to act on. 404 means it does not have the method; whatever else it makes of
the empty arguments, a 500 too, means that it does.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from registry.config import PluginConfig
from registry.registry import connect
from rpc import Client, FatalError, Method, PluginError, TransientError


@dataclass(frozen=True, slots=True)
class Answered:
    """A method that the plugin has; ``status`` is that of its answer where it was no reply."""

    method: Method
    spelling: str | None
    status: int | None = None


@dataclass(frozen=True, slots=True)
class Checkup:
    """What a plugin answered. ``problem`` says why it cannot be called at all, None where it can.

    ``latency`` is that of one call in seconds, None where the plugin has no method.
    """

    plugin: PluginConfig
    answered: tuple[Answered, ...] = ()
    latency: float | None = None
    problem: str | None = None


async def check_plugin(plugin: PluginConfig, clock: Callable[[], float] = time.perf_counter) -> Checkup:
    """Call every method of one plugin with empty arguments, one after the other. Raises nothing for its failures."""
    answered: list[Answered] = []
    async with connect(plugin) as client:
        for method in Method:
            try:
                found = await _ask(client, method)
            except PluginError as error:
                return Checkup(plugin, tuple(answered), problem=error.reason)
            if found is not None:
                answered.append(found)
        if not answered:
            return Checkup(plugin)
        # Once more: the first call also had to connect, and to find the spelling.
        start = clock()
        try:
            await _ask(client, answered[0].method)
        except PluginError as error:
            return Checkup(plugin, tuple(answered), problem=error.reason)
        return Checkup(plugin, tuple(answered), clock() - start)


async def _ask(client: Client, method: Method) -> Answered | None:
    """Whether the plugin has `method`. Raises where its answer is not one to a call: it is down, or refuses us."""
    status = None
    try:
        if await client.call(method, {}) is None:
            return None
    except TransientError:
        raise
    except FatalError as error:
        if error.status in (None, 401, 403):
            raise
        status = error.status
    return Answered(method, client.spelling(method), status)
