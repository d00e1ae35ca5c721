"""Shards as child processes of this one: mail goes over a pair of sockets, and their end is that of the process."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections import deque
from types import TracebackType
from typing import Final, Self

from engine.cluster import frames
from engine.cluster.hosting import OVERDUE
from engine.cluster.transport import SHARD, Gone, TransportError

START: Final = 60.0
"""Seconds that a shard has until it can take mail: a cold Python on a crowded machine takes ten."""

PATIENCE: Final = 5.0
"""Seconds that a shard has to end in good order."""


class Processes:
    """A `Transport` over child processes. They die with this process, however that ends, and with the thread whose
    event loop started them. They are in sessions of their own, so that Ctrl-C in a terminal is not for them. What they
    write to stderr, logs that is, goes to ours.

    ``factory`` makes what is served, see `engine.cluster.transport`; modules are found as they are here.
    """

    def __init__(self, factory: str = SHARD) -> None:
        self._factory = factory
        self._links = set[_Child]()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for link in list(self._links):
            await link.kill()

    async def start(self, number: int, settings: bytes) -> _Child:
        """Start a shard. Raises `TransportError`."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-P", "-m", "engine.cluster.child", self._factory, str(os.getpid())),
                    stdin=theirs.fileno(),
                    stdout=asyncio.subprocess.DEVNULL,
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
                    start_new_session=True,
                )
            except BaseException as error:
                ours.close()
                if isinstance(error, OSError):
                    raise TransportError(f"shard {number}: cannot start {sys.executable}: {error}") from error
                raise
        link = _Child(number, process, *await asyncio.open_connection(sock=ours))
        self._links.add(link)
        link.listening.add_done_callback(lambda _: self._links.discard(link))
        try:
            async with asyncio.timeout(START):
                await link.exchange(settings)
        except BaseException as error:
            await link.kill()
            if isinstance(error, Gone):
                raise TransportError(str(error)) from error
            if isinstance(error, TimeoutError):
                raise TransportError(f"{link.name} was not ready within {START:g} s") from error
            raise
        return link


class _Child:
    """A `Link` to a child process."""

    def __init__(
        self,
        number: int,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.name = f"shard {number} (process {process.pid})"
        self._process = process
        self._reader = reader
        self._writer = writer
        self._waiting: deque[asyncio.Future[bytes]] = deque()
        self._gone = ""
        self.listening = asyncio.create_task(self._listen())

    async def exchange(self, mail: bytes) -> bytes:
        if self._gone:
            raise Gone(self._gone)
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting.append(answer)
        frames.write(self._writer, frames.MAIL, mail)
        return await answer

    async def kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await asyncio.shield(self.listening)

    async def close(self) -> None:
        self._writer.close()
        await asyncio.shield(self.listening)

    async def _listen(self) -> None:
        """Hand out answers until the socket is closed, and see the process end."""
        why = ""
        while (frame := await frames.read(self._reader)) is not None:
            kind, body = frame
            if kind == frames.FAILED:
                why = f"failed: {body.decode()}"
            elif not (answer := self._waiting.popleft()).done():
                answer.set_result(body)
        self._writer.close()
        try:
            async with asyncio.timeout(PATIENCE):
                code = await self._process.wait()
        except TimeoutError:
            self._process.kill()
            code = await self._process.wait()
        self._gone = f"{self.name} {why or _end(code)}"
        for answer in self._waiting:
            if not answer.done():
                answer.set_exception(Gone(self._gone))


def _end(code: int) -> str:
    if code == OVERDUE:
        return "ended itself, since no exchange came within its deadline"
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
