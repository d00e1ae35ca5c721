"""Requests are all counted, and timed each where they are few."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from rpc.stats import Outcome
from rpc.tally import Growth, Tally


def _reply(tally: Tally, travelled: float) -> bool:
    """Whether it was timed."""
    tally.replies += 1
    if tally.replies < tally.due:
        return False
    tally.time(0.0, travelled)
    return True


def _counted(tally: Tally) -> int:
    return sum(tally.travelled.buckets)


def test_the_first_eight_of_a_while_are_timed_each_then_one_in_32() -> None:
    tally = Tally()
    assert [_reply(tally, 0.001) for _ in range(8)] == [True] * 8
    assert [number for number in range(128) if _reply(tally, 0.001)] == [31, 63, 95, 127]


def test_after_a_while_with_many_the_first_is_timed_and_after_one_with_few_eight_are() -> None:
    tally = Tally()
    for _ in range(100):
        _reply(tally, 0.001)
    tally.begin()
    assert [number for number in range(31) if _reply(tally, 0.001)] == [0]
    tally.begin()
    assert [_reply(tally, 0.001) for _ in range(9)] == [True] * 8 + [False]


def test_those_between_count_as_the_last_that_was_timed() -> None:
    tally = Tally()
    for _ in range(20):
        _reply(tally, 0.5)
    assert _counted(tally) == 20
    assert tally.travelled.total == 10.0
    assert tally.travelled.slowest == 0.5
    assert list(tally.travelled.up_to([18, 19])) == [(0.262144, 0), (0.524288, 20)]


@given(st.lists(st.sampled_from(["reply", "begin", "read", "failure"]), max_size=400))
def test_each_request_is_in_the_histograms_once(what: Iterable[str]) -> None:
    tally, sent = Tally(), 0
    for each in what:
        if each == "reply":
            _reply(tally, 0.001)
            sent += 1
        elif each == "failure":
            tally.time_failure(0.0, 1.0)
            sent += 1
        elif each == "begin":
            tally.begin()
        else:
            assert _counted(tally) == sent
    assert _counted(tally) == sent == sum(tally.waited.buckets)


class _Sums(RuleBasedStateMachine):
    """Two that count, and one that takes what has come to them, from time to time, as it would arrive by mail."""

    def __init__(self) -> None:
        super().__init__()
        self.tallies = [Tally(), Tally()]
        self.told = [Tally(), Tally()]
        self.sum = Tally()

    @rule(which=st.booleans(), batch=st.integers(1, 4), travelled=st.sampled_from([0.001, 0.5]))
    def reply(self, which: bool, batch: int, travelled: float) -> None:
        tally = self.tallies[which]
        _reply(tally, travelled)
        tally.batched += batch - 1
        tally.sizes[batch] += 1

    @rule(which=st.booleans(), outcome=st.sampled_from(Outcome))
    def failure(self, which: bool, outcome: Outcome) -> None:
        self.tallies[which].outcomes[outcome] += 1
        self.tallies[which].time_failure(0.25, 0.125)

    @rule(which=st.booleans())
    def mail(self, which: bool) -> None:
        growth = self.tallies[which].since(self.told[which])
        if growth is not None:
            growth = msgspec.json.decode(msgspec.json.encode(growth), type=Growth)
            self.told[which].take(growth)
            self.sum.take(growth)
        assert self.tallies[which].since(self.told[which]) is None

    def teardown(self) -> None:
        for which in (False, True):
            self.mail(which)
        one, other = self.tallies
        assert (self.sum.requests, self.sum.answered) == (one.requests + other.requests, one.answered + other.answered)
        assert self.sum.outcomes == {outcome: one.outcomes[outcome] + other.outcomes[outcome] for outcome in Outcome}
        assert self.sum.sizes == one.sizes + other.sizes
        for name in ("waited", "travelled"):
            mine, theirs, both = (getattr(each, name) for each in (one, other, self.sum))
            assert both.buckets == [a + b for a, b in zip(mine.buckets, theirs.buckets, strict=True)]
            assert both.total == pytest.approx(mine.total + theirs.total)
            assert both.slowest == max(mine.slowest, theirs.slowest)


TestSums = _Sums.TestCase
