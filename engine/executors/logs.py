"""Logs in files: what a container has written and when, read in pieces while it goes on writing.

All of it blocks, and goes to a thread, but `follow`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final, NamedTuple

_CHUNK: Final = 1 << 16

LOOK_EVERY: Final = 0.1
"""Seconds between two looks at a log that is being followed."""

LONGEST: Final = 1 << 20
"""Bytes of a line; one that is longer is several (Argo's `maxTokenLength`)."""


class Log:
    """The log of a container, in a folder of its own that may not be there yet.

    ``log`` is what it wrote, ``times`` has lines of an offset into that and the seconds since the epoch at which what
    begins there was written.
    """

    def __init__(self, folder: Path) -> None:
        self._text, self._times = folder / "log", folder / "times"

    def exists(self) -> bool:
        """Whether it was begun."""
        return self._text.exists()

    def read(self, offset: int, most: int = _CHUNK) -> bytes:
        """What there is from an offset on, at most so many bytes of it."""
        return _read(self._text, offset, most)

    def times(self) -> Times:
        """When what was written, from the beginning."""
        return Times(self._times)

    def tail(self, lines: int) -> int:
        """Where the last so many lines begin."""
        end = at = self._text.stat().st_size if self._text.exists() else 0
        breaks = lines + 1 if self.read(max(end - 1, 0), 1) == b"\n" else lines
        while lines and at > 0:
            begin = max(at - _CHUNK, 0)
            block = self.read(begin, at - begin)
            count = block.count(b"\n")
            if count >= breaks:
                for _ in range(breaks):
                    at = block.rindex(b"\n", 0, at - begin) + begin
                return at + 1
            breaks -= count
            at = begin
        return at


class Times:
    """Goes along a log and says when what was written."""

    def __init__(self, path: Path) -> None:
        self._path, self._offset = path, 0
        self._entries: deque[tuple[int, float]] = deque()
        self._now = 0.0

    def at(self, offset: int) -> float:
        """When what is at the offset was written, in seconds since the epoch; offsets only grow."""
        while (entry := self._next()) is not None and entry[0] <= offset:
            self._now = entry[1]
            self._entries.popleft()
        return self._now

    def since(self, moment: float) -> int | None:
        """The offset of what was written at that time or later; None where there is nothing."""
        while (entry := self._next()) is not None:
            if entry[1] >= moment:
                return entry[0]
            self._now = entry[1]
            self._entries.popleft()
        return None

    def _next(self) -> tuple[int, float] | None:
        if not self._entries:
            chunk = _read(self._path, self._offset, _CHUNK)
            whole = chunk[: chunk.rfind(b"\n") + 1]
            self._offset += len(whole)
            for line in whole.splitlines():
                offset, _, moment = line.partition(b" ")
                self._entries.append((int(offset), float(moment)))
        return self._entries[0] if self._entries else None


class Line(NamedTuple):
    """A line without its end. ``moment`` is when it was begun, in seconds since the epoch."""

    moment: float
    text: str


class Lines:
    """The lines of a log, as they come.

    ``tail`` begins with the last so many of them, ``since`` with what was written at that time or later; ``most`` is a
    bound on their bytes.
    """

    def __init__(
        self, log: Log, *, tail: int | None = None, since: float | None = None, most: int | None = None
    ) -> None:
        self._log, self._tail, self._since, self._left = log, tail, since, most
        self._times = log.times()
        self._at: int | None = None
        self._rest = b""

    def take(self, *, last: bool) -> list[Line]:
        """The next lines; none where there are none yet. `last` says that nobody writes any more."""
        if self._at is None:
            self._at = self._begin()
        lines = list[Line]()
        while self._at is not None and not lines:
            chunk = self._log.read(
                self._at + len(self._rest), _CHUNK if self._left is None else min(self._left, _CHUNK)
            )
            if self._left is not None:
                self._left -= len(chunk)
            *whole, self._rest = (self._rest + chunk).split(b"\n")
            for line in whole:
                lines.append(self._line(line, len(line) + 1))
            while len(self._rest) >= LONGEST:
                lines.append(self._line(self._rest[:LONGEST], LONGEST))
                self._rest = self._rest[LONGEST:]
            if not chunk:
                if self._rest and (last or self._left == 0):
                    lines.append(self._line(self._rest, len(self._rest)))
                    self._rest = b""
                break
        return lines

    def _line(self, text: bytes, size: int) -> Line:
        assert self._at is not None
        moment = self._times.at(self._at)
        self._at += size
        return Line(moment, text.removesuffix(b"\r").decode(errors="replace"))

    def _begin(self) -> int | None:
        begin = 0 if self._since is None else self._times.since(self._since)
        if begin is None:
            return None
        while begin and (chunk := self._log.read(begin - 1)):  # what is there of a line that was begun before
            found = chunk.find(b"\n")
            begin += found if found >= 0 else len(chunk)
            if found >= 0:
                break
        return begin if self._tail is None else max(begin, self._log.tail(self._tail))


async def follow(find: Callable[[], Log | None], goes_on: Callable[[], bool]) -> AsyncIterator[bytes]:
    """A log in chunks, until its end and until nobody will write to it any more.

    ``find`` says which it is once it is there; ``goes_on`` is asked before each look: the last one misses nothing.
    """
    offset = 0
    while True:
        unfinished = goes_on()
        log = await asyncio.to_thread(find)
        while log is not None and (chunk := await asyncio.to_thread(log.read, offset)):
            offset += len(chunk)
            yield chunk
        if not unfinished:
            return
        await asyncio.sleep(LOOK_EVERY)


def _read(path: Path, offset: int, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(most)
    except FileNotFoundError:
        return b""
