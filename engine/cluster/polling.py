"""Exchanges that wait at a shard, until it has something to say."""

from __future__ import annotations

import asyncio
from collections import deque

from engine.cluster.transport import UNDER_WAY


class Polls:
    """Exchanges that wait, the first for no longer than ``longest`` seconds: then, or by `answer`, or where there are
    too many, it is answered."""

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0

    async def wait(self, *, ready: bool) -> None:
        """Until it is answered."""
        mine = asyncio.get_running_loop().create_future()
        self._waiting.append(mine)
        if len(self._waiting) == UNDER_WAY:  # so that there can be another one
            self.answer()
        self.answer_within(0.0 if ready else self._longest)
        await mine

    def answer_within(self, seconds: float) -> None:
        """Have the first that waits, if any does, answered in so many seconds; the least of them counts."""
        loop = asyncio.get_running_loop()
        due = loop.time() + seconds
        if not self._waiting or (self._timer is not None and self._due <= due):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._due = loop.call_later(seconds, self.answer), due

    def answer(self) -> None:
        """Have the first that waits answered now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting:
            first = self._waiting.popleft()
            if not first.done():
                first.set_result(None)
        self.answer_within(self._longest)
