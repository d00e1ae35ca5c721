"""Plain functions, which may block: in threads, until they have shown that they do not.

A hop to a thread and back takes longer than most functions do, and one that blocks in the loop holds up everybody.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from time import perf_counter
from typing import Any, Final, Generic, TypeVar

_QUICK: Final = 0.001
"""Seconds that a function may take in a thread to be called quick."""
_SLOW: Final = 0.005
"""Seconds that one may take in the loop before it is sent back to threads."""
_TIMES: Final = 32
"""So often in a row it is to be quick before the loop calls it; twice as often after each time it was slow there."""

_A = TypeVar("_A")
_R = TypeVar("_R")


class Threads:
    """A plugin's threads, at most ``most``, begun when they are needed, and let go by `close`."""

    def __init__(self, name: str, most: int) -> None:
        if most < 1:
            raise ValueError(f"expected at least one thread, got threads={most}")
        self._name = name
        self._most = most
        self._pool: ThreadPoolExecutor | None = None

    def submit(self, function: Callable[[_A], _R], given: _A) -> asyncio.Future[tuple[_R | Exception, float]]:
        """Have it called in a thread: what it returns or raises, and the seconds that it took."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._most, thread_name_prefix=self._name)
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(self._pool, copy_context().run, _timed, function, given)

    def close(self) -> None:
        """Take no more; a function that still runs does so to its end, as a thread cannot be cancelled."""
        if self._pool is not None:
            self._pool.shutdown(wait=False)
            self._pool = None


class Threaded(Generic[_A]):
    """A function of one argument, called in ``threads`` or, while it is quick, at once. Never in both at a time."""

    def __init__(self, function: Callable[[_A], Any], threads: Threads) -> None:
        self._function = function
        self._threads = threads
        self._quick = 0
        self._needed = _TIMES
        self._running = 0

    def __call__(self, given: _A) -> Any:
        """What the function returns, or an awaitable of that. Raises what it raises."""
        if self._quick < self._needed or self._running:
            return self._in_thread(given)
        start = perf_counter()
        try:
            return self._function(given)
        finally:
            if perf_counter() - start > _SLOW:
                self._quick = 0
                self._needed *= 2

    async def _in_thread(self, given: _A) -> Any:
        self._running += 1
        call = self._threads.submit(self._function, given)
        call.add_done_callback(self._over)
        reply, seconds = await call
        self._quick = self._quick + 1 if seconds < _QUICK else 0
        if isinstance(reply, Exception):
            raise reply
        return await reply if inspect.isawaitable(reply) else reply

    def _over(self, _: object) -> None:
        self._running -= 1


def _timed(function: Callable[[_A], _R], given: _A) -> tuple[_R | Exception, float]:
    """What came of it, an exception as a value: not every one can be set on a future (StopIteration cannot)."""
    start = perf_counter()
    try:
        reply: _R | Exception = function(given)
    except Exception as error:
        reply = error
    return reply, perf_counter() - start
