"""Shards in this process: quick to start, and killed between any two steps. One may be cut off, or be made to wait."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Self

from engine.cluster.shard import Shard
from engine.cluster.transport import Gone, TransportError
from registry import Plugin
from tests.cluster.doubles import until


class Inside:
    """A `Transport`."""

    def __init__(self) -> None:
        self.links: list[InsideLink] = []
        """All that were ever started."""
        self.refuses = False
        """Whether no more can be started."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for each in self.links:
            await each.kill()

    async def start(self, number: int, settings: bytes) -> InsideLink:
        if self.refuses:
            raise TransportError(f"shard {number}: there is no room")
        link = InsideLink(f"shard {number} ({len(self.links)})", Shard(settings))
        await link.entered()
        self.links.append(link)
        return link

    def alive(self) -> list[InsideLink]:
        """Those that were not ended."""
        return [each for each in self.links if not each.why]


class InsideLink:
    """A `Link`."""

    def __init__(self, name: str, shard: Shard) -> None:
        self.name = name
        self.shard = shard
        self.why = ""
        self._waiting: set[asyncio.Future[bytes]] = set()

    def snapshot(self) -> Sequence[Plugin]:
        """The plugins that the shard calls."""
        registry = self.shard._registry
        return registry.snapshot() if registry is not None else ()

    @property
    def plugins(self) -> list[str]:
        """Their names."""
        return [plugin.name for plugin in self.snapshot()]

    @property
    def held_up(self) -> bool:
        """Whether the shard waits with its passes."""
        return self.shard._outbox.is_full

    async def entered(self) -> None:
        await self.shard.__aenter__()

    async def exchange(self, mail: bytes) -> bytes:
        if self.why:
            raise Gone(self.why)
        answer = asyncio.ensure_future(self.shard.exchange(mail))
        self._waiting.add(answer)
        answer.add_done_callback(self._waiting.discard)
        try:
            return await answer
        except asyncio.CancelledError:
            if self.why:
                raise Gone(self.why) from None
            raise

    async def kill(self) -> None:
        await self._end("was killed")

    async def close(self) -> None:
        await self._end("was closed")

    async def _end(self, why: str) -> None:
        if self.why:
            return
        self.why = f"{self.name} {why}"
        for each in list(self._waiting):
            each.cancel()
        await self.shard.__aexit__(None, None, None)


class Losing(Inside):
    """All that there is to run on is lost once `it_may_be`."""

    @staticmethod
    def it_may_be() -> bool:
        return True

    async def start(self, number: int, settings: bytes) -> InsideLink:
        link = await super().start(number, settings)
        self.refuses = True
        self._losing = asyncio.create_task(self._lose(link))
        return link

    async def _lose(self, link: InsideLink) -> None:
        await until(self.it_may_be)
        await link.kill()
