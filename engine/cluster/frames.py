"""How mail goes over a socket between a driver and a shard: what it is, how long, and itself.

The first frame down is the shard's settings; it is answered once the shard can take mail, with what it runs on. From
then on each mail down is answered by one up, in order.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from socket import socket
from typing import Final, cast

MAIL: Final = 0
FAILED: Final = 1
"""Upwards, and the last one: why the shard ends."""
CLOSE: Final = 2
"""Downwards: the shard is to end in good order, as it does at the end of the socket."""
KILL: Final = 3
"""Downwards, and the last one: it is to end at once."""

MOST: Final = (1 << 32) - 1
"""Bytes of a body, as many as a head can say."""

_HEAD: Final = struct.Struct(">BI")


class Frames(asyncio.BufferedProtocol):
    """One end of such a socket. A body is received where it is to be: asyncio's streams, which put it together, take
    four times the CPU for one of 300 KB. One that has more than ``limit`` bytes is the end of the socket."""

    def __init__(self, limit: int = MOST) -> None:
        self.limit = limit
        self._came: asyncio.Queue[tuple[int, bytes] | None] = asyncio.Queue()
        self._kind = MAIL
        self._is_head = True
        self._part = bytearray(_HEAD.size)
        self._left = memoryview(self._part)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.BaseProtocol`."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's does not inherit from it

    def connection_lost(self, exc: Exception | None) -> None:
        """See there."""
        self._came.put_nowait(None)

    def get_buffer(self, sizehint: int) -> memoryview:
        """See `asyncio.BufferedProtocol`."""
        return self._left

    def buffer_updated(self, nbytes: int) -> None:
        """See there."""
        self._left = self._left[nbytes:]
        if self._left:
            return
        if self._is_head:
            self._kind, length = _HEAD.unpack(self._part)
            if length > self.limit:  # before there is room made for it
                self.abort()
                self._begin(_HEAD.size, is_head=True)
                return
            self._begin(length, is_head=False)
        if self._left:
            return
        self.take(self._kind, bytes(self._part))
        self._begin(_HEAD.size, is_head=True)

    def take(self, kind: int, body: bytes) -> None:
        """Have a frame read."""
        self._came.put_nowait((kind, body))

    def _begin(self, length: int, *, is_head: bool) -> None:
        self._is_head = is_head
        self._part = bytearray(length)
        self._left = memoryview(self._part)

    def write(self, kind: int, body: bytes = b"") -> None:
        """Send a frame; dropped where the socket is closed. Not waited for, since few are ever under way."""
        if not self._transport.is_closing():
            self._transport.writelines((_HEAD.pack(kind, len(body)), body))

    async def read(self) -> tuple[int, bytes] | None:
        """The next frame's kind and body; None, once, when the other end is gone, be it in the middle of one."""
        return await self._came.get()

    def finish(self) -> None:
        """Write no more. Closed outright, what the other end has not read would be lost once that writes in vain."""
        if not self._transport.can_write_eof():  # with TLS
            self._transport.close()
        elif not self._transport.is_closing():
            with contextlib.suppress(OSError):  # the other end is gone
                self._transport.write_eof()

    def close(self) -> None:
        """Close the socket, once what was written is sent."""
        self._transport.close()

    def abort(self) -> None:
        """Close the socket at once."""
        self._transport.abort()


async def framed(sock: socket) -> Frames:
    """Our end of a socket that is connected."""
    return (await asyncio.get_running_loop().create_connection(Frames, sock=sock))[1]
