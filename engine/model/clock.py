"""What time it is, for nodes and timers: the machine's clock, or one that jumps over what nobody has to wait for."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

LONGEST_NAP: Final = 30.0
"""Seconds after which whoever waits for a time looks at the clock again: it may have been set, or the machine have
slept."""


def timestamp(now: float) -> str:
    """Seconds since the epoch as Kubernetes writes a time: RFC 3339, UTC, whole seconds."""
    return _written(int(now))


@lru_cache(maxsize=64)
def _written(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class SimulatedClock:
    """Runs with the machine's clock and can be set forward, so that a five minute suspend takes no time at all.

    One that does not wait ``for_plugins`` jumps over what these ask for, too: a requeue, and the backoff of a pass that
    one of them failed.
    """

    def __init__(self, source: Callable[[], float] = time.time, *, for_plugins: bool = True) -> None:
        self.for_plugins = for_plugins
        self._source = source
        self._ahead = 0.0

    def __call__(self) -> float:
        """Seconds since the epoch."""
        return self._source() + self._ahead

    def jump(self, to: float) -> None:
        """Set the clock forward to `to`; an earlier time changes nothing."""
        self._ahead += max(to - self(), 0.0)
