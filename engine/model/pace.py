"""Turns of the event loop, kept short: a workflow of 100,000 nodes is seen to in pieces, and other things in between.

What decides is free of `await`. Where there may be very much to decide it is a generator that yields between pieces,
however small, and `Pace` has it go on in a later turn when it has taken its time in this one.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import Any, Final, TypeVar

from rpc.stats import Histogram

SHARE: Final = 0.005
"""Seconds of a turn for all that want to get on, together: four times that would be felt by whoever else is there."""

Pieces = Iterator[None]
"""Work that can rest wherever it yields. Nobody else may change what it works on meanwhile."""

PIECE: Final = 64
"""So much that costs well below a microsecond each may be done between two yields."""

FEW: Final = 16
"""So much that costs a few microseconds each: a yield costs a tenth of one, and more from deep within."""


_T = TypeVar("_T")


class Pace:
    """The share of each turn that everybody has who shares a pace; whoever finds it used up waits, first come first.

    ``share`` is in the unit of ``clock``: seconds. To be used from one event loop.
    """

    def __init__(self, share: float = SHARE, clock: Callable[[], float] = time.perf_counter) -> None:
        self._share = share
        self._clock = clock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._until: float | None = None
        """When the share of this turn is used up; None where nobody has begun on it."""
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._begun: set[asyncio.Task[Any]] = set()
        self.turns = Histogram()
        """How long the turns were in which anybody got on, from then until all was done that was to be in them."""

    async def rest(self) -> None:
        """Go on at once if there is time left in this turn, else in a later one."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # what was to happen in another one will not
            self._loop, self._until = loop, None
            self._waiting.clear()
        waited = False
        while self._until is not None and self._clock() >= self._until:
            mine = loop.create_future()
            (self._waiting.appendleft if waited else self._waiting.append)(mine)
            waited = True
            try:
                await mine
            except asyncio.CancelledError:
                if not mine.cancelled():  # it was this one's turn
                    self._next_turn()
                raise
        if self._until is None:
            self._until = self._clock() + self._share
            loop.call_soon(self._turned, self._until - self._share)

    def _turned(self, began: float) -> None:
        self.turns.add(self._clock() - began)
        self._next_turn()

    def _next_turn(self) -> None:
        self._until = None
        while self._waiting:
            first = self._waiting.popleft()
            if not first.done():  # as it is where whoever waited was cancelled
                first.set_result(None)
                return

    async def through(self, work: Iterable[Any]) -> None:
        """Do all of the work, and rest where it yields and this turn's time is over."""
        if self._until is None or self._clock() >= self._until:
            await self.rest()
        clock, until = self._clock, self._until  # which nobody changes while the work goes on
        for _ in work:
            if until is None or clock() >= until:
                await self.rest()
                until = self._until

    async def to_the_end(self, work: Iterable[Any]) -> asyncio.CancelledError | None:
        """As `through`, but nothing keeps it from coming to its end: returns a cancellation that came meanwhile, for
        the caller to raise when he is done."""
        cancelled = None
        work = iter(work)
        while True:
            try:
                await self.through(work)
            except asyncio.CancelledError as error:
                cancelled = error
            else:
                return cancelled

    def begin(self, work: Iterable[Any]) -> None:
        """Do all of the work, at once where there is not much of it; else the rest of it follows in turns to come, if
        an event loop runs."""
        work = iter(work)
        loop = None
        with suppress(RuntimeError):
            loop = asyncio.get_running_loop()
        until = self._clock() + self._share
        for number, _ in enumerate(work, 1):
            if number >= FEW and loop is not None and self._clock() >= until:
                task = loop.create_task(self.to_the_end(work))
                self._begun.add(task)
                task.add_done_callback(self._begun.discard)
                return

    async def close(self) -> None:
        """Wait for the end of what was begun."""
        while self._begun:
            await asyncio.wait(self._begun)


def used_up(some: dict[Any, Any] | list[Any]) -> Pieces:
    """Empty a large collection: the last reference to a hundred thousand objects frees them all in one go."""
    if len(some) <= PIECE:
        some.clear()
    take = some.popitem if isinstance(some, dict) else some.pop
    while some:
        for _ in range(min(PIECE, len(some))):
            take()
        yield


def batched(some: Collection[_T], size: int = PIECE) -> Iterable[list[_T]]:
    """They, so many at a time."""
    if len(some) <= size:  # as they mostly are
        return ([*some],) if some else ()
    return _batches(some, size)


def _batches(some: Iterable[_T], size: int) -> Iterator[list[_T]]:
    rest = iter(some)
    while batch := list(islice(rest, size)):
        yield batch


def in_order(some: list[_T], key: Callable[[_T], Any] | None = None) -> Generator[None, None, list[_T]]:
    """They are sorted, by their ``key``, which for a hundred thousand takes longer than a turn should: sorted runs are
    merged, which is what `sort` itself does, two at a time. Those that are in order already are left alone."""
    if len(some) <= PIECE:
        some.sort(key=key)
        return some
    of = key or _itself
    runs = [some[at : at + _RUN] for at in range(0, len(some), _RUN)]
    for run in runs:
        run.sort(key=key)
        yield
    while len(runs) > 1:
        for at in range(len(runs) // 2):
            before, after = runs[at], runs.pop(at + 1)
            is_sorted = not of(after[0]) < of(before[-1])
            before += after
            if not is_sorted:
                before.sort(key=key)
            yield
    return runs[0]


def _itself(value: Any) -> Any:
    return value


_RUN: Final = 4096
"""So many are sorted in one go."""
