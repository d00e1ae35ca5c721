"""A plugin whose answers go wrong, on raw sockets: ``python -m tests.soak.peers.faulty KIND SEED METHODS ADDRESS``.

KIND is what goes wrong with a share of the answers:

- ``flaky``: what may pass; every fault is one after which the same request may be sent again;
- ``hostile``: anything that can come out of a socket, but for a reply that would be right to apply;
- ``liar``: right in form and ruinous in content, to see that a plugin which may only observe changes nothing;
- ``calm``: nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import socket
import struct
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from tests.soak.peers import replies
from tests.soak.peers.parent import exit_with_parent


class Line:
    """One request's way back: what a fault may do to it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, dice: random.Random) -> None:
        self.reader = reader
        self.writer = writer
        self.dice = dice

    async def send(self, *pieces: bytes, pause: float = 0.0) -> None:
        """Write the pieces, `pause` seconds apart."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            if pause:
                await asyncio.sleep(pause)

    def close(self) -> None:
        """End the connection in good order."""
        self.writer.close()

    def reset(self) -> None:
        """End it with a RST."""
        sock = self.writer.get_extra_info("socket")
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Fault = Callable[[Line], Awaitable[None]]


def reply(*raw: bytes, then: str = "stay") -> Fault:
    """Send one of `raw`, then stay, close or reset."""

    async def answer(line: Line) -> None:
        await line.send(line.dice.choice(raw))
        if then == "close":
            line.close()
        elif then == "reset":
            line.reset()

    return answer


async def slow(line: Line) -> None:
    await asyncio.sleep(line.dice.uniform(0.02, 0.2))
    await line.send(replies.NOTHING)


async def never(line: Line) -> None:
    await line.reader.read(1)  # until the other side has had enough


async def drop(line: Line) -> None:
    line.close()


async def reset(line: Line) -> None:
    line.reset()


async def stall(line: Line) -> None:
    await line.send(replies.HALF)
    await never(line)


async def drip(line: Line) -> None:
    await line.send(*(replies.NOTHING[at : at + 1] for at in range(len(replies.NOTHING))), pause=0.1)


async def flood(line: Line) -> None:
    """More than anybody may take: an endless head, an endless body, endless interim replies."""
    start, more = line.dice.choice(replies.FLOODS)
    await line.send(start)
    while not line.writer.is_closing():
        await line.send(more)


FLAKY: tuple[Fault, ...] = (
    reply(*replies.BUSY),
    reply(*replies.BUSY_FOR_LONG),
    reply(replies.NOTHING, then="close"),
    reply(replies.LAST, then="close"),
    reply(replies.UNTIL_CLOSE, then="close"),
    reply(replies.HALF, replies.UNFINISHED_CHUNKS, then="close"),
    reply(replies.HALF, replies.UNFINISHED_CHUNKS, then="reset"),
    reply(*replies.UNUSUAL),
    slow,
    never,
    drop,
    reset,
    stall,
)
HOSTILE: tuple[Fault, ...] = (
    reply(*replies.NO_HTTP),
    reply(*replies.NO_HTTP, then="close"),
    reply(*replies.BAD_HEADS),
    reply(*replies.BAD_STATUSES),
    *(reply(*replies.BAD_BODIES) for _ in range(4)),
    reply(*replies.TOO_BIG),
    reply(*replies.WITH_MORE_THAN_ASKED),
    drip,
    flood,
    *FLAKY,
)
LIAR: tuple[Fault, ...] = (reply(*replies.LIES),)
KINDS: dict[str, tuple[tuple[Fault, ...], float]] = {
    "flaky": (FLAKY, 0.04),
    "hostile": (HOSTILE, 0.2),
    "liar": (LIAR, 1.0),
    "calm": ((), 0.0),
}
"""By kind: the faults, and the share of the answers that have one."""


async def main(kind: str, seed: int, methods: bytes, address: str) -> None:
    faults, share = KINDS[kind]
    dice = random.Random(seed)
    paths = {b"/" + method for method in methods.split(b",")}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = Line(reader, writer, dice)
        with contextlib.suppress(asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split()[0]))
                if head.split(b" ", 2)[1] not in paths:
                    await line.send(replies.UNSUPPORTED)
                elif faults and dice.random() < share:
                    await dice.choice(faults)(line)
                else:
                    await line.send(replies.NOTHING)
        writer.close()

    parts = urlsplit(address)
    if parts.scheme == "unix":
        server = await asyncio.start_unix_server(serve, parts.path)
    else:
        server = await asyncio.start_server(serve, parts.hostname, parts.port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("seed", type=int)
    parser.add_argument("methods", type=os.fsencode, help="the only ones it has, separated by commas")
    parser.add_argument("address")
    exit_with_parent()
    arguments = parser.parse_args()
    asyncio.run(main(arguments.kind, arguments.seed, arguments.methods, arguments.address))
