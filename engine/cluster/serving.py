"""The shard's end of a socket to its driver: mail is handed to the shard, and what it answers is sent back in order."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from socket import socket
from types import TracebackType
from typing import Protocol, Self

from engine.cluster.frames import FAILED, KILL, MAIL, Frames, framed
from engine.cluster.hosting import Hosted, reason


class Exchanging(Protocol):
    """What mail is handed to: a shard in this process, or what stands for one elsewhere."""

    place: str
    """What runs it, once it is entered; for its name."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def exchange(self, mail: bytes) -> bytes: ...


async def serve(driver: Frames, make: Callable[[bytes], Exchanging]) -> None:
    """Serve what is made of the settings, until the driver wants it to end or is gone; or until it fails, which the
    driver is told."""
    mails = asyncio.Queue[bytes | None]()
    try:
        async with asyncio.TaskGroup() as group:
            hosting = group.create_task(_host(make, mails, driver))
            while (frame := await driver.read()) is not None and frame[0] != KILL:
                mails.put_nowait(frame[1] if frame[0] == MAIL else None)
            if frame is None:
                mails.put_nowait(None)
            else:
                hosting.cancel()
    finally:
        driver.close()


async def serve_alone(sock: socket, factory: str) -> None:
    """The whole of a child process that is a shard."""
    await serve(await framed(sock), lambda settings: Hosted(factory, settings, f"process {os.getpid()}"))


async def _host(make: Callable[[bytes], Exchanging], mails: asyncio.Queue[bytes | None], driver: Frames) -> None:
    try:
        if (settings := await mails.get()) is not None:
            async with make(settings) as shard:
                driver.write(MAIL, shard.place.encode())
                await _exchanges(shard, mails, driver)
    except Exception as error:
        driver.write(FAILED, reason(error).encode())
    finally:
        driver.finish()


async def _exchanges(shard: Exchanging, mails: asyncio.Queue[bytes | None], driver: Frames) -> None:
    before = None
    under_way = set[asyncio.Task[None]]()
    async with asyncio.TaskGroup() as group:
        while (mail := await mails.get()) is not None:
            before = group.create_task(_exchange(shard, mail, before, driver))
            under_way.add(before)
            before.add_done_callback(under_way.discard)
        for each in under_way:
            each.cancel()


async def _exchange(shard: Exchanging, mail: bytes, before: asyncio.Task[None] | None, driver: Frames) -> None:
    answer = await shard.exchange(mail)
    if before is not None:
        await before
    driver.write(MAIL, answer)
