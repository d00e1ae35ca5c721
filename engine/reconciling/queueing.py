"""The queue of workflows to reconcile: keys, not objects, in the manner of Kubernetes' workqueue."""

from __future__ import annotations

import heapq
import time
from collections import deque
from collections.abc import Callable
from typing import Final

FRESH_EVERY: Final = 16
"""Of so many keys that are handed out one is new, where one waits: whatever the others do, all are begun some day.
Measured with 5,000 workflows of 10 passes: the first ends when 20 have begun, with one in four when 88 have."""


class Queue:
    """Keys that want a pass. A key is in it once however often it is added, and never handed out while in flight.

    A synchronous state machine; whoever uses it does the waiting. First come, first served among those that have been
    handed out before, and among those that have not; the former first, so that what was begun ends before all else is
    begun, but for every so many of them one of the latter.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ready: deque[str] = deque()
        self._fresh: deque[str] = deque()
        """Those of the ready that were never handed out."""
        self._begun: set[str] = set()
        self._turns = 0
        """How many were handed out since the last of the fresh."""
        self._wanted: dict[str, float] = {}
        """Since when, in the order in which they were added."""
        self._in_flight: set[str] = set()
        self._later: list[tuple[float, str]] = []
        self._due: dict[str, float] = {}

    def __len__(self) -> int:
        """How many keys are ready to be handed out."""
        return len(self._ready) + len(self._fresh)

    def oldest(self, now: float) -> float:
        """For how many seconds the first of all that are ready has been wanted; 0 where none is."""
        ready = (since for key, since in list(self._wanted.items()) if key not in self._in_flight)
        return now - next(ready, now)

    @property
    def in_flight(self) -> int:
        """How many keys are handed out and not yet done."""
        return len(self._in_flight)

    def add(self, key: str) -> None:
        """Want a pass over `key`; while one is under way, another one after it."""
        self._due.pop(key, None)
        if key in self._wanted:
            return
        self._wanted[key] = self._clock()
        if key not in self._in_flight:
            self._line_up(key)

    def _line_up(self, key: str) -> None:
        (self._ready if key in self._begun else self._fresh).append(key)

    def add_at(self, key: str, when: float) -> None:
        """Want a pass over `key` at `when`, in the time that `wake` is told; the earliest wish counts."""
        if key in self._wanted or self._due.get(key, when + 1) <= when:
            return
        self._due[key] = when
        heapq.heappush(self._later, (when, key))

    def wake(self, now: float) -> None:
        """Make the keys ready whose time has come."""
        while self._later and self._later[0][0] <= now:
            when, key = heapq.heappop(self._later)
            if self._due.get(key) == when:
                self.add(key)

    @property
    def next_due(self) -> float | None:
        """When `wake` will make another key ready, None where none is waiting for its time."""
        while self._later and self._due.get(self._later[0][1]) != self._later[0][0]:
            heapq.heappop(self._later)
        return self._later[0][0] if self._later else None

    def get(self) -> str | None:
        """Hand out the next key, None where none is ready; the caller says `done` when its pass is over."""
        if self._fresh and (not self._ready or self._turns >= FRESH_EVERY - 1):
            key, self._turns = self._fresh.popleft(), 0
            self._begun.add(key)
        elif self._ready:
            key, self._turns = self._ready.popleft(), self._turns + 1
        else:
            return None
        self._wanted.pop(key, None)
        self._in_flight.add(key)
        return key

    def again(self, key: str) -> bool:
        """Hand out a key once more whose pass is over, if it was added meanwhile."""
        if key not in self._wanted:
            return False
        self._wanted.pop(key, None)
        return True

    def done(self, key: str) -> None:
        """The pass over `key` is over; if it was added meanwhile it is ready again. Said once more it does nothing."""
        if key not in self._in_flight:
            return
        self._in_flight.remove(key)
        if key in self._wanted:
            self._line_up(key)

    def discard(self, key: str) -> None:
        """Forget `key`: it wants no more passes, and if it does after all it is a new one."""
        self._due.pop(key, None)
        if key in self._wanted:
            self._wanted.pop(key, None)
            if key not in self._in_flight:
                (self._ready if key in self._begun else self._fresh).remove(key)
        self._begun.discard(key)
