"""The circuit breaker: a plugin that keeps failing is left alone for a while, then asked once.

Closed, calls go through and are counted over a rolling window. Open, none goes through. Half-open, one call at a time
is a probe: answered, it closes the breaker, failed, it opens it again. (Nygard, "Release It!", 2007.)

Only the peer's faults are to be recorded as failures. Synchronous, told the time by its caller.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final, Literal

BreakerState = Literal["closed", "open", "half-open"]

# The window rolls on by this many steps.
_STEPS: Final = 10


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """Open when at least `min_calls` ended within `window` seconds, `failure_ratio` of them or more as failures.

    Also when `min_calls` failed and none succeeded for a tenth of `window` or more: what went well before says nothing
    of a plugin that died since, and its hundred thousand successes would keep the breaker closed for a whole window.
    After `open_for` seconds one probe is let through.
    """

    failure_ratio: float = 0.5
    min_calls: int = 20
    window: float = 10.0
    open_for: float = 5.0


class Breaker:
    """One plugin's breaker. While `closed` is true a caller need not ask it anything before a call."""

    def __init__(self, policy: BreakerPolicy) -> None:
        self._policy = policy
        self.step = policy.window / _STEPS
        """Seconds by which the window rolls on: what is recorded later than that counts as that much later."""
        self.closed = True
        self.opened = 0
        """How often it has opened."""
        self._open_until = 0.0
        self._probing = False
        self._window: deque[list[int]] = deque()  # [number of the step, successes, failures], oldest first
        self._successes = 0
        self._failures = 0
        self._succeeded = -_STEPS  # the number of the last step with a success

    @property
    def probing(self) -> bool:
        """Whether a probe is under way."""
        return self._probing

    def state(self, now: float) -> BreakerState:
        """What a call would meet at `now`."""
        if self.closed:
            return "closed"
        return "half-open" if now >= self._open_until else "open"

    def record(self, now: float, *, successes: int = 0, failures: int = 0) -> bool:
        """Calls that were no probes ended; True where that opened it.

        Those that end while it is not closed were sent before it opened, and say nothing.
        """
        if not self.closed:
            return False
        step = int(now / self.step)
        window = self._window
        while window and window[0][0] <= step - _STEPS:
            _, old_successes, old_failures = window.popleft()
            self._successes -= old_successes
            self._failures -= old_failures
        if not window or window[-1][0] < step:
            window.append([step, 0, 0])
        window[-1][1] += successes
        window[-1][2] += failures
        self._successes += successes
        self._failures += failures
        if successes:
            self._succeeded = step
        if failures and (self._too_many() or self._nothing_else(step)):
            self._open(now)
            return True
        return False

    def _too_many(self) -> bool:
        total = self._successes + self._failures
        return total >= self._policy.min_calls and self._failures >= self._policy.failure_ratio * total

    def _nothing_else(self, step: int) -> bool:
        """A whole step has passed without a success, and enough has failed since the last one."""
        if step - self._succeeded < 2:
            return False
        failed = sum(failures for number, _, failures in self._window if number > self._succeeded)
        return failed >= self._policy.min_calls

    def try_probe(self, now: float) -> bool:
        """Whether this call may go through as the probe. If so, `end_probe` must be told its end, however it ends."""
        if self.closed or self._probing or now < self._open_until:
            return False
        self._probing = True
        return True

    def end_probe(self, now: float, answered: bool | None) -> None:
        """The probe was answered, or failed by the peer's fault, or (None) says nothing: then another may go."""
        self._probing = False
        if answered:
            self.closed = True
        elif answered is False:
            self._open(now)

    def _open(self, now: float) -> None:
        self.closed = False
        self.opened += 1
        self._open_until = now + self._policy.open_for
        self._window.clear()
        self._successes = self._failures = 0
