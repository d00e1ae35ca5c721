"""Latencies of all calls, counted finely: 2 % of error at most."""

from __future__ import annotations

from collections.abc import Iterable

from bench.record import Bin, Latency
from rpc.stats import Histogram

_PER_OCTAVE = 32
_BINS_PER_OCTAVE = 4
"""The picture's resolution: four bars from one time to its double."""


class Latencies(Histogram):
    """Counts of calls by how long they took."""

    def __init__(self) -> None:
        super().__init__(_PER_OCTAVE, octaves=32)

    @classmethod
    def merged(cls, parts: Iterable[Latencies]) -> Latencies:
        """The calls of all of them."""
        whole = cls()
        for part in parts:
            whole.include(part)
        return whole

    def figures(self) -> Latency:
        """In milliseconds, with the bins of the picture from the fastest call's to the slowest's."""
        wide = _PER_OCTAVE // _BINS_PER_OCTAVE
        bins = [
            Bin(self.edge(start) * 1000, self.edge(start + wide) * 1000, sum(self.buckets[start : start + wide]))
            for start in range(0, len(self.buckets), wide)
        ]
        filled = [number for number, bin in enumerate(bins) if bin.calls]
        p50, p90, p95, p99 = (self.percentile(share) * 1000 for share in (0.50, 0.90, 0.95, 0.99))
        shown = bins[filled[0] : filled[-1] + 1] if filled else []
        return Latency(p50=p50, p90=p90, p95=p95, p99=p99, max=self.slowest * 1000, bins=shown)
