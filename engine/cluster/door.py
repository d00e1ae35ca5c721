"""How a driver gets to a shard on another machine: by a port that whoever has the token may come in at, once.

Token and port go the way by which the shard was started, so whoever cannot see what goes there does not come in, and
nobody does any more once the driver has.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import ssl
from typing import Final

import msgspec

from engine.cluster.frames import MAIL, MOST, Frames

TOKEN: Final = 32
"""Bytes."""

PATIENCE: Final = 10.0
"""Seconds that somebody has to come in, and to show the token."""


class Way(msgspec.Struct):
    """How to get there."""

    host: str
    port: int
    token: bytes


class Door:
    """The shard's side."""

    def __init__(self) -> None:
        self.token = secrets.token_bytes(TOKEN)
        self._driver: asyncio.Future[Frames] = asyncio.get_running_loop().create_future()

    async def open(self, host: str) -> Way:
        """Listen at an address of this machine's, at a port that is free. Raises `OSError`."""
        serving = asyncio.get_running_loop().create_server
        self._server = await serving(lambda: _Guest(self), host, 0, ssl=tls(ssl.Purpose.CLIENT_AUTH))
        return Way(host, self._server.sockets[0].getsockname()[1], self.token)

    def close(self) -> None:
        """Let nobody in any more."""
        self._server.close()

    def let_in(self, guest: Frames) -> None:
        """It is the driver."""
        if not self._driver.done():
            self._driver.set_result(guest)

    async def driver(self) -> Frames:
        """Wait until it has come in. Raises `TimeoutError`, and nobody comes in any more."""
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._driver
        finally:
            self.close()


class _Guest(Frames):
    """Somebody who may be the driver."""

    def __init__(self, door: Door) -> None:
        super().__init__(TOKEN)
        self._door = door
        self._is_in = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._waiting = asyncio.get_running_loop().call_later(PATIENCE, self.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._waiting.cancel()

    def take(self, kind: int, body: bytes) -> None:
        if self._is_in:
            super().take(kind, body)
        elif secrets.compare_digest(body, self._door.token):
            self._waiting.cancel()
            self._is_in, self.limit = True, MOST
            self._door.let_in(self)
        else:
            self.abort()


async def enter(way: Way) -> Frames:
    """The driver's side. Raises `OSError`."""
    async with asyncio.timeout(PATIENCE):
        connecting = asyncio.get_running_loop().create_connection
        _, frames = await connecting(Frames, way.host, way.port, ssl=tls(ssl.Purpose.SERVER_AUTH))
    frames.write(MAIL, way.token)
    return frames


def tls(purpose: ssl.Purpose) -> ssl.SSLContext | None:
    """What Ray is told of TLS, by the environment, holds here, too: who is at the other side of that purpose shows a
    certificate of the same authority's. Raises `OSError` for files that cannot be used."""
    if os.environ.get("RAY_USE_TLS", "").lower() not in ("1", "true"):
        return None
    context = ssl.create_default_context(purpose, cafile=os.environ["RAY_TLS_CA_CERT"])
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(os.environ["RAY_TLS_SERVER_CERT"], os.environ["RAY_TLS_SERVER_KEY"])
    return context
