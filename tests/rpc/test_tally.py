"""Requests are all counted, and timed each where they are few."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from rpc.tally import Tally


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
