"""How many calls may be in flight at a time; the rest wait their turn, first come first served."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol


class Waiting(Protocol):
    """Who waits for a permit. Once `done` is true it does not any more, and is passed over."""

    def done(self) -> bool: ...
    def set_result(self, result: None, /) -> None: ...


class Permits:
    """A semaphore whose limit may change at any time. Taking a free permit costs its caller two attributes:

        if permits.in_flight < permits.limit:
            permits.in_flight += 1
        else:
            await permits.wait()

    and giving one back, which `release` does, no more:

        permits.in_flight -= 1
        if permits.turns:
            permits.hand_over()

    Whenever some wait, as many as the limit allows are in flight.
    """

    __slots__ = ("_handing_over", "in_flight", "limit", "turns", "waits")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        """Read it; `resize` sets it."""
        self.in_flight = 0
        self.waits = 0
        """How many have had to wait so far."""
        self.turns: deque[Waiting] = deque()
        """Those that wait, the first in front, and some that do not any more."""
        self._handing_over = False

    @property
    def waiting(self) -> int:
        """How many wait for a permit."""
        return sum(not turn.done() for turn in self.turns)

    async def wait(self) -> None:
        """Wait for a permit and take it. Cancelled, it takes none."""
        turn = asyncio.get_running_loop().create_future()
        self.queue(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # handed over and cancelled in the same turn of the loop
                self.release()
            raise

    def queue(self, turn: Waiting) -> None:
        """Wait for a permit; `turn` is told, from within `release` or `resize`, when it has been taken for it."""
        self.turns.append(turn)
        self.waits += 1

    def release(self) -> None:
        """Give one permit back; it goes to the first who waits, if any, with nobody to compete."""
        self.in_flight -= 1
        if self.turns:
            self.hand_over()

    def resize(self, limit: int) -> None:
        """Set the limit. Permits taken beyond a lower one are not called back, only not handed out again."""
        self.limit = limit
        if self.turns:
            self.hand_over()

    def hand_over(self) -> None:
        """Give permits that are free to those who wait for one.

        Whoever is told may give theirs back on the spot, as all do that are not sent because a breaker has opened. That
        one is handed on from here: from within it would take a stack as deep as the queue is long.
        """
        if self._handing_over:
            return
        self._handing_over = True
        turns = self.turns
        try:
            while turns and self.in_flight < self.limit:
                turn = turns.popleft()
                if not turn.done():  # else cancelled: it was left here, since searching the queue for it takes longer
                    self.in_flight += 1
                    turn.set_result(None)
        finally:
            self._handing_over = False
