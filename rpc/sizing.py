"""How many calls a batch has: as many as the plugin answers in good time. Synchronous, told the time by its caller."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

START: Final = 16
"""Calls of the first batch, before anything is known of the plugin."""
_GOOD_TIME: Final = 0.1
"""Seconds that a request should take at most: long enough for its own cost to vanish among its calls', short enough for
other workflows, and for a limit on concurrency that finds its way by requests."""
_SHARE: Final = 1 / 8
"""Of the timeout, where that is less: a batch that takes a little longer must not fail for it."""
_SETTLED: Final = 64
"""Batches at what was once found too many less half, until a little more is tried again."""


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """``max_calls`` and ``max_bytes`` bound one request; ``enabled`` false means that no batch is ever tried."""

    enabled: bool = True
    max_calls: int = 256
    max_bytes: int = 1024 * 1024


class BatchSize:
    """The calls that the next batch of one method may have, `limit`.

    Doubled while batches are answered in half the good time, cut in proportion where they take longer; halved when one
    fails as a whole, which is also remembered, as TCP remembers where it met congestion (RFC 5681, `ssthresh`).
    """

    def __init__(self, policy: BatchPolicy, timeout: float) -> None:
        self._most = self._ceiling = policy.max_calls
        self._good_time = min(_GOOD_TIME, timeout * _SHARE)
        self._full = 0
        self.limit = min(START, self._most)

    def answered(self, calls: int, seconds: float) -> None:
        """A batch of `calls` was answered `seconds` after it was sent."""
        if seconds > self._good_time:
            self.limit = max(1, min(self.limit, int(calls * self._good_time / seconds)))
            return
        if calls < self.limit or 2 * seconds > self._good_time:
            return
        if self.limit >= self._ceiling < self._most:
            self._full += 1
            if self._full >= _SETTLED:
                self._full = 0
                self._ceiling = min(self._most, self._ceiling + max(1, self._ceiling // 4))
        self.limit = min(self._ceiling, 2 * self.limit)

    def failed(self, calls: int) -> None:
        """A batch of `calls` failed as a whole, and it may be that there were too many."""
        self._full = 0
        self._ceiling = min(self._ceiling, max(1, calls // 2))
        self.limit = min(self.limit, self._ceiling)
