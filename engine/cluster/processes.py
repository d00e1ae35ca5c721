"""Shards as child processes of this one: mail goes over a pair of sockets, and their end is that of the process."""

from __future__ import annotations

import asyncio
from typing import Final, Self

from engine.cluster.frames import framed
from engine.cluster.sockets import SocketLink, completed, end, kill, spawn
from engine.cluster.transport import SHARD, Link

START: Final = 60.0
"""Seconds that a shard has until it can take mail: a cold Python on a crowded machine takes ten."""


class Processes:
    """A `Transport` over child processes. They die with this process, however that ends, and with the thread whose
    event loop started them. They are in sessions of their own, so that Ctrl-C in a terminal is not for them. What they
    write to stderr, logs that is, goes to ours.

    ``factory`` makes what is served, see `engine.cluster.transport`; modules are found as they are here.
    """

    def __init__(self, factory: str = SHARD) -> None:
        self._factory = factory
        self._links = set[SocketLink]()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(link.kill() for link in self._links))

    async def start(self, number: int, settings: bytes) -> Link:
        """Start a shard. Raises `TransportError`."""
        link = await completed(self._open(f"shard {number}"), SocketLink.kill)
        self._links.add(link)
        link.listening.add_done_callback(lambda _: self._links.discard(link))
        link.name += f" ({await link.begin(settings, START)})"
        return link

    async def _open(self, name: str) -> SocketLink:
        process, ours = await spawn("engine.cluster.serving:serve_alone", self._factory)
        return SocketLink(name, await framed(ours), lambda: end(process), lambda: kill(process))
