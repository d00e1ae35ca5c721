"""Whom the shards of a fleet make passes for: until some workflows are over, or nothing can change any more."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Protocol

from engine.cluster.holding import Held, Roster
from engine.cluster.mail import Down, Drain, Turn
from engine.cluster.shards import Line, Lines
from engine.cluster.transport import TransportError
from engine.cluster.writing import Writing
from engine.reconciling.waiter import Waiter
from engine.storage.store import StoreError


class Driven(Protocol):
    """What is known of the shards."""

    lines: Lines
    writing: Writing

    @property
    def given_up(self) -> Exception | None:
        """Why nothing more is done."""
        ...

    @property
    def is_still(self) -> bool:
        """Whether nothing more comes of itself."""
        ...

    @property
    def is_done(self) -> bool:
        """Whether all is done that was said."""
        ...

    def ask_shard(self, line: Line, name: str, arguments: Mapping[str, Any]) -> asyncio.Future[Any]:
        """Have a shard do something."""
        ...


class Turning:
    """Has shards make passes while there is anybody to make them for. `silent` says whether the executor will say
    nothing more of itself."""

    def __init__(self, driver: Driven, roster: Roster, silent: Callable[[], bool]) -> None:
        self._driver = driver
        self._roster = roster
        self._silent = silent
        self._waiters: set[Waiter[Held]] = set()
        self._limit: float | None = None
        """Until when shards were told to turn."""
        self._is_on = False
        self._drain_by: float | None = None

    @property
    def is_on(self) -> bool:
        """Whether passes are made."""
        return self._is_on

    @property
    def draining(self) -> bool:
        """Whether no more passes are begun."""
        return self._drain_by is not None

    async def run(self, some: Iterable[Held] | None, timeout: float | None) -> None:
        """Until these are over, or all (None), nothing can change any more, `timeout` is over, or all is drained."""
        left = None if some is None else set(some)
        if left is not None and not left:
            return
        waiter = Waiter(left, self._until(timeout), Waiter.let_go)
        with waiter.hearing():
            await self._turn_for(waiter)

    async def serve(self, timeout: float | None) -> None:
        """Until all is drained, or `timeout` is over."""
        await self._turn_for(Waiter(None, self._until(timeout), Waiter.let_go, stays=True))

    def _until(self, timeout: float | None) -> float | None:
        """By the event loop's clock; that of a simulation may get there before."""
        return None if timeout is None else self._now() + timeout

    async def _turn_for(self, waiter: Waiter[Held]) -> None:
        self._waiters.add(waiter)
        self._turn()
        self.look()
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(waiter.limit):
                    await waiter.over
        finally:
            self._waiters.discard(waiter)
            if not self._waiters:
                with suppress(StoreError):  # it is tried again all the same
                    await self._driver.writing.unless_failing(self._rest())

    def _turn(self) -> None:
        """Have all turn, for as long as anybody wants that."""
        self._roster.settled = False
        limits = [waiter.limit for waiter in self._waiters]
        limit = None if None in limits else max((each for each in limits if each is not None), default=None)
        if not self._is_on or limit != self._limit:
            self._is_on, self._limit = True, limit
            self._driver.lines.put(self._order())

    def _order(self) -> Down:
        if self._drain_by is not None:
            return Drain(self._left_until(self._drain_by))
        return Turn(self._left_until(self._limit))

    def _left_until(self, limit: float | None) -> float | None:
        """As it is sent: JSON knows no infinity."""
        return None if limit is None or limit == math.inf else max(limit - self._now(), 0.0)

    def joined(self, line: Line) -> None:
        """There is another shard."""
        if self._is_on or self.draining:
            line.put(self._order())

    def _rest(self) -> asyncio.Future[list[Any]]:
        """Have none turn. Done once all is that was said."""
        self._is_on = False
        resting = [self._driver.ask_shard(line, "rest", {}) for line in self._driver.lines]
        return asyncio.gather(*resting, return_exceptions=True)

    def drain(self, grace: float) -> None:
        """Have no more passes begun, and those under way aborted after so many seconds."""
        by = self._now() + grace
        self._drain_by = by if self._drain_by is None else min(by, self._drain_by)
        self._driver.lines.put(self._order())
        asyncio.get_running_loop().call_at(self._drain_by, self._driver.writing.end)
        self.look()

    def _end(self) -> None:
        """No more passes are made: whoever waits goes on."""
        self._roster.settle()
        self._let_go(self._waiters)

    async def close(self) -> None:
        """Turn no more; whoever it turns for goes on as if drained."""
        self._end()
        self._driver.writing.end()
        await self._rest()

    def failed(self, error: TransportError) -> None:
        """There are no shards, nor will there be."""
        self._let_go(self._waiters, error)

    def look(self) -> None:
        """Let go who has nothing to wait for any more."""
        if self.draining:
            if not self._is_on or self._driver.given_up or (self._driver.is_done and not any(self._turns())):
                self._end()
        elif self._driver.given_up is not None:
            self._let_go(self._waiters, self._driver.given_up)
        elif self._limit is not None and self._driver.is_still and not all(self._turns()):  # a simulation got there
            self._let_go(self._waiters)
        elif not self._roster.runs:
            self._let_go(waiter for waiter in self._waiters if waiter.left is None and not waiter.stays)
        elif any(not waiter.stays for waiter in self._waiters) and self._driver.is_still and self._silent():
            self._let_go(waiter for waiter in self._waiters if not waiter.stays)

    def _turns(self) -> Iterator[bool]:
        """Of each shard, whether it does."""
        return (line.state is not None and line.state.turning for line in self._driver.lines)

    def _let_go(self, waiters: Iterable[Waiter[Held]], error: Exception | None = None) -> None:
        for waiter in list(waiters):
            waiter.let_go(error)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
