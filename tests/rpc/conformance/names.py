"""A name with several addresses, and what its peers do."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Any

import pytest

from rpc.address import Address
from tests.rpc.conformance.peers import GOOD, PATIENCE, Line, Peer, Script, serve_well

NAME = "plugin.test"
SHORT = 0.5


class Name:
    """What ``plugin.test`` stands for: some of three peers, at one port. Hosts are 1, 2 and 3."""

    def __init__(self, secure: ssl.SSLContext | None) -> None:
        self._secure = secure
        self.peers: dict[int, Peer] = {}
        self.record: list[int] | OSError = []
        self.looked_up = 0
        self.answered: asyncio.Event | None = None
        """What whoever looks it up waits for."""
        self.port = 0
        self._servers: list[asyncio.Server] = []
        self._asked = asyncio.Event()

    @property
    def address(self) -> Address:
        return Address("http" if self._secure is None else "https", NAME, self.port)

    async def serve(self, host: int, *scripts: Script) -> Peer:
        self.peers[host] = it = Peer(*(scripts or (serve_well,)))
        await self.listen(it.accept, host, ssl=self._secure)
        return it

    async def hang_up(self, host: int) -> None:
        """Have this one close each connection as soon as it is there."""
        await self.listen(lambda _, writer: writer.close(), host)

    async def listen(self, accept: Any, host: int, **options: Any) -> None:
        server = await asyncio.start_server(accept, f"127.0.0.{host}", self.port, **options)
        self.port = server.sockets[0].getsockname()[1]
        self._servers.append(server)

    async def serve_all(self, *scripts: Script) -> None:
        for host in (1, 2, 3):
            await self.serve(host, *scripts)
        self.record = [1, 2, 3]

    async def look_up(self) -> Any:
        self.looked_up += 1
        self._asked.set()
        if self.answered is not None:
            await self.answered.wait()
        if isinstance(self.record, OSError):
            raise self.record
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"127.0.0.{host}", self.port)) for host in self.record]

    async def is_looked_up(self, times: int) -> None:
        """Wait until it was, so many times in all."""
        async with asyncio.timeout(PATIENCE):
            while self.looked_up < times:
                self._asked.clear()
                await self._asked.wait()

    def connections(self) -> list[int]:
        """How many there have been to each."""
        return [len(it.lines) for it in self.peers.values()]

    async def anew(self) -> None:
        """As if nobody had ever served."""
        await self.stop()
        self.peers, self._servers, self.record, self.looked_up, self.port = {}, [], [], 0, 0

    async def stop(self) -> None:
        for server in self._servers:
            server.close()
        for it in self.peers.values():
            await it.stop()
        assert not [failure for it in self.peers.values() for failure in it.failures]


SECURE = pytest.mark.parametrize("name", [False, True], indirect=True, ids=["plain", "secure"])


def together(calls: int) -> Script:
    """Answers the first request on a connection once so many are there, whoever they are sent to."""
    barrier = asyncio.Barrier(calls)

    async def script(line: Line) -> None:
        await line.request()
        await barrier.wait()
        await line.send(GOOD)
        await serve_well(line)

    return script


async def closed(line: Line) -> None:
    async with asyncio.timeout(PATIENCE):
        await line.closed.wait()
