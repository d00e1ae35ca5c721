"""Keeping time for many calls with one timer: look at all of them now and then, and not too late for the first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

_HELD_UP = 0.05
_TURN = 0.001


class Sweeper:
    """Calls ``sweep(now)``, which returns when to be called again, or None to be left alone until `start`.

    ``period``: seconds until the first sweep. ``clock`` is that of all times here.
    """

    def __init__(self, sweep: Callable[[float], float | None], *, period: float, clock: Callable[[], float]) -> None:
        self._loop = asyncio.get_running_loop()
        self._sweep = sweep
        self._period = period
        self._clock = clock
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._waited = False

    def start(self) -> None:
        """Begin, unless it has begun."""
        if self._timer is None:
            self._schedule(self._clock(), self._period)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _schedule(self, now: float, delay: float) -> None:
        self._due = now + delay
        self._timer = self._loop.call_later(delay, self._run)

    def _run(self) -> None:
        now = self._clock()
        if now > self._due + _HELD_UP and not self._waited:
            # Somebody held up the loop. What has arrived meanwhile must be read before it may be called late.
            self._waited = True
            self._schedule(now, _TURN)
            return
        self._waited = False
        due = self._sweep(now)
        self._timer = None
        if due is not None:
            self._schedule(now, max(0.0, due - now))
