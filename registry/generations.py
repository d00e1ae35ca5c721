"""Which plugins a pass sees, and when the connections of those that were removed may close.

A *generation* is one list of plugins, from one reading of the configuration. A pass leases the current one and keeps it
to its end, whatever is reloaded meanwhile. A client may be in many generations, since an unchanged plugin keeps it; it
is closed once no generation that has it is current or leased. Nothing here awaits: what to close is returned.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from registry.config import PluginConfig
from rpc import Client


@dataclass(frozen=True, slots=True)
class Plugin:
    """One plugin, ready to be called: ``client`` is open. ``config`` also says what to call it for."""

    config: PluginConfig
    client: Client

    @property
    def name(self) -> str:
        """What configuration, errors and statistics call it."""
        return self.config.name


@dataclass(eq=False, slots=True)
class Generation:
    """``number`` counts them, and is 0 for the empty one at the start; ``leases`` is how many passes hold it."""

    number: int
    plugins: tuple[Plugin, ...]
    leases: int = 0


class Generations:
    """The current generation, and older ones for as long as they are leased."""

    def __init__(self) -> None:
        self.current = Generation(0, ())
        self._retired: set[Generation] = set()

    @property
    def draining(self) -> int:
        """How many older generations are still leased."""
        return len(self._retired)

    def lease(self) -> Generation:
        """The current generation, held until it is given to `release`."""
        self.current.leases += 1
        return self.current

    def release(self, generation: Generation) -> tuple[Client, ...]:
        """End one lease; the clients that nobody can reach any more are the caller's to close."""
        generation.leases -= 1
        if generation.leases or generation not in self._retired:
            return ()
        self._retired.remove(generation)
        return self._unreachable(generation)

    def replace(self, plugins: tuple[Plugin, ...]) -> tuple[Client, ...]:
        """Make `plugins` current; the clients that nobody can reach any more are the caller's to close."""
        old = self.current
        self.current = Generation(old.number + 1, plugins)
        if old.leases:
            self._retired.add(old)
            return ()
        return self._unreachable(old)

    def clients(self) -> tuple[Client, ...]:
        """Every client that is in use or may come to be."""
        return tuple(dict.fromkeys(plugin.client for plugin in self._reachable()))

    def _reachable(self) -> Iterator[Plugin]:
        yield from self.current.plugins
        for generation in self._retired:
            yield from generation.plugins

    def _unreachable(self, gone: Generation) -> tuple[Client, ...]:
        reachable = {plugin.client for plugin in self._reachable()}
        return tuple(plugin.client for plugin in gone.plugins if plugin.client not in reachable)
