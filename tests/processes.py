"""Processes: what a test starts ends with it, also where it fails, and what it looks at may go at any moment."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from os import PathLike
from typing import Any, Final

import psutil

PATIENCE: Final = 60.0
"""Seconds, more than any process takes to end on the slowest machine."""


@contextmanager
def started(*command: str | PathLike[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A process, killed at the end unless it has ended; its pipes are of text, and closed."""
    with subprocess.Popen(command, text=True, **options) as process:
        try:
            yield process
        finally:
            process.kill()


@asynccontextmanager
async def started_here(*command: str | PathLike[str], **options: Any) -> AsyncIterator[asyncio.subprocess.Process]:
    """Like `started`, for the event loop; its pipes are of bytes."""
    process = await asyncio.create_subprocess_exec(*command, **options)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()  # what is left in a pipe that nobody reads would keep it open


def is_alive(process: psutil.Process | int) -> bool:
    """Whether it runs still: one that has ended and that nobody has asked for its exit code does not."""
    with suppress(psutil.NoSuchProcess):
        found = psutil.Process(process) if isinstance(process, int) else process
        return found.is_running() and found.status() != psutil.STATUS_ZOMBIE
    return False


def beneath(top: int | None = None, what: str = "") -> list[psutil.Process]:
    """The processes that run and that this one, or that with the number `top`, has started, and those that they have.

    Only those whose name, or an argument of whose command, begins with `what`.
    """
    found = []
    with suppress(psutil.NoSuchProcess):
        for each in psutil.Process(top).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if is_alive(each) and any(word.startswith(what) for word in (each.name(), *each.cmdline())):
                    found.append(each)
    return found


def surviving(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Those of them that do not come to an end."""
    left, until = list(processes), time.monotonic() + PATIENCE
    while left and time.monotonic() < until:
        time.sleep(0.01)
        left = [each for each in left if is_alive(each)]
    return left
