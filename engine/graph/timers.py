"""Times at which a walk has something to do by itself: the end of a suspend, a deadline, a retry."""

from __future__ import annotations

import heapq
from collections.abc import Callable


class Timers:
    """Those of one workflow. Times are in seconds since the epoch."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, int, Callable[[], bool], Callable[[], None]]] = []
        self._set = 0

    def at(self, when: float, order: int, matters: Callable[[], bool], action: Callable[[], None]) -> None:
        """Have `action` called by the first `fire` at or after `when`, if that still matters.

        Of those that are due at one time the one of lower order comes first: that of an invocation, -1 for the
        workflow.
        """
        self._set += 1
        heapq.heappush(self._due, (when, order, self._set, matters, action))

    def fire(self, now: float) -> None:
        """Do what is due."""
        while self._due and self._due[0][0] <= now:
            *_, matters, action = heapq.heappop(self._due)
            if matters():
                action()

    @property
    def next_due(self) -> float | None:
        """When there is something to do, None where nothing is."""
        while self._due and not self._due[0][3]():
            heapq.heappop(self._due)
        return self._due[0][0] if self._due else None
