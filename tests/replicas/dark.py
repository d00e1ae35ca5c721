"""One of two replicas goes dark, connections and all: ``python -m tests.replicas.dark``.

Before that there was a burst of calls, so that many connections to it are idle. Calls follow one after the other, with
no retries: how many fail is told, and for how long.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from time import perf_counter
from typing import Any, Final
from unittest.mock import patch

import uvloop

from rpc import Client, PluginError, RetryPolicy
from rpc.client import LaneName

HOSTS: Final = ("127.0.0.1", "127.0.0.2")
BURST: Final = 400
SECONDS: Final = 12.0
_REPLY: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class Replica:
    """Answers ``{}``. Dark, it does not, and takes no connection: its backlog is full, so that each SYN is dropped."""

    def __init__(self, host: str, port: int) -> None:
        self.dark = False
        self._listening = socket.create_server((host, port), backlog=8)
        self._listening.setblocking(False)
        self.port: int = self._listening.getsockname()[1]
        self._accepting = asyncio.create_task(self._accept())
        self._lines: set[asyncio.Task[None]] = set()
        self._opened: list[socket.socket] = [self._listening]

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            accepted, _ = await loop.sock_accept(self._listening)
            accepted.setblocking(False)
            self._opened.append(accepted)
            self._lines.add(asyncio.create_task(self._answer(accepted)))

    async def _answer(self, accepted: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):
            while await loop.sock_recv(accepted, 65536) and not self.dark:
                await asyncio.sleep(0.01)
                await loop.sock_sendall(accepted, _REPLY)
        if not self.dark:
            accepted.close()

    def go_dark(self) -> None:
        self.dark = True
        self._accepting.cancel()
        for _ in range(16):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(self._listening.getsockname())
            self._opened.append(filler)

    def close(self) -> None:
        self._accepting.cancel()
        for line in self._lines:
            line.cancel()
        for opened in self._opened:
            opened.close()


async def measure(lane: LaneName, *, moves: bool) -> str:
    """``moves``: the name stands for the first replica alone, and then for the second."""
    first = Replica(HOSTS[0], 0)
    second = Replica(HOSTS[1], first.port)
    loop = asyncio.get_running_loop()
    record = [HOSTS[0]] if moves else list(HOSTS)

    async def getaddrinfo(host: str, port: int, **_: object) -> Any:
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (each, port)) for each in record]

    failures: list[float] = []
    calls = 0
    with patch.object(loop, "getaddrinfo", getaddrinfo):
        async with Client(f"http://pair.test:{first.port}", lane=lane, retry=RetryPolicy(attempts=1)) as client:
            await asyncio.gather(*(client.call("workflow.preOperate", {}) for _ in range(BURST)))
            first.go_dark()
            if moves:
                record[:] = HOSTS[1:]
            since = perf_counter()
            while perf_counter() - since < SECONDS:
                calls += 1
                try:
                    await client.call("workflow.preOperate", {})
                except PluginError:
                    failures.append(perf_counter() - since)
    first.close()
    second.close()
    last = f", the last after {failures[-1]:.1f} s" if failures else ""
    return f"{len(failures)} of {calls} failed{last}"


if __name__ == "__main__":
    for lane in ("wire", "aiohttp"):
        for moves, what in ((False, "one of two addresses"), (True, "the only address, replaced")):
            print(f"{lane:7} {what}: {uvloop.run(measure(lane, moves=moves))}", flush=True)
