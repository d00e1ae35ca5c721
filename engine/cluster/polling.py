"""Exchanges that wait at a shard, until it has something to say."""

from __future__ import annotations

import asyncio
import math
from collections import deque

from engine.cluster.transport import UNDER_WAY


class Polls:
    """Exchanges that wait, the first for no longer than ``longest`` seconds: then, or by `answer`, or where there are
    too many, it is answered."""

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self.within = math.inf
        """Seconds in which the first that waits was to be answered when that was said."""

    async def wait(self, seconds: float) -> None:
        """Until it is answered, the first that waits in so many seconds."""
        mine = asyncio.get_running_loop().create_future()
        self._waiting.append(mine)
        if len(self._waiting) == UNDER_WAY:  # so that there can be another one
            self.answer()
        self.answer_within(min(seconds, self._longest))
        await mine

    def answer_within(self, seconds: float) -> None:
        """Have the first that waits, if any does, answered in so many seconds; the least of them counts."""
        if not self._waiting or seconds >= self.within:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self.within = asyncio.get_running_loop().call_later(seconds, self.answer), seconds

    def answer(self) -> None:
        """Have the first that waits answered now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self.within = None, math.inf
        if self._waiting:
            first = self._waiting.popleft()
            if not first.done():
                first.set_result(None)
        self.answer_within(self._longest)
