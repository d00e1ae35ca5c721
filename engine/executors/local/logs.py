"""What containers have written, read while they go on writing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

_CHUNK: Final = 1 << 16

_LOOK_EVERY: Final = 0.1
"""Seconds between two looks at a log that is being followed."""


async def follow(find: Callable[[], Path | None], goes_on: Callable[[], bool]) -> AsyncIterator[bytes]:
    """A log in chunks, until its end and until nobody will write to it any more.

    ``find`` says where it is once it is there; ``goes_on`` is asked before each look: the last one misses nothing.
    """
    offset = 0
    while True:
        unfinished = goes_on()
        path = find()
        while path is not None and (chunk := _read(path, offset)):
            offset += len(chunk)
            yield chunk
        if not unfinished:
            return
        await asyncio.sleep(_LOOK_EVERY)


def _read(path: Path, offset: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(_CHUNK)
    except FileNotFoundError:
        return b""
