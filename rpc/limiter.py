"""Adaptive concurrency: finding how many calls in flight serve best, by trying.

The control is PCC's (Dong et al., "PCC: Re-architecting Congestion Control for Consistent High Performance", NSDI
2015): measure over short intervals; in the starting phase double while the utility grows; then compare a little more
with a little less, again and again until the difference stands out from the noise, and move that way, in growing steps
for as long as the way stays the same. The utility is Kleinrock's power (throughput over delay, ICC 1979) with most of
the weight on throughput. By Little's law delay is limit / throughput, so the utility of an interval needs a count and
two readings of the clock: no call is timed.

Refusals and timeouts, where they are more than a few, cut the limit at once (multiplicative decrease). Synchronous,
told the time by its caller.
"""

from __future__ import annotations

import math
import statistics
from typing import Final

START: Final = 4
FLOOR: Final = 1
CEILING: Final = 1024

# Doubling the limit must bring 2 ** 0.03, that is 2.1 % more throughput, to be worth the delay it costs. Where
# throughput levels off slowly, as that of event loops does, it comes to rest at 97 % of what there is.
_DELAY_WEIGHT: Final = 0.03
_CUT: Final = 0.7
# Fewer refusals than this share of the replies are the plugin's moods; PCC tolerates as many losses.
_TOLERANCE: Final = 0.05
# Intervals without growth until the starting phase is over.
_DOUBTS: Final = 3
# A trial compares limit * (1 + step) with limit / (1 + step).
_STEP: Final = 0.3
_MAX_STEP: Final = 1.0
# A trial is decided after so many comparisons, at the earliest and at the latest, when their mean is so many standard
# errors from zero.
_PAIRS: Final = 3
_MAX_PAIRS: Final = 8
_CONFIDENCE: Final = 2.0
# Where even the greatest contrast is lost in the noise, only more comparisons help.
_PATIENT_PAIRS: Final = 24
# An interval lasts so many seconds, round trips and calls at least. The scheduler of a busy machine hands out slices of
# a few milliseconds; a shorter interval would measure those.
_INTERVAL: Final = 0.02
_ROUNDS: Final = 2
_CALLS: Final = 32


class Limiter:
    """Decides `limit`. Its caller ends an interval when `until` has passed, with `advance`."""

    def __init__(self, now: float, limit: int = START) -> None:
        self.limit = limit
        """Calls in flight at most, as of now: trials make it differ a little from `settled`."""
        self.settled = limit
        """The limit that trials start from."""
        self.until = now + _INTERVAL
        self._starting = True
        self._doubts = 0
        self._best = 0.0
        self._step = _STEP
        self._direction = 0
        self._first: float | None = None
        self._trial: list[float] = []
        self._began = now
        self._answered = 0
        self._waits = 0
        self._refusals = 0
        self._cut_until = now

    def restart(self, now: float, answered: int, waits: int) -> None:
        """The peer is back after it was gone: begin anew, as TCP does after a long pause.

        What refusals made of the limit while it was down says nothing of what it can take now.
        """
        self.limit = self.settled = max(self.limit, START)
        self._starting, self._doubts, self._best = True, 0, 0.0
        self._end_trial(0)
        self._step = _STEP
        self._begin(now, answered, waits)

    def advance(self, now: float, answered: int, waits: int) -> None:
        """Judge the interval if it is over. ``answered`` counts all good replies so far, ``waits`` all that waited.

        Where less than half of them wait it is the callers who set the pace, and the limit cannot be judged by it.
        """
        if now < self.until:
            return
        count = answered - self._answered
        if 2 * (waits - self._waits) < count:
            self._begin(now, answered, waits)
            return
        calls = _CALLS // 2 if self._starting else _CALLS  # whether twice as many pay is seen sooner
        if count < max(calls, _ROUNDS * self.limit):
            self.until = now + _INTERVAL  # too few to tell yet
            return
        throughput = count / (now - self._began)
        utility = throughput / self.limit**_DELAY_WEIGHT
        if self._starting:
            self._grow(utility)
        else:
            self._compare(utility)
        self._begin(now, answered, waits)

    def refused(self, now: float, answered: int) -> None:
        """The peer turned a call away (429, 502, 503, 504), refused a connection or let it time out.

        What was already sent will fare no better, so one cut is made for all calls of one interval.
        """
        self._refusals += 1
        if now < self._cut_until or self._refusals < _TOLERANCE * (answered - self._answered + self._refusals):
            return
        self.settled = self.limit = max(FLOOR, int(min(self.limit, self.settled) * _CUT))
        self._cut_until = now + _INTERVAL
        self._starting = False
        self._end_trial(0)

    def _begin(self, now: float, answered: int, waits: int) -> None:
        self._began = now
        self._answered = answered
        self._waits = waits
        self._refusals = 0
        self.until = now + _INTERVAL

    def _grow(self, utility: float) -> None:
        """The starting phase: double for as long as it pays, and look again before giving up."""
        if utility > self._best:
            self._best = utility
            self._doubts = 0
            self.settled = self.limit
            self.limit = min(CEILING, 2 * self.limit)
            self._starting = self.limit > self.settled
        else:
            self._doubts += 1
            self._starting = self._doubts < _DOUBTS
        if not self._starting:
            self._end_trial(0)

    def _compare(self, utility: float) -> None:
        """One interval of a pair, more and less by turns; the order alternates, so that a steady drift cancels out."""
        if self._first is None:
            self._first = utility
        else:
            ratio = math.log(self._first / utility)
            self._trial.append(ratio if len(self._trial) % 2 == 0 else -ratio)
            self._first = None
            pairs = len(self._trial)
            if pairs >= _PAIRS:
                mean = statistics.fmean(self._trial)
                if abs(mean) > _CONFIDENCE * statistics.stdev(self._trial, mean) / math.sqrt(pairs):
                    self.settled = self._high() if mean > 0 else self._low()
                    self._end_trial(1 if mean > 0 else -1)
                elif pairs >= (_MAX_PAIRS if self._step < _MAX_STEP else _PATIENT_PAIRS):
                    self._end_trial(0)
        more_first = len(self._trial) % 2 == 0
        self.limit = self._high() if more_first == (self._first is None) else self._low()

    def _end_trial(self, direction: int) -> None:
        """`direction` is where the limit went, 0 for nowhere."""
        # A way that goes on may go faster, and what the noise hides needs a greater contrast to be seen.
        onward = direction in (0, self._direction)
        self._step = min(_MAX_STEP, 2 * self._step) if onward else max(_STEP, self._step / 4)
        self._direction = direction
        self._first = None
        self._trial.clear()

    def _high(self) -> int:
        return min(CEILING, max(self.settled + 1, round(self.settled * (1.0 + self._step))))

    def _low(self) -> int:
        return max(FLOOR, min(self.settled - 1, round(self.settled / (1.0 + self._step))))
