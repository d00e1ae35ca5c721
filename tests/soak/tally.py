"""Calls and retries of all plugins, by their clients' own count."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from registry import Registry
from rpc import Client, Outcome
from rpc.budget import RATE, RATIO
from tests.soak.ledger import Ledger, Promise

_UNSENT = (Outcome.BREAKER_OPEN, Outcome.PAST_DEADLINE)


class Tally:
    """Keeps the figures of clients that are gone, as they were last seen, and no client."""

    def __init__(self, registry: Registry, ledger: Ledger) -> None:
        self.calls = 0
        self.retries = 0
        """Those are not among the calls."""
        self.breakers_opened = 0
        self._registry = registry
        self._ledger = ledger
        self._serials: WeakKeyDictionary[Client, int] = WeakKeyDictionary()
        self._seen: dict[int, tuple[int, int, int]] = {}

    def count(self, seconds: float) -> None:
        """Look at every client there is; so many `seconds` after the first was made."""
        for plugin in self._registry.snapshot():
            stats = plugin.client.stats
            sent = stats.attempts - sum(stats.outcomes[outcome] for outcome in _UNSENT)
            serial = self._serials.setdefault(plugin.client, len(self._seen))
            self._seen[serial] = sent - stats.retries, stats.retries, stats.breaker_opened
        self.calls, self.retries, self.breakers_opened = (sum(each) for each in zip(*self._seen.values(), strict=True))
        allowed = RATIO * self.calls + RATE * seconds + RATE
        self._ledger.expect(
            Promise.BUDGET, self.retries <= allowed, f"{self.retries:,} retries, {allowed:,.0f} are allowed"
        )
