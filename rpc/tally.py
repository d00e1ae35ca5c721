"""What came of the requests by one route of a plugin: counted for each of them, timed for as many as tell enough.

A request costs ten microseconds; two durations put in their places for each would be a tenth of that. So all are timed
where they are few, and where they come thick one in 32, as which those after it count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from rpc.methods import BATCHES, Method, Route
from rpc.stats import Histogram, Outcome

OCTAVES: Final = range(6, 25)
"""Of durations as they are shown: the upper bounds of buckets are a microsecond times two to the power of these, 64 us
to 16.8 s."""

_ALL: Final = 8
"""Of so many replies each one is timed, until `begin` is said again."""
_EVERY: Final = 32
"""Of so many after those, one."""


class Tally:
    """Of one route. ``waited`` and ``travelled`` are of requests that were answered, or were sent and failed.

    It may be read at any time, after `settle`, and belongs to its `Ledger` otherwise.
    """

    __slots__ = ("_all", "_last", "_timed", "batched", "due", "outcomes", "replies", "sizes", "travelled", "waited")

    def __init__(self) -> None:
        self.outcomes = dict.fromkeys(Outcome, 0)
        """Calls by what came of them; how many were `answered` follows from the others."""
        self.replies = 0
        """Complete HTTP replies, good or bad."""
        self.batched = 0
        """Calls in those replies beyond one for each."""
        self.sizes: Counter[int] = Counter()
        """Answered batches by how many calls they had."""
        self.waited = Histogram()
        self.travelled = Histogram()
        self._timed = 0
        """How many replies are in the histograms."""
        self._last = 0.0, 0.0
        self.due = 0
        """With which reply `time` is to be called."""
        self._all = _ALL

    @property
    def answered(self) -> int:
        """Calls with a good reply. A bad one within a batch is in the method's own tally, which may fall below 0."""
        bad = Outcome.UNSUPPORTED, Outcome.BUSY, Outcome.BAD_STATUS, Outcome.ILLEGAL
        return self.replies + self.batched - sum(map(self.outcomes.__getitem__, bad))

    @property
    def is_used(self) -> bool:
        """Whether anything but 404 came of a request."""
        return sum(self.travelled.buckets) > self.outcomes[Outcome.UNSUPPORTED]

    def begin(self) -> None:
        """A while has passed: the next few are timed each."""
        self._all = _ALL
        self.due = self.replies + 1

    def time(self, waited: float, travelled: float) -> None:
        """Time the reply that was just counted; those since the last one that was timed took as long as that."""
        self._settle(self.replies - 1)
        self._timed = self.replies
        self._last = waited, travelled
        self.waited.add(waited)
        self.travelled.add(travelled)
        self._all -= 1
        self.due = self.replies + (1 if self._all > 0 else _EVERY)

    def time_failure(self, waited: float, travelled: float) -> None:
        """Time a request that was not answered: they are few, and no others count as they do."""
        self.waited.add(waited)
        self.travelled.add(travelled)

    def settle(self) -> None:
        """Have the histograms count every reply."""
        self._settle(self.replies)

    def _settle(self, replies: int) -> None:
        left = replies - self._timed
        if left > 0:
            self._timed = replies
            waited, travelled = self._last
            self.waited.add(waited, left)
            self.travelled.add(travelled, left)


def calls_of(tallies: Mapping[Route, Tally], method: Method) -> dict[Outcome, int]:
    """Calls of a method by every outcome, be it in batches or one by one."""
    batch = BATCHES.get(method)
    mine = (tallies[method],) if batch is None else (tallies[method], tallies[batch])
    found = {outcome: sum(each.outcomes[outcome] for each in mine) for outcome in Outcome}
    return {**found, Outcome.ANSWERED: sum(each.answered for each in mine)}
