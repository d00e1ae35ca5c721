"""Adaptive concurrency: finding how many calls in flight serve best, by trying.

The control is PCC's (Dong et al., "PCC: Re-architecting Congestion Control for Consistent High Performance", NSDI
2015): measure over short intervals, in the starting phase double while the utility grows, then compare a little more
with a little less, twice, and move only when both comparisons agree, in growing steps while they go on agreeing. The
utility is Kleinrock's power (throughput over delay, ICC 1979) with most of the weight on throughput. By Little's law
delay is limit / throughput, so the utility of an interval needs a count and two clock readings: nothing is timed.

Refusals and timeouts cut the limit at once (multiplicative decrease). Synchronous, told the time by its caller.
"""

from __future__ import annotations

from typing import Final

START: Final = 4
FLOOR: Final = 1
CEILING: Final = 1024

# Doubling the limit must bring 2 ** 0.1, that is 7 % more throughput, to be worth the delay it costs.
_DELAY_WEIGHT: Final = 0.1
_CUT: Final = 0.7
# A trial compares limit * (1 + step) with limit / (1 + step).
_STEP: Final = 0.15
_MAX_STEP: Final = 1.0
# An interval lasts so many seconds, round trips and calls at least. The scheduler of a busy machine hands out slices of
# a few milliseconds; a shorter interval would measure those.
_INTERVAL: Final = 0.02
_ROUNDS: Final = 4
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
        self._trial: list[float] = []
        self._began = now
        self._answered = 0
        self._waits = 0
        self._cut_until = now

    def advance(self, now: float, answered: int, waits: int) -> None:
        """An interval may be over. ``answered`` counts all replies so far, ``waits`` all calls that had to wait.

        Where less than half of them wait it is the callers who set the pace, and the limit cannot be judged by it.
        """
        elapsed = now - self._began
        count = answered - self._answered
        if elapsed <= 0.0 or 2 * (waits - self._waits) < count:
            self._begin(now, answered, waits)
            return
        if count < max(_CALLS, _ROUNDS * self.limit):
            # Too few to tell. A long silence is none of them: after a pause, count anew.
            self.until = now + _INTERVAL
            return
        throughput = count / elapsed
        utility = throughput / self.limit**_DELAY_WEIGHT
        if self._starting:
            self._grow(utility)
        else:
            self._compare(utility)
        self._begin(now, answered, waits)

    def refused(self, now: float) -> None:
        """The peer turned a call away (429, 502, 503, 504), refused a connection or let it time out.

        What was already sent will fare no better, so one cut is made for all calls of one round.
        """
        self._starting = False
        self._trial.clear()
        self._direction = 0
        self._step = _STEP
        if now >= self._cut_until:
            self.settled = self.limit = max(FLOOR, int(min(self.limit, self.settled) * _CUT))
            self._cut_until = now + _INTERVAL

    def _begin(self, now: float, answered: int, waits: int) -> None:
        self._began = now
        self._answered = answered
        self._waits = waits
        self.until = now + _INTERVAL

    def _grow(self, utility: float) -> None:
        """The starting phase: double for as long as it pays, and look twice before giving up."""
        if utility > self._best:
            self._best = utility
            self._doubts = 0
            self.settled = self.limit
            self.limit = min(CEILING, 2 * self.limit)
            self._starting = self.limit > self.settled
        else:
            self._doubts += 1
            self._starting = self._doubts < 2
        if not self._starting:
            self._set_trial()

    def _compare(self, utility: float) -> None:
        """One of the four intervals of a trial: more, less, less, more, so that a steady drift cancels out."""
        trial = self._trial
        trial.append(utility)
        if len(trial) < 4:
            self._set_trial()
            return
        more, less, less_again, more_again = trial
        trial.clear()
        verdict = (more > less) - (more < less)
        if verdict and verdict == (more_again > less_again) - (more_again < less_again):
            self._move(verdict)
        else:
            self._direction = 0
            self._step = _STEP
        self._set_trial()

    def _move(self, direction: int) -> None:
        self.settled = self._high() if direction > 0 else self._low()
        self._step = min(_MAX_STEP, 2 * self._step) if direction == self._direction else _STEP
        self._direction = direction

    def _set_trial(self) -> None:
        self.limit = self._high() if len(self._trial) in (0, 3) else self._low()

    def _high(self) -> int:
        return min(CEILING, max(self.settled + 1, round(self.settled * (1.0 + self._step))))

    def _low(self) -> int:
        return max(FLOOR, min(self.settled - 1, round(self.settled / (1.0 + self._step))))
