"""The process of a shard: ``python -m engine.cluster.child MODULE:CALLABLE``, with a socket to its driver as stdin.

The first frame is the settings, and is answered once the shard can take mail. Only the driver ends a shard: Ctrl-C and
SIGTERM, which a terminal or a service manager sends to every process, are for the driver, which drains its shards.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import sys
from typing import Final

import uvloop

from engine.cluster import frames
from engine.cluster.hosting import Deadline, made, reason
from engine.cluster.transport import Served
from rpc.logs import get_logger

_PR_SET_PDEATHSIG: Final = 1

_log = get_logger(__name__)


def _die_with(parent: int) -> None:
    """Be killed with the thread that started us, where there is such a thing (Linux), even stopped or stuck. Elsewhere
    the end of the socket says that the driver is gone, and the deadline."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("the driver is gone")


async def _exchange(shard: Served, mail: bytes, before: asyncio.Task[None] | None, out: asyncio.StreamWriter) -> None:
    try:
        answer = await shard.exchange(mail)
    except Exception:
        _log.exception("shard failed")
        raise
    if before is not None:
        await before
    frames.write(out, frames.MAIL, answer)


async def _exchanges(shard: Served, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until the driver closes the socket, or is gone."""
    deadline = Deadline(shard.deadline)
    frames.write(writer, frames.MAIL, b"")
    before = None
    async with asyncio.TaskGroup() as group:
        under_way = set[asyncio.Task[None]]()
        while (frame := await frames.read(reader)) is not None:
            deadline.heard()
            before = group.create_task(_exchange(shard, frame[1], before, writer))
            under_way.add(before)
            before.add_done_callback(under_way.discard)
        for each in under_way:
            each.cancel()


async def _main(factory: str) -> int:
    reader, writer = await asyncio.open_connection(sock=socket.socket(fileno=0))
    settings = await frames.read(reader)
    if settings is None:
        return 1
    try:
        shard = made(factory, settings[1])
        async with shard:
            await _exchanges(shard, reader, writer)
    except Exception as error:
        frames.write(writer, frames.FAILED, reason(error).encode())
        writer.close()
        await writer.wait_closed()
        return 1
    return 0


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    _die_with(int(sys.argv[2]))
    sys.exit(uvloop.run(_main(sys.argv[1])))
