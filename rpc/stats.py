"""What a client has seen, as a frozen record that may be kept, compared and printed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate
from operator import add, sub
from typing import Final

import msgspec

from rpc.breaker import BreakerState


class Outcome(StrEnum):
    """What can come of one attempt. The last four were never sent, or never answered by no fault of the plugin."""

    ANSWERED = "answered"
    UNSUPPORTED = "unsupported"  # 404
    BUSY = "busy"  # 429, 502, 503, 504
    BAD_STATUS = "bad_status"  # any other status
    ILLEGAL = "illegal"  # 200 with a body that is no reply of this protocol
    MALFORMED = "malformed"  # not HTTP as we may accept it
    UNREACHABLE = "unreachable"
    UNTRUSTED = "untrusted"  # TLS
    FORBIDDEN = "forbidden"  # no address where the plugin may be; nothing was dialled
    TIMED_OUT = "timed_out"
    BROKEN = "broken"  # reset or closed before the reply was complete
    OWN_FAULT = "own_fault"  # out of file descriptors, ports, memory or time on this machine
    BREAKER_OPEN = "breaker_open"
    PAST_DEADLINE = "past_deadline"
    CANCELLED = "cancelled"

    # As in `rpc.methods.Method`: counts are kept by it.
    __hash__ = str.__hash__


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds from the first byte sent to the whole reply read, or to the failure; 0 where nothing was sent.

    ``samples`` counts requests, but those for what the plugin does not have: under load few are timed, as which those
    after them count (`rpc.tally`). Percentiles are upper bounds, at most 9 % too high.
    """

    samples: int
    p50: float
    p90: float
    p99: float
    max: float


@dataclass(frozen=True, slots=True)
class ClientStats:
    """One client, from its start to now. ``outcomes`` has every `Outcome`, at zero where there was none.

    ``attempts`` are calls and their ``retries``. ``batched`` are calls that shared a reply with others, beyond one for
    each reply. ``limit``, ``in_flight`` and ``waiting`` are of now, and count requests.
    """

    name: str
    attempts: int
    batched: int
    retries: int
    outcomes: Mapping[Outcome, int]
    unknown_fields: int
    breaker: BreakerState
    breaker_opened: int
    limit: int
    in_flight: int
    waiting: int
    latency: Latency


class Spread(msgspec.Struct, frozen=True, array_like=True):
    """What has come to a histogram: durations by the numbers of their buckets, their sum, and the longest of all."""

    buckets: dict[int, int]
    total: float
    slowest: float


_SMALLEST: Final = 1e-6
"""Seconds; nothing over a socket is faster than the first bucket."""


class Histogram:
    """Durations in logarithmic buckets from a microsecond up, with constant memory and a bounded error (HdrHistogram).

    8 buckets to an octave make them grow by 9 % each, and 27 octaves end at 134 seconds.
    """

    def __init__(self, per_octave: int = 8, octaves: int = 27) -> None:
        self.buckets = [0] * (per_octave * octaves)
        self.slowest = 0.0
        self.total = 0.0
        """The sum of all."""
        self._per_octave = per_octave

    def add(self, seconds: float, times: int = 1) -> None:
        """Count one duration, or as many of that length."""
        self.total += seconds * times
        if seconds > self.slowest:
            self.slowest = seconds
        bucket = int(math.log2(seconds / _SMALLEST) * self._per_octave) if seconds > _SMALLEST else 0
        self.buckets[min(bucket, len(self.buckets) - 1)] += times

    def copy(self) -> Histogram:
        """As it is now."""
        made = copy(self)
        made.buckets = self.buckets.copy()
        return made

    def include(self, other: Histogram) -> None:
        """Count all that another one has, which is as fine and as long."""
        self.buckets = list(map(add, self.buckets, other.buckets))
        self.slowest = max(self.slowest, other.slowest)
        self.total += other.total

    def since(self, before: Histogram) -> Spread:
        """What has come to it since it was as another one, which is as fine and as long, is now."""
        grown = enumerate(map(sub, self.buckets, before.buckets))
        return Spread({bucket: more for bucket, more in grown if more}, self.total - before.total, self.slowest)

    def take(self, spread: Spread) -> None:
        """Count what has come to another one."""
        for bucket, more in spread.buckets.items():
            self.buckets[bucket] += more
        self.total += spread.total
        self.slowest = max(self.slowest, spread.slowest)

    def summary(self) -> Latency:
        """Percentiles of what was counted."""
        p50, p90, p99 = map(self.percentile, (0.50, 0.90, 0.99))
        return Latency(sum(self.buckets), p50, p90, p99, self.slowest)

    def percentile(self, share: float) -> float:
        """The seconds within which such a share of what was counted lies; zero where there was nothing."""
        rank = math.ceil(share * sum(self.buckets))
        seen = 0
        for bucket, count in enumerate(self.buckets):
            seen += count
            if count and seen >= rank:
                return min(self.slowest, self.edge(bucket + 1))
        return 0.0

    def up_to(self, octaves: Iterable[int]) -> Iterator[tuple[float, int]]:
        """How many were shorter than the smallest duration, a microsecond, doubled so many times; in rising order."""
        seen = list(accumulate(self.buckets, initial=0))
        for octave in octaves:
            bucket = octave * self._per_octave
            yield self.edge(bucket), seen[bucket]

    def edge(self, bucket: int) -> float:
        """The seconds with which a bucket begins."""
        return _SMALLEST * math.exp2(bucket / self._per_octave)
