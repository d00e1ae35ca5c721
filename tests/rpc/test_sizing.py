"""How many calls a batch has follows the plugin's time, and what was once too many."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rpc.sizing import START, BatchPolicy, BatchSize

POLICY = BatchPolicy()


def answer(size: BatchSize, seconds_a_call: float, batches: int, fixed: float = 0.0) -> None:
    for _ in range(batches):
        calls = size.limit
        size.answered(calls, fixed + calls * seconds_a_call)


def test_it_doubles_up_to_the_most_while_the_plugin_is_fast() -> None:
    size = BatchSize(POLICY, timeout=1.0)
    limits = [size.limit]
    while size.limit < POLICY.max_calls:
        answer(size, 1e-6, 1)
        limits.append(size.limit)
    assert limits == [16, 32, 64, 128, 256]


def test_it_settles_where_a_batch_takes_a_tenth_of_a_second() -> None:
    size = BatchSize(POLICY, timeout=1.0)
    answer(size, 0.005, 20)
    assert size.limit == 16
    answer(size, 0.02, 20)
    assert size.limit == 5
    answer(size, 0.0005, 20)
    assert size.limit == 160 or 100 <= 2 * size.limit <= 200


def test_it_takes_an_eighth_of_a_short_timeout_at_most() -> None:
    size = BatchSize(POLICY, timeout=0.08)
    answer(size, 0.002, 20)
    assert size.limit == 5


def test_a_plugin_slower_than_that_gets_one_call_at_a_time() -> None:
    size = BatchSize(POLICY, timeout=1.0)
    answer(size, 0.3, 5)
    assert size.limit == 1


def test_half_of_what_failed_is_the_ceiling_and_is_raised_little_by_little() -> None:
    size = BatchSize(POLICY, timeout=1.0)
    answer(size, 1e-6, 10)
    size.failed(128)
    assert size.limit == 64
    answer(size, 1e-6, 63)
    assert size.limit == 64
    answer(size, 1e-6, 1)
    assert size.limit == 80


def test_the_first_batch_is_no_larger_than_the_configuration_allows() -> None:
    assert BatchSize(BatchPolicy(max_calls=3), 1.0).limit == 3
    assert BatchSize(POLICY, 1.0).limit == START


events = st.one_of(
    st.tuples(st.just("answered"), st.floats(0.0, 2.0)),
    st.tuples(st.just("partly"), st.floats(0.0, 2.0)),
    st.tuples(st.just("failed"), st.just(0.0)),
)


@given(most=st.integers(1, 300), timeout=st.floats(0.01, 60.0), what=st.lists(events, max_size=60))
def test_it_stays_within_its_bounds_and_never_sends_again_what_just_failed(
    most: int, timeout: float, what: list[tuple[str, float]]
) -> None:
    size = BatchSize(BatchPolicy(max_calls=most), timeout)
    for event, seconds in what:
        calls = size.limit if event != "partly" else max(1, size.limit // 2)
        if event == "failed":
            size.failed(calls)
            assert size.limit <= max(1, calls // 2)
        else:
            size.answered(calls, seconds)
            assert size.limit <= 2 * calls or event == "partly"
        assert 1 <= size.limit <= most
