from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.latencies import Latencies

SECONDS = st.floats(min_value=2e-6, max_value=100.0)


def of(times: list[float]) -> Latencies:
    latencies = Latencies()
    for time in times:
        latencies.add(time)
    return latencies


@given(st.lists(SECONDS, min_size=1), st.sampled_from([0.5, 0.9, 0.99, 1.0]))
def test_a_percentile_is_within_a_bucket_of_the_exact_one(times: list[float], share: float) -> None:
    exact = next(time for rank, time in enumerate(sorted(times), 1) if rank >= share * len(times))
    assert exact * 0.999 <= of(times).percentile(share) <= exact * 1.023


@given(st.lists(SECONDS), st.lists(SECONDS))
def test_merged_counts_are_those_of_all_calls(one: list[float], other: list[float]) -> None:
    assert Latencies.merged([of(one), of(other)]).figures() == of(one + other).figures()


@given(st.lists(SECONDS))
def test_bins_are_adjacent_and_hold_every_call(times: list[float]) -> None:
    bins = of(times).figures().bins
    assert sum(bin.calls for bin in bins) == len(times)
    assert all(left.below == right.above for left, right in itertools.pairwise(bins))
    assert all(bin.calls for bin in bins[:1] + bins[-1:])


def test_no_calls_have_no_latency() -> None:
    figures = Latencies().figures()
    assert (figures.p50, figures.p90, figures.p95, figures.p99, figures.max, figures.bins) == (0.0,) * 5 + ([],)


def test_times_off_the_scale_are_counted_at_its_ends() -> None:
    latencies = of([0.0, 1e-9, 10_000.0])
    assert sum(latencies.buckets) == 3
    assert latencies.figures().max == pytest.approx(10_000_000)
