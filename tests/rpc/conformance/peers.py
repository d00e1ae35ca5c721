"""Scripted peers: raw sockets that say exactly what a test tells them to, and what must come of it."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast

from rpc.address import Address
from rpc.lanes import Lane, LaneError, Response

GOOD = b'HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{"good":true}'
GOOD_REPLY = Response(200, b'{"good":true}')
PATIENCE = 60.0
"""Seconds after which something that must happen is taken never to happen. No test that passes waits for it."""


class Line:
    """The peer's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.head = b""
        self.closed = asyncio.Event()
        self.reached = asyncio.Event()
        self.unhang = asyncio.Event()
        self._transport = cast(asyncio.Transport, writer.transport)

    async def request(self) -> bytes:
        """Read one whole request and return its body; the head is kept."""
        self.head = await self.reader.readuntil(b"\r\n\r\n")
        lines = self.head.lower().split(b"\r\n")
        size = next(int(line.partition(b":")[2]) for line in lines if line.startswith(b"content-length:"))
        return await self.reader.readexactly(size)

    async def send(self, *pieces: bytes) -> None:
        """Send each piece so that it arrives by itself: the other end of the loopback reads in the next turn."""
        for piece in pieces:
            if self.writer.is_closing():
                raise ConnectionResetError
            self.writer.write(piece)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        await self.writer.drain()

    def fin(self) -> None:
        """Close in good order."""
        self.writer.close()

    def reset(self) -> None:
        """Close with a RST."""
        sock = self.writer.get_extra_info("socket")
        if sock is None:
            return  # the other end was quicker
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def pause_reading(self) -> None:
        """Leave what comes where it is."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    async def gone(self) -> None:
        """Wait until the lane has closed the connection, whatever it still sends."""
        try:
            while await self.reader.read(65536):
                pass
        except ConnectionError:
            pass
        self.closed.set()


Script = Callable[[Line], Awaitable[None]]


async def serve_well(line: Line) -> None:
    """Answer every request with the good reply."""
    while True:
        await line.request()
        await line.send(GOOD)


class Peer:
    """A server that follows one script for each connection, in the order in which they come, and the last for ever."""

    def __init__(self, *scripts: Script) -> None:
        self.scripts = list(scripts)
        self.lines: list[Line] = []
        self.address = Address("http")
        self.failures: list[BaseException] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._arrived = asyncio.Event()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = Line(reader, writer)
        self.lines.append(line)
        self._arrived.set()
        script = self.scripts[min(len(self.lines), len(self.scripts)) - 1]
        task = asyncio.get_running_loop().create_task(self._follow(script, line))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def at(self, name: str) -> Address:
        """Its address by another name."""
        return replace(self.address, host=name)

    async def connected(self, count: int) -> None:
        """Wait until there have been `count` connections."""
        async with asyncio.timeout(PATIENCE):
            while len(self.lines) < count:
                self._arrived.clear()
                await self._arrived.wait()

    async def _follow(self, script: Script, line: Line) -> None:
        try:
            await script(line)
        except (asyncio.IncompleteReadError, ConnectionError):
            line.closed.set()
        except Exception as error:
            if getattr(error, "reason", "") == "APPLICATION_DATA_AFTER_CLOSE_NOTIFY":
                line.closed.set()  # to OpenSSL it is an error that another request was on its way to who closes
            else:
                self.failures.append(error)
        finally:
            line.writer.close()

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for line in self.lines:
            line.writer.transport.abort()


class MakePeer(Protocol):
    """Starts a peer on TCP, `plain` or as the lane under test has it, or on the unix socket at `path`."""

    async def __call__(self, *scripts: Script, path: str = "", plain: bool = False) -> Peer: ...


class MakeLane(Protocol):
    """Makes the lane under test; `options` are those of a lane."""

    def __call__(self, address: Address, **options: Any) -> Lane: ...


async def outcome(call: Awaitable[Response]) -> Response | type[LaneError]:
    """What became of a call; an error as its type."""
    try:
        async with asyncio.timeout(PATIENCE):
            return await call
    except LaneError as error:
        return type(error)


@dataclass(frozen=True)
class Case:
    """A reply, how the connection ends after it, and what must come of both.

    ``ending`` is stay, fin or reset. ``kept``: the connection then carries the next call.
    """

    raw: bytes
    expected: Response | type[LaneError]
    ending: str = "stay"
    kept: bool = False


def cuts(raw: bytes) -> list[tuple[str, list[bytes]]]:
    """The ways to feed `raw`; byte by byte only where that does not take long."""
    yielded = [("whole", [raw])]
    step = 1 if len(raw) < 600 else len(raw) // 100
    yielded.append((f"{step} at a time", [raw[at : at + step] for at in range(0, len(raw), step)]))
    dice = random.Random(raw)
    marks = sorted(dice.sample(range(1, len(raw)), min(len(raw) - 1, dice.randint(1, 6)))) if len(raw) > 1 else []
    pieces = [raw[a:b] for a, b in zip([0, *marks], [*marks, len(raw)], strict=True)]
    return [*yielded, (f"cut at {marks}", pieces)]
