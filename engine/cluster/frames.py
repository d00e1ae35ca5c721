"""How mail goes over a socket: a byte that says what it is, four for its length, and itself."""

from __future__ import annotations

import asyncio
import struct
from typing import Final

MAIL: Final = 0
FAILED: Final = 1
"""Upwards, and the last one: why the shard ends."""

_HEAD: Final = struct.Struct(">BI")


def write(writer: asyncio.StreamWriter, kind: int, body: bytes) -> None:
    """Send a frame; it is not waited for, since no more than two are ever under way."""
    writer.writelines((_HEAD.pack(kind, len(body)), body))


async def read(reader: asyncio.StreamReader) -> tuple[int, bytes] | None:
    """The next frame's kind and body; None once the other end is gone, be it in the middle of one."""
    try:
        kind, length = _HEAD.unpack(await reader.readexactly(_HEAD.size))
        return kind, await reader.readexactly(length)
    except (asyncio.IncompleteReadError, OSError):
        return None
