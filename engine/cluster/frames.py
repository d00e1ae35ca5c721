"""How mail goes over a socket between a driver and a shard: what it is, how long, and itself.

The first frame down is the shard's settings; it is answered once the shard can take mail, with what it runs on. From
then on each mail down is answered by one up, in order.
"""

from __future__ import annotations

import asyncio
import struct
from typing import Final

MAIL: Final = 0
FAILED: Final = 1
"""Upwards, and the last one: why the shard ends."""
CLOSE: Final = 2
"""Downwards: the shard is to end in good order, as it does at the end of the socket."""
KILL: Final = 3
"""Downwards, and the last one: it is to end at once."""

LIMIT: Final = 1 << 20
"""Bytes that are read ahead. With 64 KiB, asyncio's own, a mail of megabytes is read in many small pieces."""

_HEAD: Final = struct.Struct(">BI")


def write(writer: asyncio.StreamWriter, kind: int, body: bytes = b"") -> None:
    """Send a frame; dropped where the socket is closed. Not waited for, since only two are ever under way."""
    if not writer.is_closing():
        writer.writelines((_HEAD.pack(kind, len(body)), body))


async def read(reader: asyncio.StreamReader) -> tuple[int, bytes] | None:
    """The next frame's kind and body; None once the other end is gone, be it in the middle of one."""
    try:
        kind, length = _HEAD.unpack(await reader.readexactly(_HEAD.size))
        return kind, await reader.readexactly(length)
    except (asyncio.IncompleteReadError, OSError):
        return None
