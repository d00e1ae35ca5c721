"""The shard's end of a socket, as the driver's end sees it."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Self

from engine.cluster.frames import MAIL, framed
from engine.cluster.serving import serve


class Failing:
    """Takes no mail."""

    place = "here"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def exchange(self, mail: bytes) -> bytes:
        raise ValueError(mail.decode())


def mail(body: bytes) -> bytes:
    return struct.pack(">BI", MAIL, len(body)) + body


async def test_a_shard_that_has_failed_takes_mail_until_the_driver_knows() -> None:
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    with ours:
        ours.setblocking(False)
        serving = asyncio.create_task(serve(await framed(theirs), lambda settings: Failing()))
        await loop.sock_sendall(ours, mail(b"settings") + mail(b"first"))
        said = b""
        while more := await loop.sock_recv(ours, 1024):
            said += more
        assert said.endswith(b"ValueError: first")
        await loop.sock_sendall(ours, mail(b"second"))  # in vain, it would have lost the driver what it has not read
        assert not serving.done()
    await serving
