"""The driver's ends: a child process that has a socket as its stdin, and the link to a shard over a socket."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Final, TypeVar

from engine.cluster.frames import CLOSE, FAILED, KILL, MAIL, Frames
from engine.cluster.hosting import OVERDUE
from engine.cluster.transport import Gone, TransportError

_T = TypeVar("_T")

PATIENCE: Final = 5.0
"""Seconds that a process has to end in good order."""


async def spawn(
    name: str, *arguments: str, environment: Mapping[str, str] | None = None
) -> tuple[asyncio.subprocess.Process, socket.socket]:
    """Start a child that calls ``"module:callable"``, see `engine.cluster.child`, which finds modules as they are found
    here; the process, and our end of its socket. Raises `TransportError`."""
    ours, theirs = connected()
    with theirs:
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "engine.cluster.child", str(os.getpid()), name, *arguments),
                stdin=theirs.fileno(),
                stdout=asyncio.subprocess.DEVNULL,
                env={**os.environ, **(environment or {}), "PYTHONPATH": os.pathsep.join(sys.path)},
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            raise TransportError(f"cannot start {sys.executable}: {error}") from error
    return process, ours


def connected() -> tuple[socket.socket, socket.socket]:
    """Both ends of a socket. Raises `TransportError`."""
    try:
        return socket.socketpair()
    except OSError as error:  # too many files are open
        raise TransportError(f"cannot make a socket: {error}") from error


async def completed(making: Coroutine[Any, Any, _T], undo: Callable[[_T], Awaitable[None]]) -> _T:
    """Await what must not be left half made: who is cancelled meanwhile has it undone once it is there."""
    task = asyncio.create_task(making)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await undo(await task)
        raise


def kill(process: asyncio.subprocess.Process) -> None:
    """End it at once; it may have ended already."""
    with contextlib.suppress(ProcessLookupError):
        process.kill()


async def end(process: asyncio.subprocess.Process) -> str:
    """See a process end that has closed its socket, which is killed if it takes too long, and tell how it did."""
    try:
        async with asyncio.timeout(PATIENCE):
            code = await process.wait()
    except TimeoutError:
        kill(process)
        code = await process.wait()
    if code == OVERDUE:
        return "ended itself, since no exchange came within its deadline"
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


class SocketLink:
    """A `Link` over a socket. Once that is at its end, ``end`` is awaited for what became of the other side, ``was
    ended by SIGKILL``. Told to end at once, that has ``grace`` seconds until ``kill`` ends it; told to end in good
    order, it has ``patience`` seconds."""

    def __init__(
        self,
        name: str,
        frames: Frames,
        end: Callable[[], Awaitable[str]],
        kill: Callable[[], None],
        grace: float = 0.0,
        patience: float = PATIENCE,
    ) -> None:
        self.name = name
        self._frames = frames
        self._end = end
        self._kill = kill
        self._grace = grace
        self._patience = patience
        self.ending = False
        """Whether it was told to end, or has said why it does."""
        self._waiting: deque[asyncio.Future[bytes]] = deque()
        self._gone = ""
        self.listening = asyncio.create_task(self._listen())

    async def begin(self, settings: bytes, patience: float, hint: str = "") -> str:
        """Have the shard begin, in so many seconds, and tell what runs it. Raises `TransportError`, with the hint where
        it takes longer."""
        try:
            async with asyncio.timeout(patience):
                return (await self.exchange(settings)).decode()
        except BaseException as error:
            await self.kill()
            if isinstance(error, Gone):
                raise TransportError(str(error)) from error
            if isinstance(error, TimeoutError):
                raise TransportError(f"{self.name} was not ready within {patience:g} s{hint}") from error
            raise

    async def exchange(self, mail: bytes) -> bytes:
        if self._gone:
            raise Gone(self._gone)
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting.append(answer)
        self._frames.write(MAIL, mail)
        return await answer

    async def kill(self) -> None:
        if not await self._told(KILL, self._grace):
            self._kill()
        await asyncio.shield(self.listening)

    async def close(self) -> None:
        if not await self._told(CLOSE, self._patience):
            await self.kill()

    async def _told(self, kind: int, patience: float) -> bool:
        """Tell the other side to end; whether it has, in so many seconds."""
        self.ending = True
        self._frames.write(kind)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await asyncio.shield(self.listening)
        return self.listening.done()

    async def _listen(self) -> str:
        """Hand out answers until the socket is at its end, and tell what became of the shard."""
        why = ""
        while (frame := await self._frames.read()) is not None:
            kind, body = frame
            if kind == FAILED:
                why, self.ending = body.decode(), True
            elif not (answer := self._waiting.popleft()).done():
                answer.set_result(body)
        ended = await self._end()
        became = f"failed: {why}" if why else ended
        self._gone = f"{self.name} {became}"
        for answer in self._waiting:
            if not answer.done():
                answer.set_exception(Gone(self._gone))
        return became
