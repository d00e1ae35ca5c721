"""How many calls one plugin has in flight at most; the rest wait their turn, first come first served."""

from __future__ import annotations

import asyncio
from collections import deque


class Permits:
    """A bounded number of permits. Taking a free one is two attribute accesses for the caller:

        if permits.free > 0:
            permits.free -= 1
        else:
            await permits.wait()

    and each is given back with `release`.
    """

    def __init__(self, limit: int) -> None:
        self.free = limit
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def wait(self) -> None:
        """Wait for a permit and take it. Cancelled, it takes none."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._waiting.remove(turn)
            else:  # handed over and cancelled in one turn of the loop
                self.release()
            raise

    def release(self) -> None:
        """Give one permit back: to the first in the queue, who need not compete for it, or to the stock."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.free += 1
