"""The retry budget: however much fails, retries stay a fifth of the calls, with ten a second on top for when few come.

Without one, retries multiply the load on a plugin just when it has too much. (Finagle's RetryBudget; Google's "Site
Reliability Engineering", chapter 22.)
"""

from __future__ import annotations

from typing import Final

RATIO: Final = 0.2
"""Retries earned by a call."""
RATE: Final = 10.0
"""Retries earned by a second."""
LIFETIME: Final = 10.0
"""Seconds until what was earned and not spent is worth nothing: a good hour must not pay for a storm."""


class Budget:
    """Shared by any number of clients, and whatever else sends again what was sent before. Told the time.

    One of several, in as many processes that call the same plugins, has its ``share`` of what a second earns.
    """

    def __init__(self, now: float, share: float = 1.0) -> None:
        self.calls = 0
        """Add one for each call, not for its retries."""
        self.spent = 0
        """Retries that were let through."""
        self.refused = 0
        """Retries that were not."""
        self._counted = 0
        self._time = now
        self._rate = RATE * share
        self._balance = max(self._rate, 1.0)

    def spend(self, now: float, retries: int = 1) -> bool:
        """Take the price of so many retries, if anything is there.

        Calls that travel together are sent again together or not at all, so the last of them may be had on credit: what
        is owed must be earned before there is another.
        """
        elapsed = max(0.0, now - self._time)
        recent = min(1.0, LIFETIME / elapsed) if elapsed else 1.0
        earned = RATIO * (self.calls - self._counted) * recent + self._rate * min(elapsed, LIFETIME)
        if self._balance > 0.0:
            self._balance *= max(0.0, 1.0 - elapsed / LIFETIME)
        self._balance += earned
        self._counted = self.calls
        self._time = now
        if self._balance < 1.0:
            self.refused += retries
            return False
        self._balance -= retries
        self.spent += retries
        return True
