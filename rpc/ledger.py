"""What came of each attempt at one plugin, counted, and told to those who decide by it: breaker, limiter and budget.

A success is only counted where it happens (`rpc.attempt`), since there are a hundred thousand a second. The others are
told of it when `turn` has come, or when something fails, whichever is first.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Final

from rpc.breaker import Breaker, BreakerPolicy
from rpc.budget import Budget
from rpc.limiter import Limiter
from rpc.logs import get_logger
from rpc.methods import BATCHES, Method, Route
from rpc.permits import Permits
from rpc.stats import ClientStats, Outcome
from rpc.tally import Tally, summary

WHATEVER_THE_SIZE: Final = frozenset({Outcome.UNREACHABLE, Outcome.UNTRUSTED})
"""What a batch fails with however few calls it has."""

_log = get_logger(__name__)


class Ledger:
    """The accounts of one client, and the state machines that live on them. ``concurrency`` None is adaptive."""

    def __init__(self, name: str, concurrency: int | None, breaker: BreakerPolicy, budget: Budget | None) -> None:
        now = monotonic()
        self.name = name
        self.breaker = Breaker(breaker)
        self.limiter = Limiter(now) if concurrency is None else None
        self.permits = Permits(concurrency or Limiter(now).limit)
        self.budget = budget or Budget(now)
        self.tallies: dict[Route, Tally] = {route: Tally() for route in (*Method, *BATCHES.values())}
        self.turn = now
        """When `tell` is due."""
        self.retries = 0
        self.unknown_fields = 0
        self._busy = 0
        self._unanswered = 0
        self._told = 0
        self._credited = 0
        self._probe: asyncio.Future[None] | None = None

    @property
    def answered(self) -> int:
        """Complete HTTP replies, good or bad."""
        return sum(tally.replies for tally in self.tallies.values())

    @property
    def batched(self) -> int:
        """Calls in those replies beyond one for each."""
        return sum(tally.batched for tally in self.tallies.values())

    def count(self, route: Route, outcome: Outcome, calls: int = 1) -> None:
        """This came of so many calls."""
        self.tallies[route].outcomes[outcome] += calls

    def came_back(self) -> None:
        """The plugin answers again after it was unreachable."""
        if self.limiter is not None:
            self.limiter.restart(monotonic(), self.answered - self._busy, self.permits.waits)
            self.permits.resize(self.limiter.limit)

    def fail(self, route: Route, outcome: Outcome, *, blame: bool, calls: int = 1) -> None:
        """An attempt was turned away, or not answered at all. ``blame``: it was the plugin's fault.

        ``calls`` are those of a batch that failed as a whole. To the limiter that is one request, and so it is to the
        breaker where the reason may be that there were so many: the parts that it is sent again in will tell.
        """
        now = monotonic()
        self.count(route, outcome, calls)
        if outcome is Outcome.BUSY:
            self._busy += 1
            self._unpack(route, calls)
        else:
            self._unanswered += calls
        self.tell(now)
        if blame:
            self._blame(now, calls if outcome in WHATEVER_THE_SIZE else 1)
        if self.limiter is not None:
            self.limiter.refused(now, self.answered - self._busy)
            self.permits.resize(self.limiter.limit)

    def refuse(self, route: Route, outcome: Outcome, calls: int) -> None:
        """The last reply was wrong, to all of its calls."""
        self.count(route, outcome, calls)
        self._unpack(route, calls)

    def lose(self, route: Route, outcome: Outcome, calls: int) -> None:
        """So many calls were sent, and what came back was no reply at all, by nobody's fault but the bytes'."""
        self.count(route, outcome, calls)
        self._unanswered += calls

    def unpack(self, route: Route, calls: int) -> None:
        """The last reply was to a batch of so many, and a good one."""
        tally = self.tallies[route]
        tally.batched += calls - 1
        tally.sizes[calls] += 1

    def _unpack(self, route: Route, calls: int) -> None:
        self.tallies[route].batched += calls - 1

    def fail_within(self, route: Route, *, blame: bool) -> None:
        """A call in a batch that was answered was turned away."""
        now = monotonic()
        self.count(route, Outcome.BUSY)
        self.tell(now)
        if blame:
            self._blame(now, 1)

    def _blame(self, now: float, failures: int) -> None:
        if self.breaker.record(now, failures=failures):
            _log.warning("plugin fails too often, breaker open", name=self.name)

    async def probe_ended(self) -> None:
        """Wait for the end of the breaker's probe that is on its way."""
        if self._probe is None:
            self._probe = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._probe)  # one that does not wait any more must not take the others with it

    def end_probe(self, answered: bool | None) -> None:
        """The breaker's probe has ended, see `Breaker.end_probe`."""
        self.breaker.end_probe(monotonic(), answered)
        if self._probe is not None:
            self._probe.set_result(None)
            self._probe = None
        if answered:
            _log.info("plugin answers again, breaker closed", name=self.name)

    def tell(self, now: float) -> None:
        """Pass on what was only counted: successes to breaker and limiter, calls to the budget."""
        answered, batched = self.answered, self.batched
        good = answered + batched - self._of(Outcome.BUSY)
        if good > self._told:
            # All of them before `turn`, or they would have been told then.
            self.breaker.record(min(now, self.turn), successes=good - self._told)
            self._told = good
        calls = answered + batched + self._unanswered - self.retries
        self.budget.calls += max(0, calls - self._credited)
        self._credited = max(calls, self._credited)
        for tally in self.tallies.values():
            tally.begin()
        self.turn = now + self.breaker.step
        limiter = self.limiter
        if limiter is not None:
            if now >= limiter.until:
                limiter.advance(now, answered - self._busy, self.permits.waits)
                if limiter.limit != self.permits.limit:
                    self.permits.resize(limiter.limit)
            self.turn = min(self.turn, limiter.until)

    def _of(self, outcome: Outcome) -> int:
        return sum(tally.outcomes[outcome] for tally in self.tallies.values())

    def summary(self) -> ClientStats:
        """Everything, as of now."""
        return summary(
            self.name,
            self.tallies,
            retries=self.retries,
            unknown_fields=self.unknown_fields,
            breaker=self.breaker.state(monotonic()),
            breaker_opened=self.breaker.opened,
            limit=self.permits.limit,
            in_flight=self.permits.in_flight,
            waiting=self.permits.waiting,
        )
