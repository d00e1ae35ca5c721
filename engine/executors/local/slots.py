"""How many leaves run at a time: the others wait, and go on in the order in which they came."""

from __future__ import annotations

import asyncio
from collections import deque


class Slot:
    """One that is held until it is given back, be it twice."""

    def __init__(self, slots: Slots) -> None:
        self._slots: Slots | None = slots

    def give_back(self) -> None:
        """It is free again."""
        if self._slots is not None:
            self._slots.free()
            self._slots = None


class Slots:
    """So many of them. What runs already when it is found has one even where there is none."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def take(self) -> Slot:
        """One, as soon as there is one."""
        if self._free > 0 and not self._waiting:
            return self.take_anyway()
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.free()
            raise
        return Slot(self)

    def take_anyway(self) -> Slot:
        """One, be there any or not."""
        self._free -= 1
        return Slot(self)

    def free(self) -> None:
        """One is free again."""
        self._free += 1
        while self._free > 0 and self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                self._free -= 1
                turn.set_result(None)
