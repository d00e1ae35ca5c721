"""What came of the requests by one route of a plugin: counted for each of them, timed for as many as tell enough.

A request costs ten microseconds; two durations put in their places for each would be a tenth of that. So all are timed
where they are few, and where they come thick one in 32, as which those after it count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from rpc.breaker import BreakerState
from rpc.methods import BATCHES, Method, Route
from rpc.stats import ClientStats, Histogram, Outcome, Spread

OCTAVES: Final = range(6, 25)
"""Of durations as they are shown: the upper bounds of buckets are a microsecond times two to the power of these, 64 us
to 16.8 s."""

_ALL: Final = 8
"""Of so many replies each one is timed, until `begin` is said again."""
_EVERY: Final = 32
"""Of so many after those, one. After a while with as many, only the first of the next is timed before that."""


class Growth(msgspec.Struct, frozen=True, array_like=True):
    """What has come to a tally: its figures of the same names, and how many requests were sent and failed."""

    outcomes: dict[Outcome, int]
    replies: int
    batched: int
    sizes: dict[int, int]
    failed: int
    waited: Spread
    travelled: Spread


class Tally:
    """Of one route. It belongs to its `Ledger`, and may be read at any time, in any thread; or it sums up several."""

    __slots__ = (
        "_begun",
        "_each_until",
        "_failed",
        "_last",
        "_placed",
        "_travelled",
        "_waited",
        "batched",
        "due",
        "outcomes",
        "replies",
        "sizes",
    )

    def __init__(self) -> None:
        self.outcomes = dict.fromkeys(Outcome, 0)
        """Calls by what came of them; how many were `answered` follows from the others."""
        self.replies = 0
        """Complete HTTP replies, good or bad."""
        self.batched = 0
        """Calls in those replies beyond one for each."""
        self.sizes: Counter[int] = Counter()
        """Answered batches by how many calls they had."""
        self.due = 0
        """With which reply `time` is to be called."""
        self._waited = Histogram()
        self._travelled = Histogram()
        self._placed = 0
        """How many replies are in the histograms: all before the last that was timed."""
        self._last = 0.0, 0.0
        """How long that one waited and travelled."""
        self._failed = 0
        self._begun = 0
        self._each_until = _ALL

    @property
    def answered(self) -> int:
        """Calls with a good reply. A bad one within a batch is in the method's own tally, which may fall below 0."""
        bad = Outcome.UNSUPPORTED, Outcome.BUSY, Outcome.BAD_STATUS, Outcome.ILLEGAL
        return self.replies + self.batched - sum(map(self.outcomes.__getitem__, bad))

    @property
    def requests(self) -> int:
        """Those that were answered, or were sent and failed."""
        return self.replies + self._failed

    @property
    def is_used(self) -> bool:
        """Whether anything but 404 came of a request."""
        return self.requests > self.outcomes[Outcome.UNSUPPORTED]

    @property
    def waited(self) -> Histogram:
        """How long `requests` waited for a permit."""
        return self._settled(self._waited, self._last[0])

    @property
    def travelled(self) -> Histogram:
        """How long they were under way."""
        return self._settled(self._travelled, self._last[1])

    def begin(self) -> None:
        """A while has passed."""
        many = self.replies - self._begun >= _EVERY
        self._begun = self.replies
        self._each_until = self.replies + (1 if many else _ALL)
        self.due = self.replies + 1

    def time(self, waited: float, travelled: float) -> None:
        """Time the reply that was just counted; those after it count as if they had taken as long, until the next."""
        replies = self.replies
        since = replies - 1 - self._placed
        before = self._last
        self._waited.add(before[0], since)
        self._travelled.add(before[1], since)
        self._placed = replies - 1
        self._last = waited, travelled
        self.due = replies + (1 if replies < self._each_until else _EVERY)

    def time_failure(self, waited: float, travelled: float) -> None:
        """Time a request that was not answered: they are few, and no others count as they do."""
        self._failed += 1
        self._waited.add(waited)
        self._travelled.add(travelled)

    def since(self, before: Tally) -> Growth | None:
        """What has come to it beyond what another one has taken of it, None where nothing has."""
        outcomes = {
            outcome: more for outcome, count in self.outcomes.items() if (more := count - before.outcomes[outcome])
        }
        if not outcomes and self.requests == before.requests:
            return None
        return Growth(
            outcomes,
            self.replies - before.replies,
            self.batched - before.batched,
            dict(self.sizes - before.sizes),
            self._failed - before._failed,
            self.waited.since(before._waited),
            self.travelled.since(before._travelled),
        )

    def take(self, growth: Growth) -> None:
        """Count what has come to another one. One that does sums up, and counts nothing else."""
        for outcome, more in growth.outcomes.items():
            self.outcomes[outcome] += more
        self.replies += growth.replies
        self.batched += growth.batched
        self.sizes.update(growth.sizes)
        self._failed += growth.failed
        self._waited.take(growth.waited)
        self._travelled.take(growth.travelled)

    def _settled(self, histogram: Histogram, last: float) -> Histogram:
        """With the replies that are not in it yet. They are what is missing in the copy, whatever comes meanwhile."""
        settled = histogram.copy()
        settled.add(last, self.requests - sum(settled.buckets))
        return settled


def calls_of(tallies: Mapping[Route, Tally], method: Method) -> dict[Outcome, int]:
    """Calls of a method by every outcome, be it in batches or one by one."""
    batch = BATCHES.get(method)
    mine = (tallies[method],) if batch is None else (tallies[method], tallies[batch])
    found = {outcome: sum(each.outcomes[outcome] for each in mine) for outcome in Outcome}
    return {**found, Outcome.ANSWERED: sum(each.answered for each in mine)}


def summary(
    name: str,
    tallies: Mapping[Route, Tally],
    *,
    retries: int,
    unknown_fields: int,
    breaker: BreakerState,
    breaker_opened: int,
    limit: int,
    in_flight: int,
    waiting: int,
) -> ClientStats:
    """What a client has seen, of which its tallies do not say all."""
    outcomes = {outcome: sum(tally.outcomes[outcome] for tally in tallies.values()) for outcome in Outcome}
    outcomes[Outcome.ANSWERED] = sum(tally.answered for tally in tallies.values())
    travelled = Histogram()
    for tally in tallies.values():
        if tally.is_used:
            travelled.include(tally.travelled)
    return ClientStats(
        name=name,
        attempts=sum(outcomes.values()),
        batched=sum(tally.batched for tally in tallies.values()),
        retries=retries,
        outcomes=MappingProxyType(outcomes),
        unknown_fields=unknown_fields,
        breaker=breaker,
        breaker_opened=breaker_opened,
        limit=limit,
        in_flight=in_flight,
        waiting=waiting,
        latency=travelled.summary(),
    )
