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

    and `release` gives it back. Whenever some wait, as many as the limit allows are in flight.
    """

    __slots__ = ("_waiting", "in_flight", "limit", "waits")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        """Read it; `resize` sets it."""
        self.in_flight = 0
        self.waits = 0
        """How many have had to wait so far."""
        self._waiting: deque[Waiting] = deque()

    @property
    def waiting(self) -> int:
        """How many wait for a permit."""
        return sum(not turn.done() for turn in self._waiting)

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
        self._waiting.append(turn)
        self.waits += 1

    def release(self) -> None:
        """Give one permit back; it goes to the first who waits, if any, with nobody to compete."""
        self.in_flight -= 1
        if self._waiting:
            self._hand_over()

    def resize(self, limit: int) -> None:
        """Set the limit. Permits taken beyond a lower one are not called back, only not handed out again."""
        self.limit = limit
        if self._waiting:
            self._hand_over()

    def _hand_over(self) -> None:
        waiting = self._waiting
        while waiting and self.in_flight < self.limit:
            turn = waiting.popleft()
            if not turn.done():  # else cancelled: it was left here, since searching the queue for it takes longer
                self.in_flight += 1
                turn.set_result(None)
