"""Latencies counted in logarithmic buckets: constant memory for any number of calls, and 2 % of error at most.

HdrHistogram's idea, in the one form that costs an observed call next to nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from bench.record import Bin, Latency

_PER_OCTAVE = 32
_FLOOR = 1e-6
"""Seconds; nothing over a socket is faster than the first bucket."""
_BUCKETS = 32 * _PER_OCTAVE
_BINS_PER_OCTAVE = 4
"""The picture's resolution: four bars from one time to its double."""


class Latencies:
    """Counts of calls by how long they took."""

    def __init__(self) -> None:
        self._counts = [0] * _BUCKETS
        self.calls = 0
        self.slowest = 0.0

    def add(self, seconds: float) -> None:
        """Count one call."""
        bucket = int(math.log2(seconds / _FLOOR) * _PER_OCTAVE) if seconds > _FLOOR else 0
        self._counts[min(bucket, _BUCKETS - 1)] += 1
        self.calls += 1
        if seconds > self.slowest:
            self.slowest = seconds

    @classmethod
    def merged(cls, parts: Iterable[Latencies]) -> Latencies:
        """The calls of all of them."""
        whole = cls()
        for part in parts:
            whole._counts = [one + other for one, other in zip(whole._counts, part._counts, strict=True)]
            whole.calls += part.calls
            whole.slowest = max(whole.slowest, part.slowest)
        return whole

    def percentile(self, share: float) -> float:
        """The time in seconds within which `share` of the calls ended; zero where there were none."""
        wanted, seen = share * self.calls, 0
        for bucket, count in enumerate(self._counts):
            seen += count
            if count and seen >= wanted:
                return min(_edge(bucket + 1), self.slowest)
        return 0.0

    def figures(self) -> Latency:
        """In milliseconds, with the bins of the picture from the fastest call's to the slowest's."""
        wide = _PER_OCTAVE // _BINS_PER_OCTAVE
        bins = [
            Bin(_edge(start) * 1000, _edge(start + wide) * 1000, sum(self._counts[start : start + wide]))
            for start in range(0, _BUCKETS, wide)
        ]
        filled = [number for number, bin in enumerate(bins) if bin.calls]
        return Latency(
            p50=self.percentile(0.50) * 1000,
            p90=self.percentile(0.90) * 1000,
            p95=self.percentile(0.95) * 1000,
            p99=self.percentile(0.99) * 1000,
            max=self.slowest * 1000,
            bins=bins[filled[0] : filled[-1] + 1] if filled else [],
        )


def _edge(bucket: int) -> float:
    return _FLOOR * math.exp2(bucket / _PER_OCTAVE)
