"""Finding out what a plugin answers to.

The protocol has no request that only asks. Each method is called with the arguments that docs/protocol.md shows, those
of a workflow that does not exist. 404 means that the plugin does not have the method; whatever else it makes of them,
a 500 too, means that it does.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from registry.config import Config, PluginConfig
from registry.connecting import connect
from registry.registry import enabled_by
from rpc import Client, FatalError, Method, PluginError
from rpc.address import parse_address
from rpc.destinations import ANYWHERE, Destinations
from rpc.examples import example_of
from rpc.reachability import NOBODY, can_connect


@dataclass(frozen=True, slots=True)
class Answered:
    """A method that the plugin has; ``note`` says what is wrong with its answer to the example, if anything is."""

    method: Method
    spelling: str | None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Checkup:
    """What a plugin answered. ``problem`` says why it cannot be called at all, or is not worth it; None where it can.

    ``latency`` is that of one call in seconds, None where the plugin answers no method.
    """

    plugin: PluginConfig
    answered: tuple[Answered, ...] = ()
    latency: float | None = None
    problem: str | None = None


async def find_unreachable(config: Config) -> str | None:
    """The first plugin that cannot be connected to or trusted, and is needed, as ``plugins[0].address: …``; else None.

    One that was discovered is called by its name.
    """
    if not enabled_by(config):
        return None
    for index, plugin in enumerate(config.plugins):
        problem = await can_connect(
            parse_address(plugin.address), plugin.timeout, config.destinations(plugin), plugin.tls
        )
        if problem is not None and plugin.failure_policy == "abort" and plugin.mode == "apply":
            where = f"plugin {plugin.name}" if plugin.name in config.discovered else f"plugins[{index}].address"
            return f"{where}: {problem}"
    return None


async def check_plugin(
    plugin: PluginConfig, clock: Callable[[], float] = time.perf_counter, destinations: Destinations = ANYWHERE
) -> Checkup:
    """Call every method of one plugin with its example, one after the other. Raises nothing for its failures."""
    problem = await can_connect(parse_address(plugin.address), plugin.timeout, destinations, plugin.tls)
    if problem is not None and not problem.startswith(NOBODY):  # a client would log it, too
        return Checkup(plugin, problem=problem)
    answered: list[Answered] = []
    async with connect(plugin, destinations=destinations) as client:
        try:
            for method in Method:
                answered += await _ask(client, method)
            good = next((each.method for each in answered if each.note is None), None)
            if good is None:
                return Checkup(plugin, tuple(answered), problem=_nothing_answered(answered))
            # Once more: the first call also had to connect, and to find the spelling.
            start = clock()
            await _ask(client, good)
            return Checkup(plugin, tuple(answered), clock() - start)
        except PluginError as error:
            return Checkup(plugin, tuple(answered), problem=error.reason)


def _nothing_answered(answered: list[Answered]) -> str:
    """Why a plugin that can be called is no plugin."""
    if not answered:
        return "no method is answered: 404 to everything"
    if len(notes := {each.note for each in answered}) == 1 and len(answered) == len(Method):
        return f"no method is answered: {notes.pop()} to everything"
    return f"no method is answered: {', '.join(f'{each.note} to {each.method}' for each in answered)}"


async def _ask(client: Client, method: Method) -> list[Answered]:
    """What it answered, nothing for 404. Raises where that is no answer to a call: it is down, or refuses us."""
    note = None
    try:
        if await client.call(method, example_of(method).arguments) is None:
            return []
    except FatalError as error:
        if error.status in (None, 401, 403):
            raise
        note = "illegal reply" if error.status in (200, 204) else f"status {error.status}"
    return [Answered(method, client.spelling(method), note)]
